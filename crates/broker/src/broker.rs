//! Connections taken, one task each; what all of them share.

use crate::authority::Authority;
use crate::exchange::{Conn, Origin, serve};
use crate::guard::Guard;
use crate::port::{Admission, Door, Later, Resolve, closed};
use crate::settings::{Limits, Upstreams};
use crate::upstream::{Pool, Wire};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// The broker.
pub struct Broker {
    pub(crate) limits: Limits,
    pub(crate) door: Arc<dyn Door>,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) pool: Pool,
    upstreams: RwLock<Arc<Upstreams>>,
    authority: RwLock<Option<Arc<Authority>>>,
    places: Arc<Semaphore>,
}

impl Broker {
    /// A broker whose clients that door knows. It knows no upstream yet.
    pub fn new(limits: Limits, door: Arc<dyn Door>, resolver: Arc<dyn Resolve>) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(limits.connections));
        Arc::new(Self {
            limits,
            door,
            resolver,
            pool: Pool::default(),
            upstreams: RwLock::default(),
            authority: RwLock::default(),
            places,
        })
    }

    /// Go on with these upstreams; the authority answers for those that are intercepted.
    pub fn set(&self, upstreams: Upstreams, authority: Option<Authority>) {
        *self.upstreams.write() = Arc::new(upstreams);
        *self.authority.write() = authority.map(Arc::new);
    }

    /// The authority's certificate, for clients to trust; none where nothing is intercepted.
    pub fn authority_pem(&self) -> Option<String> {
        self.authority().map(|authority| authority.certificate_pem().to_owned())
    }

    pub(crate) fn upstreams(&self) -> Arc<Upstreams> {
        Arc::clone(&self.upstreams.read())
    }

    pub(crate) fn authority(&self) -> Option<Arc<Authority>> {
        self.authority.read().clone()
    }

    pub(crate) fn keep(&self, task: &Arc<str>, wire: Wire) {
        self.pool.put(task, wire, self.limits.pooled);
    }

    /// Close the idle connections that were kept for a task.
    pub fn forget(&self, task: &str) {
        self.pool.forget(task);
    }

    /// Take connections until the future is dropped. With an upstream's name the listener is that API to
    /// its clients; without one it is a proxy, and `/name/…` is the API `name`.
    pub async fn listen(self: Arc<Self>, listener: TcpListener, upstream: Option<String>) {
        let local = listener.local_addr().ok();
        loop {
            let Some((stream, place)) = self.next(listener.accept().await.map(|(stream, _)| stream)).await else {
                continue;
            };
            // Small answers must not wait for more.
            let _ = stream.set_nodelay(true);
            let origin = upstream.clone().map_or(Origin::Open(local), Origin::Upstream);
            tokio::spawn(connection(Arc::clone(&self), stream, origin, place));
        }
    }

    /// The same for a proxy behind TLS. Each handshake goes by the configuration that is in force as it begins.
    pub async fn listen_tls(self: Arc<Self>, listener: TcpListener, in_force: impl Fn() -> Arc<ServerConfig> + Send) {
        loop {
            let Some((stream, place)) = self.next(listener.accept().await.map(|(stream, _)| stream)).await else {
                continue;
            };
            let _ = stream.set_nodelay(true);
            let (broker, accepting) = (Arc::clone(&self), TlsAcceptor::from(in_force()).accept(stream));
            tokio::spawn(async move {
                let Ok(Ok(stream)) = timeout(broker.limits.head_time, accepting).await else { return };
                connection(broker, stream, Origin::Open(None), place).await;
            });
        }
    }

    /// The same at a Unix socket.
    pub async fn listen_unix(self: Arc<Self>, listener: UnixListener) {
        loop {
            let Some((stream, place)) = self.next(listener.accept().await.map(|(stream, _)| stream)).await else {
                continue;
            };
            tokio::spawn(connection(Arc::clone(&self), stream, Origin::Open(None), place));
        }
    }

    /// An accepted connection, and its place; none where there is none left.
    async fn next<S>(&self, accepted: std::io::Result<S>) -> Option<(S, Arc<OwnedSemaphorePermit>)> {
        let Ok(stream) = accepted else {
            // Out of descriptors: let some connections end.
            tokio::time::sleep(Duration::from_millis(10)).await;
            return None;
        };
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some((stream, Arc::new(place)))
    }
}

/// Serve one connection to its end, or until the task that it serves is fenced.
pub(crate) fn connection<S>(
    broker: Arc<Broker>,
    io: S,
    origin: Origin,
    place: Arc<OwnedSemaphorePermit>,
) -> Later<'static, ()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Box::pin(async move {
        let (guard, handle) = Guard::new(io, &broker.limits);
        let arm = Arm::default();
        if let Origin::Tunnel { admission, .. } = &origin {
            arm.set(Some(Arc::clone(admission)));
        }
        let fired = arm.fired();
        let pool = Arc::clone(&broker);
        let headers = broker.limits.headers;
        let conn = Arc::new(Conn { broker, origin, handle, arm, place });
        let service = service_fn(move |request| serve(Arc::clone(&conn), request));
        let mut http = http1::Builder::new();
        http.max_headers(headers + 1).header_read_timeout(None).half_close(false);
        let serving = http.serve_connection(TokioIo::new(guard), service).with_upgrades();
        tokio::select! {
            biased;
            task = fired => pool.forget(&task),
            _ = serving => {}
        }
    })
}

type Served = Option<Arc<Admission>>;

/// The task whose fence closes a connection: that whose answer is under way on it, or was the last.
pub(crate) struct Arm(watch::Sender<Served>);

impl Default for Arm {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Arm {
    pub(crate) fn set(&self, served: Served) {
        self.0.send_replace(served);
    }

    /// Ends when the fence of the task that is set then closes; which task that was.
    fn fired(&self) -> impl Future<Output = Arc<str>> + Send + 'static {
        let mut set = self.0.subscribe();
        async move {
            loop {
                let served = set.borrow_and_update().clone();
                let Some(admission) = served else {
                    if set.changed().await.is_err() {
                        return std::future::pending().await;
                    }
                    continue;
                };
                let mut fence = admission.fence.clone();
                tokio::select! {
                    changed = set.changed() => if changed.is_err() {
                        return std::future::pending().await;
                    },
                    () = closed(&mut fence) => return Arc::clone(&admission.task),
                }
            }
        }
    }
}
