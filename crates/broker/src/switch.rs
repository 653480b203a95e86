//! Connections that stop being HTTP: a tunnel that is intercepted, and a WebSocket. Both are owned by
//! the broker to their end.

use crate::answer::Refusal;
use crate::broker::connection;
use crate::exchange::{Conn, Origin, Passing, admit};
use crate::frames::Frames;
use crate::headers::{proxy_ticket, strip_hops};
use crate::location;
use crate::port::{Budget, closed};
use crate::reply::Reply;
use crate::settings::Upstream;
use crate::target;
use bytes::{Bytes, BytesMut};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, split};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// Until a tunnel's TLS stands.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes that are read at once from an upstream's socket.
const READ: usize = 16 * 1024;

/// CONNECT: answered here, for https with a certificate of our own, for hosts whose bundle says so.
pub(crate) async fn tunnel(conn: &Arc<Conn>, mut request: Request<Incoming>) -> Result<Response<Reply>, Refusal> {
    if !matches!(conn.origin, Origin::Open(_)) {
        return Err(Refusal::forbidden("connect_refused", "this is no proxy"));
    }
    let admission = admit(conn, proxy_ticket(request.headers()), true).await?;
    if *admission.fence.borrow() {
        return Err(Refusal::fenced());
    }
    let place = request.uri().authority().and_then(|authority| {
        authority
            .port_u16()
            .filter(|_| !authority.as_str().contains('@'))
            .map(|port| (authority.host().to_owned(), port))
    });
    let (host, port) =
        place.ok_or_else(|| Refusal::malformed("malformed_target", "CONNECT takes a host and a port"))?;
    if request.headers().contains_key(HOST) {
        target::same_host(request.headers(), &host, port, port != 80)?;
    }
    let upstream = target::place(&conn.broker.upstreams(), &host, port)?;
    // A plain API is spoken to plainly in its tunnel, too: nothing needs a certificate.
    let tls = if upstream.https { Some(intercepted(conn, &upstream)?) } else { None };
    let opened = hyper::upgrade::on(&mut request);
    conn.handle.switch();
    let (broker, place) = (Arc::clone(&conn.broker), Arc::clone(&conn.place));
    tokio::spawn(async move {
        let Ok(Ok(opened)) = timeout(HANDSHAKE, opened).await else { return };
        let host = upstream.host.clone();
        let origin = Origin::Tunnel { upstream, admission };
        let Some(config) = tls else {
            return connection(broker, TokioIo::new(opened), origin, place).await;
        };
        let accepting = TlsAcceptor::from(config).accept(TokioIo::new(opened));
        let Ok(Ok(stream)) = timeout(HANDSHAKE, accepting).await else { return };
        if stream.get_ref().1.server_name().is_none_or(|name| name.eq_ignore_ascii_case(&host)) {
            connection(broker, stream, origin, place).await;
        }
    });
    Ok(Response::new(Reply::whole(Bytes::new())))
}

/// How to answer as an upstream, where the bundle says that we may.
fn intercepted(conn: &Conn, upstream: &Upstream) -> Result<Arc<ServerConfig>, Refusal> {
    let refused = || {
        Refusal::forbidden("connect_not_intercepted", "a tunnel that nobody can look into is not opened to this host")
    };
    if !upstream.intercept {
        return Err(refused());
    }
    let authority = conn.broker.authority().ok_or_else(refused)?;
    authority.answer_as(&upstream.host).map_err(|_| refused())
}

/// Whether a request asks for a WebSocket. Other upgrades are not taken, which leaves HTTP (RFC 9110, 7.8).
pub(crate) fn asked(request: &mut Request<Incoming>) -> Option<OnUpgrade> {
    let mut asked = request.headers().get_all(UPGRADE).iter();
    let is_upgrade = |value: &HeaderValue| {
        value.to_str().is_ok_and(|text| text.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade")))
    };
    let is_one =
        asked.next().is_some_and(|one| one.as_bytes().eq_ignore_ascii_case(b"websocket")) && asked.next().is_none();
    let said = request.headers().get_all(CONNECTION).iter().any(is_upgrade);
    (is_one && said && request.method() == Method::GET).then(|| hyper::upgrade::on(request))
}

/// A WebSocket: both sides joined until one ends, or the task is fenced.
pub(crate) fn socket(
    passing: Passing<'_>,
    client: OnUpgrade,
    mut response: Response<Incoming>,
) -> Result<Response<Reply>, Refusal> {
    let server = hyper::upgrade::on(&mut response);
    let (mut head, _) = response.into_parts();
    location::clean(head.status, &mut head.headers, passing.target)?;
    strip_hops(&mut head.headers);
    head.headers.remove("sec-websocket-extensions");
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    passing.needles.headers(&mut head.headers);
    head.extensions.clear();
    debug_assert_eq!(head.status, StatusCode::SWITCHING_PROTOCOLS);

    let Passing { conn, admission, needles, budget, mut report, wire, .. } = passing;
    conn.handle.switch();
    let (conn, mut fence) = (Arc::clone(conn), admission.fence.clone());
    let mut frames = Frames::new(needles);
    tokio::spawn(async move {
        // The place at the listener, and the connection upstream, are held for as long as this lives.
        let kept = (conn, wire);
        let (Ok(client), Ok(server)) = tokio::join!(client, server) else { return };
        let joined = async {
            report.completed = join(client, server, &mut frames, budget.as_deref(), &mut report.bytes).await.is_ok();
        };
        tokio::select! {
            biased;
            () = closed(&mut fence) => {}
            () = joined => {}
        }
        drop(kept);
    });
    Ok(Response::from_parts(head, Reply::whole(Bytes::new())))
}

/// Copy both ways. What comes from the server is counted and scrubbed.
async fn join(
    client: Upgraded,
    server: Upgraded,
    frames: &mut Frames,
    budget: Option<&dyn Budget>,
    seen: &mut u64,
) -> io::Result<()> {
    let (mut client_reads, mut client_writes) = split(TokioIo::new(client));
    let (mut server_reads, mut server_writes) = split(TokioIo::new(server));
    let up = async {
        copy(&mut client_reads, &mut server_writes).await?;
        server_writes.shutdown().await
    };
    let down = async {
        let mut buffer = BytesMut::with_capacity(READ);
        while server_reads.read_buf(&mut buffer).await? > 0 {
            *seen += buffer.len() as u64;
            if budget.is_some_and(|budget| !budget.take(buffer.len() as u64)) {
                return Err(io::Error::other("the task's bytes are spent"));
            }
            let sure = frames.push(buffer.split().freeze()).map_err(|no| io::Error::other(no.0))?;
            client_writes.write_all(&sure).await?;
            client_writes.flush().await?;
            buffer.reserve(READ);
        }
        client_writes.shutdown().await
    };
    // Once the server has ended, nothing that the client still says is of use.
    tokio::select! {
        ended = down => ended,
        failed = async { match up.await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        } } => Err(failed),
    }
}
