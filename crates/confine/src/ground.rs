//! Namespaces and the user.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::{Fault, kernel};

/// Leave the host's network, mounts, IPC and name; processes that are forked from now on have a process table of
/// their own. Needs root.
///
/// # Errors
/// The kernel refused.
pub fn namespaces() -> Result<(), Fault> {
    let flags = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWPID;
    unshare(flags).map_err(kernel("unshare"))?;
    // What is mounted here from now on is not seen outside.
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).map_err(kernel("make mounts private"))
}

/// A process table that shows the processes of this namespace alone. For the first process of a new one.
///
/// # Errors
/// The kernel refused.
pub fn own_proc() -> Result<(), Fault> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).map_err(kernel("mount /proc"))
}

/// Become a user without groups, for good; root's capabilities go with root.
///
/// # Errors
/// The kernel refused, or the ids are root's.
pub fn become_user(uid: u32, gid: u32) -> Result<(), Fault> {
    if uid == 0 || gid == 0 {
        return Err(Fault::Missing("root is no other user".to_owned()));
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&[]).map_err(kernel("drop groups"))?;
    setresgid(gid, gid, gid).map_err(kernel("change group"))?;
    setresuid(uid, uid, uid).map_err(kernel("change user"))?;
    if setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok() {
        return Err(Fault::Missing("the change of user can be undone".to_owned()));
    }
    Ok(())
}
