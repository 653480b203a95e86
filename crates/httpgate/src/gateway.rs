//! The gateway as the control plane holds it: started, stopped, told upstreams, lent leases, asked for tickets.

use crate::door::{HttpKit, Purse, TicketDoor};
use flyball_broker::{Authority, AuthorityFault, Broker, Limits, System, UpstreamConfig, Upstreams, WrongUpstream};
use flyball_decision::{Clock, Plane, Sink};
use flyball_edge::{Bound, Listen, Place, StartError};
use flyball_gateway::{Kit, KitError, Lease, Parts, Salted, Ticket};
use parking_lot::Mutex;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;

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

/// What the gateway works with.
pub struct Given {
    /// Decides.
    pub plane: Arc<Plane>,
    /// Makes records durable.
    pub sink: Arc<dyn Sink>,
    /// The clocks, those of the plane's other callers.
    pub clock: Clock,
    /// How long a decision waits for its record at most.
    pub max_wait: Duration,
    /// Called first on each thread of the gateway's, for what its owner wants of them.
    pub prepare: fn(),
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
    prepare: fn(),
    running: Mutex<Option<(Runtime, Vec<PathBuf>)>>,
}

impl Gateway {
    /// A gateway that does not listen yet, and knows no upstream.
    ///
    /// # Errors
    /// The configuration is none.
    pub fn new(given: Given, config_json: &[u8]) -> Result<Self, Fault> {
        let bad = |text: String| StartError::Config(text);
        let config: Config = serde_json::from_slice(config_json).map_err(|error| bad(error.to_string()))?;
        for listen in &config.listen {
            if let Listen::Tcp { tcp } = listen
                && !tcp.ip().is_loopback()
            {
                return Err(bad(format!("{tcp} is not loopback; the gateway needs TLS there")).into());
            }
        }
        if config.workers == 0 || config.max_connections == 0 || config.listen.is_empty() {
            return Err(bad("it has no place, no thread or no connection".to_owned()).into());
        }
        let Given { plane, sink, clock, max_wait, prepare } = given;
        let kit = Kit::new(Parts { plane, sink, clock, max_wait, kind: KIND });
        let purse = Arc::new(Purse::default());
        let door = TicketDoor { kit: Arc::clone(&kit), purse: Arc::clone(&purse) };
        let limits = Limits { connections: config.max_connections, body: config.max_body, ..Limits::default() };
        let broker = Broker::new(limits, Arc::new(door), Arc::new(System));
        Ok(Self { kit, purse, broker, config, prepare, running: Mutex::default() })
    }

    /// Listen everywhere, or nowhere. The bound places, in the configuration's order.
    ///
    /// # Errors
    /// A place, a certificate or a thread could not be had.
    pub fn start(&self) -> Result<Vec<Bound>, Fault> {
        let mut running = self.running.lock();
        if running.is_some() {
            return Err(StartError::Config("the gateway is started already".to_owned()).into());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.config.workers)
            .thread_name("flyball-http")
            .on_thread_start(self.prepare)
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        let (mut bound, mut places, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
        for listen in &self.config.listen {
            let (place, at) = Place::open(listen, &[b"http/1.1"])?;
            if let Bound::Unix(path) = &at {
                sockets.push(path.clone());
            }
            places.push(place);
            bound.push(at);
        }
        let inside = runtime.enter();
        for place in places {
            let broker = Arc::clone(&self.broker);
            match place {
                Place::Tcp(listener) => {
                    let listener = TcpListener::from_std(listener).map_err(StartError::Threads)?;
                    runtime.spawn(broker.listen(listener, None));
                }
                Place::Tls(listener, config) => {
                    let listener = TcpListener::from_std(listener).map_err(StartError::Threads)?;
                    runtime.spawn(broker.listen_tls(listener, config));
                }
                Place::Unix(listener, _) => {
                    let listener = UnixListener::from_std(listener).map_err(StartError::Threads)?;
                    runtime.spawn(broker.listen_unix(listener));
                }
            }
        }
        drop(inside);
        *running = Some((runtime, sockets));
        Ok(bound)
    }

    /// Close everything: live connections end.
    pub fn stop(&self) {
        let running = self.running.lock().take();
        if let Some((runtime, sockets)) = running {
            for socket in sockets {
                drop(std::fs::remove_file(socket));
            }
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }

    /// Forget the threads without waiting for them: for a forked child, which has none.
    pub fn forget(&self) {
        if let Some(mut running) = self.running.try_lock()
            && let Some(running) = running.take()
        {
            std::mem::forget(running);
        }
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
