//! Who may come in: by a ticket's name or a certificate, to the database that the task's lease leads to.

use std::sync::Arc;

use flyball_edge::spiffe_id;
use flyball_gateway::{Kit, Session, TICKET};
use flyball_pgwire::{Admission, Close, Door, Hello, Later, Shows, Upstream, Verifier};

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

/// Clients by a ticket's name and secret, or by the certificate of the task's own principal.
pub(crate) struct TaskDoor {
    pub(crate) kit: Arc<PgKit>,
    /// The trust domain whose authorities verified the certificates.
    pub(crate) trust_domain: Option<String>,
}

impl TaskDoor {
    fn admitted(&self, hello: &Hello) -> Result<Option<Admission>, Close> {
        if let Some(session) = self.kit.admit(&hello.user) {
            let shows = Shows::Secret(session.verifier.clone());
            return Ok(fits(hello, &session.upstream).then(|| self.admission(&session, shows)));
        }
        match &hello.certificate {
            // Whether there is a ticket of some name is nobody's business.
            Some(certificate) if !hello.user.starts_with(TICKET) => {
                let session = self.by_certificate(certificate, hello).ok_or(Close::Login("certificate"))?;
                Ok(Some(self.admission(&session, Shows::Certificate)))
            }
            _ => Ok(None),
        }
    }

    /// The user is the task's id. Its principal is who the certificate names, in the trust domain of those who vouch.
    fn by_certificate(&self, certificate: &[u8], hello: &Hello) -> Option<Session<(), Target>> {
        let principal = spiffe_id(certificate)?;
        let domain = principal.strip_prefix("spiffe://")?.split_once('/')?.0;
        if self.trust_domain.as_deref() != Some(domain) {
            return None;
        }
        self.kit.admit_principal(&principal, &hello.user, |target| fits(hello, target))
    }

    fn admission<V>(&self, session: &Session<V, Target>, shows: Shows) -> Admission {
        Admission {
            shows,
            upstream: Arc::clone(&session.upstream.upstream),
            gate: Arc::new(TaskGate::new(&self.kit, session)),
            fence: session.notice(),
        }
    }
}

/// psql names the user's own database where none is named: that is the lease's here.
fn fits(hello: &Hello, target: &Target) -> bool {
    hello.database == target.upstream.database || hello.database == hello.user
}

impl Door for TaskDoor {
    fn admit<'a>(&'a self, hello: &'a Hello) -> Later<'a, Result<Option<Admission>, Close>> {
        Box::pin(std::future::ready(self.admitted(hello)))
    }
}
