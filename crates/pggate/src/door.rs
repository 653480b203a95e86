//! Who may come in: by the ticket's name, to the database that its lease leads to.

use std::sync::Arc;

use flyball_gateway::{Kit, Session};
use flyball_pgwire::{Admission, Door, Hello, Later, Upstream, Verifier};

use crate::catalogs::Database;
use crate::gate::TaskGate;

/// What a session at a target needs.
pub(crate) struct Target {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) database: Arc<Database>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.upstream)
    }
}

/// The gateway's kit.
pub(crate) type PgKit = Kit<Verifier, Target>;

pub(crate) struct TicketDoor {
    pub(crate) kit: Arc<PgKit>,
}

impl TicketDoor {
    fn admitted(&self, hello: &Hello) -> Option<Admission> {
        let session: Session<Verifier, Target> = self.kit.admit(&hello.user)?;
        let target = &session.upstream;
        // psql names the user's own database where none is named: that is the lease's here.
        let fits = hello.database == target.upstream.database || hello.database == hello.user;
        fits.then(|| Admission {
            verifier: session.verifier.clone(),
            upstream: Arc::clone(&target.upstream),
            gate: Arc::new(TaskGate::new(&self.kit, &session)),
            fence: session.notice(),
        })
    }
}

impl Door for TicketDoor {
    fn admit<'a>(&'a self, hello: &'a Hello) -> Later<'a, Option<Admission>> {
        Box::pin(std::future::ready(self.admitted(hello)))
    }
}
