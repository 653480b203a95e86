//! Starting and stopping.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use flyball_decision::{Clock, Plane, Sink};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::{Config, StartError};
use crate::dpop::Used;
use crate::listen::{Bound, Place};
use crate::worker::{Shared, run};

/// What the edge works with.
pub struct Parts {
    /// Decides.
    pub plane: Arc<Plane>,
    /// Makes records durable.
    pub sink: Arc<dyn Sink>,
    /// The clocks, those of the plane's other callers.
    pub clock: Clock,
    /// How long a decision waits for its record at most.
    pub max_wait: Duration,
    /// Called first on each thread of the edge's, for what its owner wants of them.
    pub prepare: fn(),
}

struct Running {
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<Option<Duration>>,
    sockets: Vec<PathBuf>,
}

/// AuthZEN over HTTP, on threads of its own.
pub struct Edge {
    shared: Arc<Shared>,
    prepare: fn(),
    running: Mutex<Option<Running>>,
}

impl Edge {
    /// An edge that does not listen yet.
    pub fn new(parts: Parts, config: Config) -> Self {
        let Parts { plane, sink, clock, max_wait, prepare } = parts;
        let shared =
            Shared { plane, sink, clock, max_wait, config, used: Used::default(), connections: AtomicUsize::new(0) };
        Self { shared: Arc::new(shared), prepare, running: Mutex::new(None) }
    }

    /// Listen everywhere, or nowhere. Returns the bound places, in the configuration's order.
    pub fn start(&self) -> Result<Vec<Bound>, StartError> {
        let mut running = self.running.lock();
        if running.is_some() {
            return Err(StartError::Config("the edge is started already".to_owned()));
        }
        let mut places = Vec::new();
        let mut bound = Vec::new();
        for listen in &self.shared.config.listen {
            let (place, at) = Place::open(listen, &[b"http/1.1"])?;
            places.push(place);
            bound.push(at);
        }
        let (stop, stopping) = watch::channel(None);
        let mut started = Running { threads: Vec::new(), stop, sockets: sockets(&bound) };
        for number in 0..self.shared.config.workers {
            let thread = self.worker(number, &places, stopping.clone());
            match thread {
                Ok(thread) => started.threads.push(thread),
                Err(error) => {
                    end(started, Duration::ZERO);
                    return Err(StartError::Threads(error));
                }
            }
        }
        *running = Some(started);
        Ok(bound)
    }

    fn worker(
        &self,
        number: usize,
        places: &[Place],
        stopping: watch::Receiver<Option<Duration>>,
    ) -> std::io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let places = places.iter().map(Place::share).collect::<std::io::Result<Vec<_>>>()?;
        let shared = Arc::clone(&self.shared);
        let prepare = self.prepare;
        Builder::new().name(format!("flyball-edge-{number}")).spawn(move || {
            prepare();
            run(&runtime, shared, places, stopping);
        })
    }

    /// Take no more connections, answer what is in flight for as long as `drain`, then close.
    pub fn stop(&self, drain: Duration) {
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

fn sockets(bound: &[Bound]) -> Vec<PathBuf> {
    bound
        .iter()
        .filter_map(|at| match at {
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
