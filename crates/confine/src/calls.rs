//! System calls, by seccomp.
//!
//! A list of what is refused, not of what is allowed: an unknown program is to run. What stands on it
//! opens ways that the namespaces, the user and Landlock do not close, or would undo them.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition as Condition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter, sock_filter,
};

use crate::Fault;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that are refused whatever their arguments.
const REFUSED: &[i64] = &[
    // Asynchronous calls that no filter sees.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    // Namespaces, mounts, roots.
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // Keys of others, kernel code, the machine.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_syslog,
];

/// Flags of `clone` that make namespaces.
const NEW_NAMESPACES: &[i32] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// `ioctl`s that type into the terminal that started us.
const TYPING: &[u64] = &[TIOCSTI, TIOCLINUX];
// libc's own are of another type on each C library.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

/// Refuse what leads out, for this process and all that come of it. Afterwards no new privilege can be had.
///
/// # Errors
/// The kernel has no seccomp, or the machine is of a kind that we know no calls of.
pub fn system_calls() -> Result<(), Fault> {
    let wrong = |error: seccompiler::Error| Fault::Missing(format!("seccomp: {error}"));
    let refused = filter(refused().map_err(backend)?, libc::EPERM)?;
    // glibc takes the older call, whose flags can be seen, where the newer one is not there.
    let absent = filter(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)?;
    #[cfg(target_arch = "x86_64")]
    apply_filter(&no_x32()).map_err(wrong)?;
    apply_filter(&absent).map_err(wrong)?;
    apply_filter(&refused).map_err(wrong)
}

#[allow(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
fn backend(error: seccompiler::BackendError) -> Fault {
    Fault::Missing(format!("seccomp: {error}"))
}

fn filter(rules: Rules, errno: i32) -> Result<BpfProgram, Fault> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(backend)?;
    let action = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch).map_err(backend)?;
    BpfProgram::try_from(filter).map_err(backend)
}

fn refused() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let is = |arg, op, value| Condition::new(arg, Len::Dword, op, value);
    let number = |value: i32| u64::from(value.unsigned_abs());
    // Sockets: TCP over IP and nothing else. Others pass Landlock (UDP, MPTCP, SMC), or lead out of the network
    // namespace (files of Unix sockets, vsock), or see what is not theirs (raw, packet, netlink).
    let mut socket = vec![
        SeccompRule::new(vec![is(0, Op::Ne, number(libc::AF_INET))?, is(0, Op::Ne, number(libc::AF_INET6))?])?,
        SeccompRule::new(vec![is(2, Op::Ne, 0)?, is(2, Op::Ne, number(libc::IPPROTO_TCP))?])?,
    ];
    let mut pair = Vec::new();
    let stream = number(libc::SOCK_STREAM);
    for kind in (0..16).filter(|kind| *kind != stream) {
        let other = || is(1, Op::MaskedEq(0xf), kind).and_then(|condition| SeccompRule::new(vec![condition]));
        socket.push(other()?);
        // One half of a pair of datagram sockets could be connected to a file's socket.
        pair.push(other()?);
    }
    rules.insert(libc::SYS_socket, socket);
    rules.insert(libc::SYS_socketpair, pair);
    let flagged = |flag: &i32| {
        let flag = number(*flag);
        SeccompRule::new(vec![Condition::new(0, Len::Qword, Op::MaskedEq(flag), flag)?])
    };
    rules.insert(libc::SYS_clone, NEW_NAMESPACES.iter().map(flagged).collect::<Result<_, _>>()?);
    let typing = |request: &u64| SeccompRule::new(vec![is(1, Op::Eq, *request)?]);
    rules.insert(libc::SYS_ioctl, TYPING.iter().map(typing).collect::<Result<_, _>>()?);
    Ok(rules)
}

/// Refuse the calls of the x32 interface: they are the same calls by other numbers.
#[cfg(target_arch = "x86_64")]
fn no_x32() -> BpfProgram {
    const X32: u32 = 0x4000_0000;
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_GE: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_GE, 0, 1, X32),
        step(RETURN, 0, 0, refuse),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}
