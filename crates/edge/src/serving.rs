//! The threads of a gateway in this process, and the places where it listens.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::config::{Listen, StartError};
use crate::listen::{Bound, Place};
use crate::tls::{Certificates, Renewed};

/// A gateway's own runtime: started once, stopped, or forgotten.
pub struct Serving {
    name: &'static str,
    prepare: fn(),
    running: Mutex<Option<Running>>,
}

struct Running {
    runtime: Runtime,
    sockets: Vec<PathBuf>,
    certificates: Vec<Arc<Certificates>>,
}

impl Serving {
    /// Nothing runs yet. `name` is that of its threads; `prepare` is called first on each of them.
    pub fn new(name: &'static str, prepare: fn()) -> Self {
        Self { name, prepare, running: Mutex::new(None) }
    }

    /// Whether a gateway can be run so: plain TCP on loopback alone, and at least one of each.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(listen: &[Listen], workers: usize, connections: usize) -> Result<(), StartError> {
        for listen in listen {
            if let Listen::Tcp { tcp } = listen
                && !tcp.ip().is_loopback()
            {
                return Err(StartError::Config(format!("{tcp} is not loopback; the gateway needs TLS there")));
            }
        }
        if workers == 0 || connections == 0 || listen.is_empty() {
            return Err(StartError::Config("it has no place, no thread or no connection".to_owned()));
        }
        Ok(())
    }

    /// Listen everywhere, or nowhere. `serve` gets each place on the runtime, to spawn there what serves it. The bound
    /// places, in the configuration's order.
    ///
    /// # Errors
    /// It runs already, or a place, a certificate or a thread could not be had.
    pub fn start(
        &self,
        listen: &[Listen],
        workers: usize,
        alpn: &[u8],
        mut serve: impl FnMut(Place) -> std::io::Result<()>,
    ) -> Result<Vec<Bound>, StartError> {
        let mut running = self.running.lock();
        if running.is_some() {
            return Err(StartError::Config("the gateway is started already".to_owned()));
        }
        // More threads than processors only take turns.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers.min(processors))
            .thread_name(self.name)
            .on_thread_start(self.prepare)
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        let (mut bound, mut places, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
        for listen in listen {
            let (place, at) = Place::open(listen, &[alpn])?;
            if let Bound::Unix(path) = &at {
                sockets.push(path.clone());
            }
            places.push(place);
            bound.push(at);
        }
        let certificates = places.iter().filter_map(Place::certificates).collect();
        let inside = runtime.enter();
        for place in places {
            serve(place).map_err(StartError::Threads)?;
        }
        drop(inside);
        *running = Some(Running { runtime, sockets, certificates });
        Ok(bound)
    }

    /// Where to spawn what belongs to the gateway, while it runs.
    pub fn handle(&self) -> Option<Handle> {
        self.running.lock().as_ref().map(|running| running.runtime.handle().clone())
    }

    /// Look at the certificates' files of all TLS listeners again. May block.
    pub fn renew(&self) -> Vec<Renewed> {
        let certificates = self.running.lock().as_ref().map(|running| running.certificates.clone());
        certificates.iter().flatten().map(|one| one.renew()).collect()
    }

    /// Close everything: what is live ends.
    pub fn stop(&self) {
        let running = self.running.lock().take();
        if let Some(Running { runtime, sockets, .. }) = running {
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
}
