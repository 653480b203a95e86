//! Starting and stopping.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use flyball_decision::{Clock, Plane, Sink};
use flyball_gateway::{Kit, Lease, Secret};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::{Config, StartError};
use crate::dpop::Used;
use crate::listen::{Bound, Place, Serves};
use crate::tls::{Certificates, Renewed};
use crate::worker::{Shared, run};

/// What the edge, or a gateway beside it, works with.
pub struct Parts {
    /// Decides.
    pub plane: Arc<Plane>,
    /// Makes records durable.
    pub sink: Arc<dyn Sink>,
    /// The clocks, those of the plane's other callers.
    pub clock: Clock,
    /// How long a decision waits for its record at most.
    pub max_wait: Duration,
    /// Called first on each of its threads, for what its owner wants of them.
    pub prepare: fn(),
    /// The same, on the threads that answer Envoy: it has many requests under way on few connections.
    pub prepare_for_many: fn(),
}

impl Parts {
    /// The same, for the kit of a gateway of that kind.
    pub fn kit(&self, kind: &'static str) -> flyball_gateway::Parts {
        let (plane, sink) = (Arc::clone(&self.plane), Arc::clone(&self.sink));
        flyball_gateway::Parts { plane, sink, clock: self.clock, max_wait: self.max_wait, kind }
    }
}

type Places = Vec<(Place, Serves)>;

struct Running {
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<Option<Duration>>,
    sockets: Vec<PathBuf>,
    certificates: Vec<Arc<Certificates>>,
}

/// AuthZEN over HTTP, and `ext_authz` over gRPC, on threads of its own.
pub struct Edge {
    shared: Arc<Shared>,
    prepare: fn(),
    prepare_for_many: fn(),
    running: Mutex<Option<Running>>,
}

impl Edge {
    /// An edge that does not listen yet.
    pub fn new(parts: Parts, config: Config) -> Self {
        let lent = Kit::new(parts.kit("ext_authz"));
        let Parts { plane, sink, clock, max_wait, prepare, prepare_for_many } = parts;
        let (used, connections, draining) = (Used::default(), AtomicUsize::new(0), AtomicBool::new(false));
        let shared = Shared { plane, sink, clock, max_wait, config, used, connections, lent, draining };
        Self { shared: Arc::new(shared), prepare, prepare_for_many, running: Mutex::new(None) }
    }

    /// Listen everywhere, or nowhere. Returns the bound places and what they serve, in the configuration's order.
    pub fn start(&self) -> Result<Vec<(Bound, Serves)>, StartError> {
        let mut running = self.running.lock();
        if running.is_some() {
            return Err(StartError::Config("the edge is started already".to_owned()));
        }
        let mut places = Vec::new();
        let mut bound = Vec::new();
        let config = &self.shared.config;
        let authzen = config.listen.iter().map(|listen| (listen, Serves::AuthZen));
        let ext_authz = config.ext_authz.listen.iter().map(|listen| (listen, Serves::ExtAuthz));
        for (listen, serves) in authzen.chain(ext_authz) {
            let (place, at) = Place::open(listen, &[serves.alpn()])?;
            places.push((place, serves));
            bound.push((at, serves));
        }
        self.shared.draining.store(false, Ordering::SeqCst);
        let (stop, stopping) = watch::channel(None);
        let certificates = places.iter().filter_map(|(place, _)| place.certificates()).collect();
        let mut started = Running { threads: Vec::new(), stop, sockets: sockets(&bound), certificates };
        let (for_one, for_many): (Places, Places) =
            places.into_iter().partition(|(_, serves)| *serves == Serves::AuthZen);
        for (name, places, prepare) in [("edge", for_one, self.prepare), ("authz", for_many, self.prepare_for_many)] {
            let workers = if places.is_empty() { 0 } else { self.shared.config.workers };
            for number in 0..workers {
                match self.worker(format!("flyball-{name}-{number}"), prepare, &places, stopping.clone()) {
                    Ok(thread) => started.threads.push(thread),
                    Err(error) => {
                        end(started, Duration::ZERO);
                        return Err(StartError::Threads(error));
                    }
                }
            }
        }
        *running = Some(started);
        Ok(bound)
    }

    fn worker(
        &self,
        name: String,
        prepare: fn(),
        places: &Places,
        stopping: watch::Receiver<Option<Duration>>,
    ) -> std::io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let share = |(place, serves): &(Place, Serves)| Ok((place.share()?, *serves));
        let places = places.iter().map(share).collect::<std::io::Result<Vec<_>>>()?;
        let shared = Arc::clone(&self.shared);
        Builder::new().name(name).spawn(move || {
            prepare();
            run(&runtime, shared, places, stopping);
        })
    }

    /// Take over a lease that is ACTIVE: its secret goes into requests of its task, as routes say.
    pub fn lend(&self, task: &str, credential: &str, lease: &str, secret: &str) {
        let (task, credential, lease) = (task.to_owned(), credential.to_owned(), lease.to_owned());
        self.shared.lent.lend(Lease { task, credential, lease, upstream: Secret::new(secret.to_owned()) });
    }

    /// Let go of a lease. True if it was lent.
    pub fn take_back(&self, lease: &str) -> bool {
        self.shared.lent.take_back(lease)
    }

    /// The newest lease that is lent for a credential.
    pub fn lent(&self, task: &str, credential: &str) -> Option<String> {
        self.shared.lent.lent(task, credential)
    }

    /// Look at the certificates' files of all TLS listeners again. May block.
    pub fn renew(&self) -> Vec<Renewed> {
        let certificates = self.running.lock().as_ref().map(|running| running.certificates.clone());
        certificates.iter().flatten().map(|one| one.renew()).collect()
    }

    /// Tell health checks that no more requests should come. They are answered until `stop`.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::SeqCst);
    }

    /// Take no more connections, answer what is in flight for as long as `drain`, then close.
    pub fn stop(&self, drain: Duration) {
        self.drain();
        let running = self.running.lock().take();
        if let Some(running) = running {
            end(running, drain);
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
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

fn sockets(bound: &[(Bound, Serves)]) -> Vec<PathBuf> {
    bound
        .iter()
        .filter_map(|(at, _)| match at {
            Bound::Unix(path) => Some(path.clone()),
            _ => None,
        })
        .collect()
}

fn end(running: Running, drain: Duration) {
    for socket in running.sockets {
        drop(std::fs::remove_file(socket));
    }
    let _ = running.stop.send(Some(drain));
    for thread in running.threads {
        // A worker that panicked has stopped serving, which is what was asked.
        drop(thread.join());
    }
}
