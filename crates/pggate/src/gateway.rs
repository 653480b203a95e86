//! The gateway as the control plane holds it: started, stopped, lent leases, asked for tickets.

use std::collections::HashMap;
use std::sync::Arc;

use flyball_edge::{Bound, Listen, Parts, Place as Listener, Renewed, Serving, StartError};
use flyball_gateway::{Kit, KitError, Lease, Ticket};
use flyball_pgsql::Policy;
use flyball_pgwire::{Proxy, Secured, Settings, Upstream, Verifier, end_point};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::net::{TcpListener, UnixListener};
use zeroize::Zeroizing;

use crate::catalogs::Database;
use crate::door::{PgKit, Target, TaskDoor};
use crate::target::{Place, TargetError};

/// The gateway's kind, as bundles name it.
const KIND: &str = "postgresql";

/// Where it listens, and how much it takes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The places.
    pub listen: Vec<Listen>,
    /// Connections at once, at each place.
    pub max_connections: usize,
    /// Threads that serve.
    pub workers: usize,
    /// The trust domain that the authorities of client certificates vouch for; none logs in by certificate.
    #[serde(default)]
    pub client_trust_domain: Option<String>,
}

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A lease's target cannot be used.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// No ticket.
    #[error(transparent)]
    Ticket(#[from] KitError),
    /// It does not run.
    #[error("the gateway does not run")]
    Stopped,
}

/// The PostgreSQL gateway.
pub struct Gateway {
    kit: Arc<PgKit>,
    config: Config,
    /// By all that their judging depends on.
    databases: Arc<Mutex<HashMap<String, Arc<Database>>>>,
    serving: Serving,
}

impl Gateway {
    /// A gateway that does not listen yet.
    ///
    /// # Errors
    /// The configuration is none.
    pub fn new(parts: &Parts, config_json: &[u8]) -> Result<Self, Fault> {
        let config: Config =
            serde_json::from_slice(config_json).map_err(|error| StartError::Config(error.to_string()))?;
        Serving::check(&config.listen, config.workers, config.max_connections)?;
        let kit = Kit::new(parts.kit(KIND));
        Ok(Self { kit, config, databases: Arc::default(), serving: Serving::new("flyball-pg", parts.prepare) })
    }

    /// Listen everywhere, or nowhere. The bound places, in the configuration's order.
    ///
    /// # Errors
    /// A place, a certificate or a thread could not be had.
    pub fn start(&self) -> Result<Vec<Bound>, Fault> {
        Ok(self.serving.start(&self.config.listen, self.config.workers, b"postgresql", |place| self.serve(place))?)
    }

    fn serve(&self, place: Listener) -> std::io::Result<()> {
        let mut settings =
            Settings { require_tls: false, connections: self.config.max_connections, ..Settings::default() };
        let trust_domain = self.config.client_trust_domain.clone();
        let door = Arc::new(TaskDoor { kit: Arc::clone(&self.kit), trust_domain });
        match place {
            Listener::Tcp(listener) => {
                let listener = TcpListener::from_std(listener)?;
                tokio::spawn(Proxy::new(settings, door).listen(listener, |_| ()));
            }
            Listener::Tls(listener, certificates) => {
                settings.tls = Some(Arc::new(move || {
                    let shown = certificates.shown();
                    Secured { config: Arc::clone(&shown.config), end_point: end_point(&shown.leaf) }
                }));
                settings.require_tls = true;
                let listener = TcpListener::from_std(listener)?;
                tokio::spawn(Proxy::new(settings, door).listen(listener, |_| ()));
            }
            Listener::Unix(listener, _) => {
                let listener = UnixListener::from_std(listener)?;
                tokio::spawn(Proxy::new(settings, door).listen(listener, |_| ()));
            }
        }
        Ok(())
    }

    /// Look at the certificates' files again. May block.
    pub fn renew(&self) -> Vec<Renewed> {
        self.serving.renew()
    }

    /// Close everything: live sessions end.
    pub fn stop(&self) {
        self.serving.stop();
    }

    /// Forget the threads without waiting for them: for a forked child, which has none.
    pub fn forget(&self) {
        self.serving.forget();
    }

    /// Take over a lease that is ACTIVE. Looks the target's name up: may block.
    ///
    /// # Errors
    /// The gateway does not run, or cannot reach such a target safely.
    pub fn lend(&self, task: &str, credential: &str, lease: &str, place: &Place, secret: &str) -> Result<(), Fault> {
        let (address, tls) = place.way()?;
        let upstream = Arc::new(Upstream {
            address,
            user: place.user.clone(),
            secret: Zeroizing::new(secret.to_owned()),
            database: place.database.clone(),
            tls,
            search_path: place.path_text(),
        });
        let database = self.database(place, address)?;
        database.add(lease, Arc::clone(&upstream));
        let (task, credential) = (task.to_owned(), credential.to_owned());
        self.kit.lend(Lease { task, credential, lease: lease.to_owned(), upstream: Target { upstream, database } });
        Ok(())
    }

    fn database(&self, place: &Place, address: std::net::SocketAddr) -> Result<Arc<Database>, Fault> {
        let runtime = self.serving.handle().ok_or(Fault::Stopped)?;
        let judging = (&place.search_path, &place.functions, &place.triggers, place.foreign_tables);
        let key = format!("{}|{address}|{}|{judging:?}", place.target, place.database);
        let mut all = self.databases.lock();
        let found = all.entry(key).or_insert_with(|| {
            let policy = Policy {
                functions: place.functions.iter().cloned().collect(),
                triggers: place.triggers.iter().cloned().collect(),
                catalog: true,
                foreign_tables: place.foreign_tables,
                ..Policy::default()
            };
            let database = Database::new(&place.target, policy, &place.search_path);
            runtime.spawn(Arc::clone(&database).watch());
            database
        });
        Ok(Arc::clone(found))
    }

    /// Let go of a lease: its sessions end, its secret is wiped. True if it was lent.
    pub fn take_back(&self, lease: &str) -> bool {
        // Also where its task was fenced before, and the kit has let go of it already.
        self.databases.lock().values().for_each(|database| database.remove(lease));
        self.kit.take_back(lease)
    }

    /// The lease that is lent for a credential of a task.
    pub fn lent(&self, task: &str, credential: &str) -> Option<String> {
        self.kit.lent(task, credential)
    }

    /// A ticket for a credential that is lent; `renew` names one that gets a new secret.
    ///
    /// # Errors
    /// It is not lent.
    pub fn ticket(&self, task: &str, credential: &str, renew: Option<&str>, ttl_ms: i64) -> Result<Ticket, Fault> {
        Ok(self.kit.ticket(task, credential, renew, ttl_ms, |secret| Verifier::of(secret).ok())?)
    }
}
