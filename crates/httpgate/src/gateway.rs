//! The gateway as the control plane holds it: started, stopped, told upstreams, lent leases, asked for tickets.

use crate::door::{HttpKit, Purse, TicketDoor};
use flyball_broker::{Authority, AuthorityFault, Broker, Limits, System, UpstreamConfig, Upstreams, WrongUpstream};
use flyball_edge::{Bound, Listen, Parts, Place, Renewed, Serving, StartError};
use flyball_gateway::{Kit, KitError, Lease, Salted, Ticket};
use serde::Deserialize;
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};

/// The gateway's kind, as bundles name it.
const KIND: &str = "http";

/// Where it listens, and how much it takes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The places.
    pub listen: Vec<Listen>,
    /// Connections at once, over all places.
    pub max_connections: usize,
    /// Bytes of a body that is decided on or reported.
    pub max_body: usize,
    /// Threads that serve.
    pub workers: usize,
}

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// An upstream cannot be used.
    #[error(transparent)]
    Upstream(#[from] WrongUpstream),
    /// What was told of upstreams is not JSON of the right shape.
    #[error("upstreams cannot be read: {0}")]
    Upstreams(#[from] serde_json::Error),
    /// The interception authority cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityFault),
    /// No ticket.
    #[error(transparent)]
    Ticket(#[from] KitError),
}

/// The HTTP gateway.
pub struct Gateway {
    kit: Arc<HttpKit>,
    purse: Arc<Purse>,
    broker: Arc<Broker>,
    config: Config,
    serving: Serving,
}

impl Gateway {
    /// A gateway that does not listen yet, and knows no upstream.
    ///
    /// # Errors
    /// The configuration is none.
    pub fn new(parts: &Parts, config_json: &[u8]) -> Result<Self, Fault> {
        let config: Config =
            serde_json::from_slice(config_json).map_err(|error| StartError::Config(error.to_string()))?;
        Serving::check(&config.listen, config.workers, config.max_connections)?;
        let kit = Kit::new(parts.kit(KIND));
        let purse = Arc::new(Purse::default());
        let door = TicketDoor { kit: Arc::clone(&kit), purse: Arc::clone(&purse) };
        let limits = Limits { connections: config.max_connections, body: config.max_body, ..Limits::default() };
        let broker = Broker::new(limits, Arc::new(door), Arc::new(System));
        Ok(Self { kit, purse, broker, config, serving: Serving::new("flyball-http", parts.prepare) })
    }

    /// Listen everywhere, or nowhere. The bound places, in the configuration's order.
    ///
    /// # Errors
    /// A place, a certificate or a thread could not be had.
    pub fn start(&self) -> Result<Vec<Bound>, Fault> {
        Ok(self.serving.start(&self.config.listen, self.config.workers, b"http/1.1", |place| {
            let broker = Arc::clone(&self.broker);
            match place {
                Place::Tcp(listener) => tokio::spawn(broker.listen(TcpListener::from_std(listener)?, None)),
                Place::Tls(listener, certificates) => {
                    let in_force = move || Arc::clone(&certificates.shown().config);
                    tokio::spawn(broker.listen_tls(TcpListener::from_std(listener)?, in_force))
                }
                Place::Unix(listener, _) => tokio::spawn(broker.listen_unix(UnixListener::from_std(listener)?)),
            };
            Ok(())
        })?)
    }

    /// Look at the certificates' files again. May block.
    pub fn renew(&self) -> Vec<Renewed> {
        self.serving.renew()
    }

    /// Close everything: live connections end.
    pub fn stop(&self) {
        self.serving.stop();
    }

    /// Forget the threads without waiting for them: for a forked child, which has none.
    pub fn forget(&self) {
        self.serving.forget();
    }

    /// Go on with these upstreams. Where some of them are intercepted, the authority's certificate for exactly their
    /// hosts, PEM, made with that key.
    ///
    /// # Errors
    /// One is not sound, and those before stay; or the key is none.
    pub fn know(&self, upstreams_json: &[u8], key_pem: &str) -> Result<Option<String>, Fault> {
        let configs: Vec<UpstreamConfig> = serde_json::from_slice(upstreams_json)?;
        let upstreams = Upstreams::new(configs)?;
        let hosts = upstreams.intercepted();
        let authority = if hosts.is_empty() { None } else { Some(Authority::new(key_pem, hosts)?) };
        let pem = authority.as_ref().map(|authority| authority.certificate_pem().to_owned());
        self.broker.set(upstreams, authority);
        Ok(pem)
    }

    /// A key for the authority, PEM.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new_key() -> Result<String, Fault> {
        Ok(Authority::new_key()?)
    }

    /// Take over a lease that is ACTIVE: the credential of a task at an upstream.
    pub fn lend(&self, task: &str, credential: &str, lease: &str, upstream: &str, secret: &str) {
        self.purse.put(task, lease, upstream, secret);
        let (task, credential) = (task.to_owned(), credential.to_owned());
        self.kit.lend(Lease { task, credential, lease: lease.to_owned(), upstream: () });
    }

    /// Let go of a lease: what its tickets opened closes. True if it was lent.
    pub fn take_back(&self, lease: &str) -> bool {
        // Also where its task was fenced before, and the kit has let go of it already.
        let task = self.purse.remove(lease);
        let was_lent = self.kit.take_back(lease);
        if let Some(task) = &task {
            self.broker.forget(task);
        }
        was_lent || task.is_some()
    }

    /// The lease that is lent for a credential of a task.
    pub fn lent(&self, task: &str, credential: &str) -> Option<String> {
        self.kit.lent(task, credential)
    }

    /// A ticket for a credential that is lent. It opens all that is lent for its task.
    ///
    /// # Errors
    /// It is not lent.
    pub fn ticket(&self, task: &str, credential: &str, ttl_ms: i64) -> Result<Ticket, Fault> {
        Ok(self.kit.ticket(task, credential, None, ttl_ms, Salted::of)?)
    }
}
