//! Connections upstream: made to an address that was checked, kept for one task only.

use crate::address;
use crate::answer::Refusal;
use crate::port::Resolve;
use crate::settings::{Limits, Upstream};
use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use std::collections::HashMap;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;

/// How long an idle connection is kept.
const KEPT: Duration = Duration::from_secs(30);
/// Between two looks for idle connections that are too old.
const SWEEP: Duration = Duration::from_secs(5);

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A request's body on its way.
pub(crate) enum Outgoing {
    Whole(Option<Bytes>),
    Stream(Incoming, Duration, Option<Pin<Box<Sleep>>>),
}

impl Outgoing {
    /// Pass a body on; a client that sends nothing of it for so long is left.
    pub(crate) fn stream(body: Incoming, stall: Duration) -> Self {
        Self::Stream(body, stall, None)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty()).map(Frame::data).map(Ok)),
            Self::Stream(body, stall, timer) => {
                if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
                    *timer = None;
                    return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
                }
                let timer = timer.get_or_insert_with(|| Box::pin(sleep(*stall)));
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(Some(Err("the client sends nothing".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream(body, ..) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(body, ..) => body.size_hint(),
        }
    }
}

/// A connection upstream. It ends when this is dropped.
pub(crate) struct Wire {
    sender: SendRequest<Outgoing>,
    task: AbortHandle,
    upstream: Arc<Upstream>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Key = (Arc<str>, String);

#[derive(Default)]
struct Kept {
    wires: HashMap<Key, Vec<(Wire, Instant)>>,
    swept: Option<Instant>,
}

/// Idle connections.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Kept>);

impl Pool {
    fn take(&self, task: &Arc<str>, upstream: &Arc<Upstream>) -> Option<Wire> {
        let mut kept = self.0.lock();
        let wires = kept.wires.get_mut(&(Arc::clone(task), upstream.name.clone()))?;
        while let Some((wire, since)) = wires.pop() {
            // What was connected as another bundle said is not used.
            if since.elapsed() < KEPT && !wire.sender.is_closed() && Arc::ptr_eq(&wire.upstream, upstream) {
                return Some(wire);
            }
        }
        None
    }

    /// Keep a connection whose answer is read to its end.
    pub(crate) fn put(&self, task: &Arc<str>, wire: Wire, most: usize) {
        if wire.sender.is_closed() {
            return;
        }
        let mut kept = self.0.lock();
        let now = Instant::now();
        if kept.swept.is_none_or(|swept| now.duration_since(swept) > SWEEP) {
            kept.swept = Some(now);
            kept.wires.retain(|_, wires| {
                wires.retain(|(wire, since)| now.duration_since(*since) < KEPT && !wire.sender.is_closed());
                !wires.is_empty()
            });
        }
        let wires = kept.wires.entry((Arc::clone(task), wire.upstream.name.clone())).or_default();
        if wires.len() < most {
            wires.push((wire, now));
        }
    }

    /// Close what is kept for a task.
    pub(crate) fn forget(&self, task: &str) {
        self.0.lock().wires.retain(|(one, _), _| **one != *task);
    }
}

/// Sends requests.
pub(crate) struct Sending<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) resolver: &'a dyn Resolve,
    pub(crate) limits: &'a Limits,
    pub(crate) task: &'a Arc<str>,
    pub(crate) upstream: &'a Arc<Upstream>,
}

impl Sending<'_> {
    /// Send a request, and wait for the answer's head.
    pub(crate) async fn send(
        &self,
        mut request: hyper::Request<Outgoing>,
        patience: Duration,
    ) -> Result<(Response<Incoming>, Wire), Refusal> {
        let exchange = async {
            // A kept connection may have been closed by the other side just now; hyper hands the request
            // back where nothing of it was sent.
            while let Some(mut wire) = self.pool.take(self.task, self.upstream) {
                if wire.sender.ready().await.is_err() {
                    continue;
                }
                match wire.sender.try_send_request(request).await {
                    Ok(response) => return Ok((response, wire)),
                    Err(mut error) => match error.take_message() {
                        Some(unsent) => request = unsent,
                        None => return Err(failed(error.error())),
                    },
                }
            }
            let mut wire = self.connect().await?;
            match wire.sender.send_request(request).await {
                Ok(response) => Ok((response, wire)),
                Err(error) => Err(failed(&error)),
            }
        };
        timeout(patience, exchange).await.unwrap_or_else(|_| {
            Err(Refusal::new(
                hyper::StatusCode::GATEWAY_TIMEOUT,
                "upstream_too_slow",
                "the upstream did not answer in time",
            ))
        })
    }

    async fn connect(&self) -> Result<Wire, Refusal> {
        let unreachable = || Refusal::upstream("upstream_unreachable", "the upstream cannot be connected to");
        timeout(self.limits.connect_time, self.dial()).await.unwrap_or_else(|_| Err(unreachable()))
    }

    async fn dial(&self) -> Result<Wire, Refusal> {
        let unreachable = || Refusal::upstream("upstream_unreachable", "the upstream cannot be connected to");
        let Upstream { host, port, networks, tls, .. } = self.upstream.as_ref();
        let addresses = address::choose(self.resolver, host, *port, networks).await?;
        // The addresses that were checked, not the name: it is not resolved a second time.
        let tcp = TcpStream::connect(addresses.as_slice()).await.map_err(|_| unreachable())?;
        let _ = tcp.set_nodelay(true);
        let mut builder = Builder::new();
        builder.max_headers(self.limits.headers).max_buf_size(self.limits.head.max(64 * 1024));
        let spawned = if let Some(config) = tls {
            let untrusted = || Refusal::upstream("upstream_untrusted", "the upstream did not prove who it is");
            let name = ServerName::try_from(host.clone()).map_err(|_| untrusted())?;
            let stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.map_err(|_| untrusted())?;
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|_| unreachable())?;
            (sender, tokio::spawn(connection.with_upgrades()).abort_handle())
        } else {
            let (sender, connection) = builder.handshake(TokioIo::new(tcp)).await.map_err(|_| unreachable())?;
            (sender, tokio::spawn(connection.with_upgrades()).abort_handle())
        };
        let (sender, task) = spawned;
        Ok(Wire { sender, task, upstream: Arc::clone(self.upstream) })
    }
}

fn failed(error: &hyper::Error) -> Refusal {
    if error.is_user() {
        return Refusal::malformed("malformed_body", "the body broke off, or is malformed").closing();
    }
    Refusal::upstream("upstream_failed", "the upstream's answer broke off, or is malformed")
}
