//! Connections taken, one task each.

use crate::cancel::{Cancels, request};
use crate::close::Close;
use crate::frame::FrameLimits;
use crate::login::{Led, Wire, farewell, log_in};
use crate::message::frame;
use crate::port::{Admission, Door};
use crate::{relay, upstream};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::rustls;

/// What one handshake goes by.
#[derive(Clone)]
pub struct Secured {
    /// What accepts it; with a verifier of client certificates where they log in by SVID.
    pub config: Arc<rustls::ServerConfig>,
    /// What the client may bind its log-in to (see [`end_point`](crate::end_point())), by the certificate that it is
    /// shown; nothing where it cannot.
    pub end_point: Option<Vec<u8>>,
}

/// How the gateway treats its clients.
#[derive(Clone)]
pub struct Settings {
    /// TLS for clients: what the handshake that begins now goes by. Asked once for each.
    pub tls: Option<Arc<dyn Fn() -> Secured + Send + Sync>>,
    /// Whether a client must use it. Off on loopback and Unix sockets only.
    pub require_tls: bool,
    /// From the first byte to the open session.
    pub login_time: Duration,
    /// From a frame's first byte to its last.
    pub frame_time: Duration,
    /// How long a peer may leave what is written to it unread.
    pub write_time: Duration,
    /// Bounds of frames.
    pub frames: FrameLimits,
    /// Connections at once, those that log in among them.
    pub connections: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tls: None,
            require_tls: true,
            login_time: Duration::from_secs(10),
            frame_time: Duration::from_secs(30),
            write_time: Duration::from_secs(120),
            frames: FrameLimits::default(),
            connections: 1_000,
        }
    }
}

/// A socket that takes connections.
pub trait Listens: Send + Sync + 'static {
    /// The next of them.
    fn next(&self) -> impl Future<Output = std::io::Result<Box<dyn Wire>>> + Send;
}

impl Listens for TcpListener {
    async fn next(&self) -> std::io::Result<Box<dyn Wire>> {
        let (stream, _) = self.accept().await?;
        // Small answers must not wait for more.
        let _ = stream.set_nodelay(true);
        Ok(Box::new(stream))
    }
}

impl Listens for UnixListener {
    async fn next(&self) -> std::io::Result<Box<dyn Wire>> {
        Ok(Box::new(self.accept().await?.0))
    }
}

/// The gateway's listener.
pub struct Proxy {
    settings: Settings,
    door: Arc<dyn Door>,
    cancels: Cancels,
    places: Arc<Semaphore>,
}

impl Proxy {
    /// A gateway whose clients that door knows.
    pub fn new(settings: Settings, door: Arc<dyn Door>) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(settings.connections));
        Arc::new(Self { settings, door, cancels: Cancels::default(), places })
    }

    /// Take connections of a TCP or a Unix socket until the task is dropped. `ended` is told why each ended.
    pub async fn listen(self: Arc<Self>, listener: impl Listens, ended: impl Fn(&Close) + Clone + Send + 'static) {
        loop {
            let Ok(stream) = listener.next().await else {
                // Out of descriptors: let some connections end.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let Ok(place) = self.places.clone().try_acquire_owned() else { continue };
            let (proxy, ended) = (self.clone(), ended.clone());
            tokio::spawn(async move {
                let close = proxy.serve_wire(stream).await;
                ended(&close);
                drop(place);
            });
        }
    }

    /// Serve one connection of any kind.
    async fn serve_wire(&self, stream: Box<dyn Wire>) -> Close {
        let opening = async {
            let led = log_in(stream, &self.settings, self.door.as_ref(), &self.cancels).await?;
            match led {
                Led::Cancelled => Ok(None),
                Led::Session { wire, startup, admission } => {
                    match upstream::open(&admission.upstream, &startup).await {
                        Ok(opened) => Ok(Some((wire, admission, opened))),
                        Err(close) => Err((Some(wire), close)),
                    }
                }
            }
        };
        let Ok(opened) = timeout(self.settings.login_time, opening).await else { return Close::TooSlow };
        let (mut wire, admission, opened) = match opened {
            Ok(Some(session)) => session,
            Ok(None) => return Close::ClientLeft,
            Err((wire, close)) => {
                if let Some(mut wire) = wire {
                    last_word(&mut wire, &close).await;
                }
                return close;
            }
        };
        let Some(own) = self.cancels.add(admission.upstream.address, opened.pid, opened.key) else {
            return Close::Login("no randomness");
        };
        let mut greeting = opened.greeting;
        greeting.extend(frame(b'K', &[own.0.to_be_bytes(), own.1.to_be_bytes()].concat()));
        greeting.extend(frame(b'Z', b"I"));
        let close = if wire.write_all(&greeting).await.is_ok() {
            let Admission { upstream, gate, fence, .. } = *admission;
            let address = upstream.address;
            // The secret was shown to the server, and nothing here needs it any more.
            drop(upstream);
            let (close, writing) = relay::relay(wire, opened.wire, gate.as_ref(), fence, &self.settings).await;
            if !matches!(close, Close::UpstreamLeft) {
                // The server would go on with a statement until it next writes.
                let (pid, key) = (opened.pid, opened.key);
                tokio::spawn(async move {
                    if let Ok(mut stream) = TcpStream::connect(address).await {
                        let _ = stream.write_all(&request(pid, key)).await;
                    }
                });
            }
            if let Some(mut writing) = writing.filter(|_| !matches!(close, Close::ClientLeft)) {
                last_word(&mut writing, &close).await;
            }
            close
        } else {
            Close::ClientLeft
        };
        self.cancels.remove(own);
        close
    }
}

/// Say why, if the client reads; it is no reason to stay.
async fn last_word(wire: &mut (impl AsyncWriteExt + Unpin), close: &Close) {
    let word = async {
        wire.write_all(&farewell(close)).await?;
        wire.shutdown().await
    };
    let _ = timeout(Duration::from_millis(20), word).await;
}
