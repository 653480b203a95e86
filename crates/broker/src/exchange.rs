//! One request's way through the broker, in order: sound, admitted, known, read, decided, sent, answered.

use crate::answer::Refusal;
use crate::args::Args;
use crate::broker::{Arm, Broker};
use crate::guard::Handle;
use crate::port::{Admission, Ask, Budget, Decision, closed};
use crate::reply::{Reply, Report, Through};
use crate::route::{BodyRule, Found};
use crate::scrub::{Needles, Scrubber};
use crate::settings::{Inject, Upstream};
use crate::target::{self, Target};
use crate::upstream::{Outgoing, Sending, Wire};
use crate::{headers, location, switch};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// How long an upload and its answer may take in all.
const UPLOAD_TIME: Duration = Duration::from_secs(3_600);

/// What a connection's client takes us for.
pub(crate) enum Origin {
    /// A proxy, and all APIs by their names. Our own address, where it has one.
    Open(Option<SocketAddr>),
    /// One API.
    Upstream(String),
    /// One API, through a tunnel that a task opened.
    Tunnel { upstream: Arc<Upstream>, admission: Arc<Admission> },
}

/// One connection.
pub(crate) struct Conn {
    pub(crate) broker: Arc<Broker>,
    pub(crate) origin: Origin,
    pub(crate) handle: Handle,
    pub(crate) arm: Arm,
    pub(crate) place: Arc<OwnedSemaphorePermit>,
}

/// Answer one request. There is always an answer.
pub(crate) async fn serve(conn: Arc<Conn>, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    let (found, busy) = conn.handle.take();
    // Until an answer is under way, a fence is answered, not cut.
    conn.arm.set(None);
    let connect = request.method() == Method::CONNECT;
    let answer = match found {
        Ok(()) => answer(&conn, request).await,
        Err(violation) => Err(violation.refusal()),
    };
    if let Origin::Tunnel { admission, .. } = &conn.origin {
        conn.arm.set(Some(Arc::clone(admission)));
    }
    let switches = connect && answer.is_ok();
    let answer = answer.unwrap_or_else(|refusal| refusal.answer());
    if !switches && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        conn.handle.stay();
    }
    Ok(answer.map(|body| body.keeping(busy)))
}

async fn answer(conn: &Arc<Conn>, request: Request<Incoming>) -> Result<Response<Reply>, Refusal> {
    if request.method() == Method::CONNECT {
        return switch::tunnel(conn, request).await;
    }
    target::method(request.method(), request.headers())?;
    let (admission, target) = who_and_where(conn, &request).await?;
    let mut fence = admission.fence.clone();
    let answered = tokio::select! {
        biased;
        () = closed(&mut fence) => {
            conn.broker.forget(&admission.task);
            Err(Refusal::fenced())
        }
        answered = exchange(conn, &admission, &target, request) => answered,
    };
    conn.arm.set(Some(Arc::clone(&admission)));
    answered
}

/// Whose request it is, and what it means. Who shows no ticket learns nothing of the bundle.
async fn who_and_where(conn: &Conn, request: &Request<Incoming>) -> Result<(Arc<Admission>, Target), Refusal> {
    let (uri, headers) = (request.uri(), request.headers());
    let upstreams = conn.broker.upstreams();
    let proxy = uri.scheme().is_some();
    let target = match &conn.origin {
        Origin::Tunnel { upstream, admission } => {
            return Ok((Arc::clone(admission), target::tunnelled(upstream, uri, headers)?));
        }
        Origin::Open(local) if proxy => match target::ourselves(uri, *local) {
            Some(uri) => target::prefixed(&upstreams, &uri),
            None => target::forward(&upstreams, uri, headers),
        },
        Origin::Open(_) => target::prefixed(&upstreams, uri),
        Origin::Upstream(name) => match upstreams.named(name) {
            Some(upstream) => target::reverse(upstream, uri),
            None => Err(Refusal::forbidden("host_not_named", "the bundle names no such upstream")),
        },
    };
    let ticket = match &target {
        Ok(target) if target.prefix.is_some() => headers::reverse_ticket(headers, target),
        _ => headers::proxy_ticket(headers),
    };
    let admission = admit(conn, ticket, proxy).await?;
    Ok((admission, target?))
}

/// The admission of a ticket.
pub(crate) async fn admit(conn: &Conn, ticket: Option<String>, proxy: bool) -> Result<Arc<Admission>, Refusal> {
    let ticket = ticket.filter(|ticket| !ticket.is_empty() && ticket.len() <= 4096);
    let ticket = ticket.ok_or_else(|| Refusal::unknown(proxy))?;
    conn.broker.door.admit(&ticket).await.ok_or_else(|| Refusal::unknown(proxy))
}

async fn exchange(
    conn: &Arc<Conn>,
    admission: &Arc<Admission>,
    target: &Target,
    mut request: Request<Incoming>,
) -> Result<Response<Reply>, Refusal> {
    let broker = &conn.broker;
    let upstream = &target.upstream;
    let socket = switch::asked(&mut request);
    let (mut head, body) = request.into_parts();

    // What it does.
    let found = upstream.routes.find(head.method.as_str(), &target.segments);
    let (args, body) = read(broker, target, &head, &found, body).await?;

    // Whether it may; durable when it may.
    let ask = Ask { upstream: &upstream.name, action: &found.action, resource: &found.resource, args: &args };
    let (id, budget) = match admission.gate.decide(ask).await {
        Decision::Allow { id, budget } => (id, budget),
        Decision::Deny { id, reason, approval } => return Err(Refusal::denied(id, reason, approval)),
        Decision::Fault { reason } => return Err(Refusal::fault(reason)),
    };
    let mut report = Report::new(admission, &id);
    let with_id = |refusal: Refusal| refusal.for_decision(&id);

    // As the upstream gets it.
    let secret = match upstream.inject {
        Inject::None => None,
        _ => admission.gate.secret(&upstream.name).await,
    };
    let query = headers::prepare(&mut head.headers, target, secret.as_ref()).map_err(with_id)?;
    if socket.is_some() {
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    head.uri = headers::uri(target, &query)?;
    let patience = if matches!(body, Outgoing::Whole(_)) { broker.limits.answer_time } else { UPLOAD_TIME };
    let sending = Sending {
        pool: &broker.pool,
        resolver: broker.resolver.as_ref(),
        limits: &broker.limits,
        task: &admission.task,
        upstream,
    };
    let (response, wire) = sending.send(Request::from_parts(head, body), patience).await.map_err(with_id)?;
    report.status = Some(response.status().as_u16());

    // As the client gets it.
    let needles = Needles::new(&upstream.inject, secret.as_ref());
    let reported = upstream.reports.contains(&found.action);
    let passing = Passing { conn, admission, target, needles, budget, reported, report, wire };
    match (socket, response.status()) {
        (Some(socket), StatusCode::SWITCHING_PROTOCOLS) => switch::socket(passing, socket, response).map_err(with_id),
        (None, StatusCode::SWITCHING_PROTOCOLS) => {
            Err(with_id(Refusal::upstream("upstream_failed", "the upstream switches protocols unasked")))
        }
        _ => passing.on(response).await.map_err(with_id),
    }
}

/// The arguments, and the body as it goes on.
async fn read(
    broker: &Broker,
    target: &Target,
    head: &Parts,
    found: &Found,
    body: Incoming,
) -> Result<(String, Outgoing), Refusal> {
    let mut args = Args::new(found.bare.clone());
    for (name, value) in &found.values {
        args.path(name.clone(), value);
    }
    let placeholder = match &target.upstream.inject {
        Inject::Query(name) => Some(name.as_str()),
        _ => None,
    };
    args.form(&target.query, placeholder)?;
    let body = match found.body {
        _ if body.is_end_stream() => Outgoing::Whole(None),
        BodyRule::None => {
            return Err(Refusal::malformed("body_not_expected", "this operation takes no body").closing());
        }
        BodyRule::Stream => Outgoing::stream(body, broker.limits.stall_time),
        BodyRule::Fields => {
            let kind = kind(&head.headers)?;
            let bytes = whole(body, broker.limits.body, broker.limits.stall_time).await?;
            match kind {
                BodyKind::Json => args.json(&bytes)?,
                BodyKind::Form => {
                    let text = std::str::from_utf8(&bytes)
                        .map_err(|_| Refusal::malformed("malformed_body", "the form is not UTF-8"))?;
                    args.form(text, None)?;
                }
            }
            Outgoing::Whole(Some(bytes))
        }
    };
    Ok((args.finish(), body))
}

enum BodyKind {
    Json,
    Form,
}

/// How to read a body that is decided on. What is not understood is not passed on.
fn kind(headers: &HeaderMap) -> Result<BodyKind, Refusal> {
    let refused = || {
        let detail = "the body is decided on, and is neither JSON nor a form in UTF-8, unpacked";
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "body_not_understood", detail).closing()
    };
    let packed = |value: &HeaderValue| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else { return Err(refused()) };
    if headers.get_all(CONTENT_ENCODING).iter().any(packed) {
        return Err(refused());
    }
    let text = value.to_str().map_err(|_| refused())?.to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    if parts.filter_map(|part| part.strip_prefix("charset=")).any(|set| set.trim_matches('"') != "utf-8") {
        return Err(refused());
    }
    match kind {
        "application/x-www-form-urlencoded" => Ok(BodyKind::Form),
        _ if is_json(kind) => Ok(BodyKind::Json),
        _ => Err(refused()),
    }
}

fn is_json(kind: &str) -> bool {
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// Read a body whole, within a bound of bytes, and of time between its pieces.
async fn whole(mut body: Incoming, most: usize, stall: Duration) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body that is decided on is too large")
            .closing()
    };
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    loop {
        let frame = timeout(stall, body.frame()).await.map_err(|_| {
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body took too long").closing()
        })?;
        let Some(frame) = frame else { return Ok(bytes.freeze()) };
        let frame = frame.map_err(|_| Refusal::malformed("malformed_body", "the body broke off").closing())?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
}

/// An answer on its way to the client.
pub(crate) struct Passing<'a> {
    pub(crate) conn: &'a Arc<Conn>,
    pub(crate) admission: &'a Arc<Admission>,
    pub(crate) target: &'a Target,
    pub(crate) needles: Needles,
    pub(crate) budget: Option<Arc<dyn Budget>>,
    /// Whether the answer is told before the client has it.
    pub(crate) reported: bool,
    pub(crate) report: Report,
    pub(crate) wire: Wire,
}

impl Passing<'_> {
    async fn on(self, response: Response<Incoming>) -> Result<Response<Reply>, Refusal> {
        let (mut head, body) = response.into_parts();
        location::clean(head.status, &mut head.headers, self.target)?;
        self.needles.headers(&mut head.headers);
        // A reason phrase of the upstream's own could carry the secret as well.
        head.extensions.clear();
        head.version = Version::HTTP_11;
        let json = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|text| {
            is_json(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str())
        });
        let Self { conn, admission, needles, budget, reported, report, wire, .. } = self;
        let limits = &conn.broker.limits;
        let through = Through {
            body,
            wire: Some(wire),
            broker: Arc::clone(&conn.broker),
            task: Arc::clone(&admission.task),
            scrubber: Scrubber::new(needles),
            budget,
            report,
            ended: false,
        };
        if !reported || !head.status.is_success() || through.body.is_end_stream() {
            return Ok(Response::from_parts(head, Reply::through(through)));
        }
        // Its fields carry labels: it is reported durably before it is delivered, or not delivered.
        if !json {
            return Err(Refusal::upstream("result_not_understood", "the answer must be reported, and is not JSON"));
        }
        let gathered = timeout(limits.answer_time, through.gather(limits.body)).await;
        let bytes = gathered.map_err(|_| {
            Refusal::new(StatusCode::GATEWAY_TIMEOUT, "upstream_too_slow", "the upstream did not answer in time")
        })??;
        head.headers.remove(CONTENT_LENGTH);
        Ok(Response::from_parts(head, Reply::whole(bytes)))
    }
}
