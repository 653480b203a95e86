//! Files and ports, by Landlock.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::Fault;

/// The rules are those of Linux 6.12: files, devices' ioctl, TCP ports, abstract Unix sockets, signals.
const WANTED: ABI = ABI::V6;

/// What stays within reach.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Files and folders to read and execute.
    pub read: Vec<PathBuf>,
    /// Files and folders to read, execute, write, make and remove.
    pub write: Vec<PathBuf>,
    /// Ports that TCP may connect to.
    pub connect: Vec<u16>,
}

/// Give up all files and ports but these, for this process and all that come of it. True if the kernel keeps all of
/// it; false where it is too old for a part.
///
/// # Errors
/// A path is not there, or nothing is kept.
pub fn files_and_ports(grants: &Grants) -> Result<bool, Fault> {
    let wrong = |error: landlock::RulesetError| Fault::Missing(format!("Landlock: {error}"));
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))
        .map_err(wrong)?
        .handle_access(AccessNet::from_all(WANTED))
        .map_err(wrong)?
        .scope(Scope::from_all(WANTED))
        .map_err(wrong)?
        .create()
        .map_err(wrong)?;
    for (paths, access) in [(&grants.read, AccessFs::from_read(WANTED)), (&grants.write, AccessFs::from_all(WANTED))] {
        for path in paths {
            let open = PathFd::new(path).map_err(|error| Fault::Missing(format!("{}: {error}", path.display())))?;
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(WANTED) };
            rules = rules.add_rule(PathBeneath::new(open, access)).map_err(wrong)?;
        }
    }
    for port in &grants.connect {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp)).map_err(wrong)?;
    }
    match rules.restrict_self().map_err(wrong)?.ruleset {
        RulesetStatus::FullyEnforced => Ok(true),
        RulesetStatus::PartiallyEnforced => Ok(false),
        RulesetStatus::NotEnforced => Err(Fault::Missing("this kernel has no Landlock".to_owned())),
    }
}
