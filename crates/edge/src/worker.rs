//! One thread that serves: its runtime, its connections.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use flyball_decision::{Clock, Plane, Sink, Verdict};
use flyball_gateway::{Kit, Secret};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::auth::Connection;
use crate::config::Config;
use crate::dpop::Used;
use crate::inbox::Slots;
use crate::listen::{Place, Serves};
use crate::peer::{self, Peer};
use crate::{ext_authz, serve};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes of a request's head at most, and of the buffer it is read into.
const HEAD_BYTES: usize = 32 * 1024;
/// Headers of a request at most.
const HEADERS: usize = 64;

/// Streams of one gRPC connection at most, and the time after which a silent one is asked whether it lives.
const STREAMS: u32 = 512;
const PING: Duration = Duration::from_secs(20);

/// Runs the streams of a connection on its own thread.
#[derive(Clone, Copy)]
pub(crate) struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        drop(spawn_local(async move { drop(task.await) }));
    }
}

fn grpc_builder() -> http2::Builder<Local> {
    let mut grpc = http2::Builder::new(Local);
    grpc.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(32 * 1024)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    grpc
}

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) plane: Arc<Plane>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) clock: Clock,
    pub(crate) max_wait: Duration,
    pub(crate) config: Config,
    pub(crate) used: Used,
    pub(crate) connections: AtomicUsize,
    /// Leases whose secrets Envoy puts into requests.
    pub(crate) lent: Arc<Kit<(), Secret>>,
    /// No more requests should come; health checks say so.
    pub(crate) draining: AtomicBool,
}

/// What the tasks of one worker share.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) slots: Rc<Slots<Verdict>>,
    http: http1::Builder,
    grpc: http2::Builder<Local>,
    stop: watch::Receiver<Option<Duration>>,
    open: Cell<usize>,
}

/// Counts a connection for as long as it lives.
struct Counted(Rc<Worker>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.shared.connections.fetch_sub(1, Relaxed);
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}

/// Serve until told to stop (with how long requests in flight may take). Runs on its own thread.
pub(crate) fn run(
    runtime: &tokio::runtime::Runtime,
    shared: Arc<Shared>,
    places: Vec<(Place, Serves)>,
    stop: watch::Receiver<Option<Duration>>,
) {
    let local = LocalSet::new();
    local.block_on(runtime, async move {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(shared.config.head_timeout)
            .max_headers(HEADERS)
            .max_buf_size(HEAD_BYTES)
            .pipeline_flush(true)
            .half_close(false);
        let mut stopping = stop.clone();
        let grpc = grpc_builder();
        let worker = Rc::new(Worker { shared, slots: Slots::new(), http, grpc, stop, open: Cell::new(0) });
        spawn_local(Rc::clone(&worker.slots).run());
        let accepting: Vec<_> =
            places.into_iter().map(|(place, serves)| spawn_local(accept(Rc::clone(&worker), place, serves))).collect();
        let drain = match stopping.wait_for(Option::is_some).await {
            Ok(drain) => drain.unwrap_or_default(),
            Err(_) => Duration::ZERO,
        };
        for task in accepting {
            task.abort();
        }
        // Each connection finishes the request that it is in, and closes.
        let empty = async {
            while worker.open.get() > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        drop(timeout(drain, empty).await);
    });
}

async fn accept(worker: Rc<Worker>, place: Place, serves: Serves) {
    match place {
        Place::Tcp(listener) => {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            loop {
                let Some((stream, _)) = patient(listener.accept().await).await else { continue };
                if let Some(counted) = worker.admit() {
                    let local = stream.local_addr().ok();
                    drop(stream.set_nodelay(true));
                    spawn_local(connection(counted, stream, Connection::new(Peer::Tcp, local), serves));
                }
            }
        }
        Place::Tls(listener, certificates) => {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            loop {
                let Some((stream, _)) = patient(listener.accept().await).await else { continue };
                if let Some(counted) = worker.admit() {
                    drop(stream.set_nodelay(true));
                    let acceptor = TlsAcceptor::from(Arc::clone(&certificates.shown().config));
                    spawn_local(handshake(counted, acceptor, stream, serves));
                }
            }
        }
        Place::Unix(listener, _) => {
            let Ok(listener) = UnixListener::from_std(listener) else { return };
            loop {
                let Some((stream, _)) = patient(listener.accept().await).await else { continue };
                // Without the kernel's word for who it is, nobody is served.
                let Ok(cred) = stream.peer_cred() else { continue };
                if let Some(counted) = worker.admit() {
                    let peer = Peer::Unix { uid: cred.uid() };
                    spawn_local(connection(counted, stream, Connection::new(peer, None), serves));
                }
            }
        }
    }
}

/// An accepted connection. After an error (out of file descriptors, say) breathe before the next.
async fn patient<T>(accepted: std::io::Result<T>) -> Option<T> {
    if accepted.is_err() {
        sleep(Duration::from_millis(20)).await;
    }
    accepted.ok()
}

async fn handshake(counted: Counted, acceptor: TlsAcceptor, stream: TcpStream, serves: Serves) {
    let local = stream.local_addr().ok();
    let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let peer = leaf.map_or(Peer::Tls, |leaf| peer::of_certificate(leaf.as_ref()));
    connection(counted, stream, Connection::new(peer, local), serves).await;
}

/// Serve one connection until it ends, or until the request in flight is answered after `stop`.
async fn connection<S>(counted: Counted, stream: S, conn: Connection, serves: Serves)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let worker = Rc::clone(&counted.0);
    let conn = Rc::new(conn);
    let mut stop = worker.stop.clone();
    // The two kinds of connection have no trait in common.
    macro_rules! serve {
        ($serving:expr) => {{
            let serving = $serving;
            tokio::pin!(serving);
            let ended = tokio::select! {
                biased;
                _ = serving.as_mut() => true,
                _ = stop.wait_for(Option::is_some) => {
                    serving.as_mut().graceful_shutdown();
                    false
                }
            };
            if !ended {
                drop(serving.await);
            }
        }};
    }
    let stream = TokioIo::new(stream);
    match serves {
        Serves::AuthZen => {
            let service = service_fn(|request| serve::request(Rc::clone(&worker), Rc::clone(&conn), request));
            serve!(worker.http.serve_connection(stream, service));
        }
        Serves::ExtAuthz => {
            // HTTP/2 has no time for a head: who sends nothing at all is let go.
            let asked = Rc::new(Cell::new(false));
            let seen = Rc::clone(&asked);
            let owner = Rc::clone(&worker);
            let service = service_fn(move |request| {
                seen.set(true);
                // Boxed: it is large, and what holds it is moved several times.
                Box::pin(ext_authz::request(Rc::clone(&owner), Rc::clone(&conn), request))
            });
            let silent = async {
                sleep(worker.shared.config.head_timeout).await;
                if asked.get() {
                    std::future::pending::<()>().await;
                }
            };
            let serving = async { serve!(worker.grpc.serve_connection(stream, service)) };
            tokio::select! {
                () = serving => {}
                () = silent => {}
            }
        }
    }
    drop(counted);
}

impl Worker {
    /// Count one more connection, unless there are as many as may be.
    fn admit(self: &Rc<Self>) -> Option<Counted> {
        if self.shared.connections.fetch_add(1, Relaxed) >= self.shared.config.max_connections {
            self.shared.connections.fetch_sub(1, Relaxed);
            return None;
        }
        self.open.set(self.open.get() + 1);
        Some(Counted(Rc::clone(self)))
    }
}
