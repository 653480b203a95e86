//! One process made small before it becomes somebody else's program.
//!
//! What enters: which files it may read and write, and the loopback ports that it may connect to.
//! What leaves: nothing; or an error, after which the process must not go on. What always holds: a
//! step that could not be taken whole is an error or says so, and never passes for taken. No step is
//! a wall by itself: a Unix socket in a file stays reachable from another network namespace and under
//! Landlock, Landlock knows TCP alone, seccomp sees no paths. They are meant together, in this order:
//! [`namespaces`], [`become_user`], [`files_and_ports`], [`system_calls`], and then `exec`.

mod calls;
mod files;
mod ground;

pub use calls::system_calls;
pub use files::{Grants, files_and_ports};
pub use ground::{become_user, namespaces, own_proc};

/// A step that could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The kernel refused.
    #[error("{step}: {source}")]
    Kernel {
        /// What was tried.
        step: &'static str,
        /// What it said.
        source: std::io::Error,
    },
    /// It cannot be done here.
    #[error("{0}")]
    Missing(String),
}

pub(crate) fn kernel(step: &'static str) -> impl FnOnce(nix::Error) -> Fault {
    move |error| Fault::Kernel { step, source: error.into() }
}
