//! Envoy's external authorization: one gRPC call is one HTTP request that Envoy holds until it is answered.
//!
//! Envoy is an enforcement point by its connection, as any other. Whose task it is says the task's
//! token in the request that Envoy holds, and perhaps the client's certificate as Envoy verified it.
//! Every answer is Envoy's own `denied_response` or `ok_response`: a fault of ours denies, whatever
//! Envoy is set to do with faults.

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flyball_decision::{Call, Pep, Reason, Verdict};
use flyball_extauthz::{
    CheckRequest, CheckResponse, Denial, HealthCheckRequest, HealthCheckResponse, Seen, SeenBody, ServingStatus, Told,
    allow, deny, read,
};
use flyball_httpcall::{Asked, Body, Found, Refused, Routes};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::time::timeout;
use tonic::Status;
use tonic::server::{Grpc, UnaryService};
use tonic_prost::ProstCodec;
use zeroize::Zeroizing;

use crate::answer::Problem;
use crate::auth::{Connection, Gate};
use crate::authzen;
use crate::config::Principal;
use crate::json::push_string;
use crate::worker::Worker;

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// The task's token, in the request that Envoy holds.
const FLYBALL_TASK: &str = "flyball-task";
/// What a request that no route is for is asked as: no bundle can declare it.
const UNROUTED: &str = "http:unrouted";
/// How long a check may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// Bytes of a check beside the body in it: headers, certificate, metadata.
const BESIDE_BODY: usize = 256 * 1024;

type Reply = Response<tonic::body::Body>;

/// Answer one gRPC call.
pub(crate) async fn request(
    worker: Rc<Worker>,
    conn: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Reply, std::convert::Infallible> {
    let path = request.uri().path().to_owned();
    let most = worker.shared.config.max_body.saturating_add(BESIDE_BODY);
    let late = || Status::deadline_exceeded("the check took too long to arrive").into_http();
    let reply = match path.as_str() {
        CHECK => {
            // The time runs until the message is here; from then on `max_wait` holds.
            let (come, arrived) = tokio::sync::oneshot::channel();
            let service = Checks { worker, conn, come: Some(come) };
            let mut grpc =
                Grpc::new(ProstCodec::<CheckResponse, CheckRequest>::default()).max_decoding_message_size(most);
            let answer = grpc.unary(service, request);
            tokio::pin!(answer);
            tokio::select! {
                biased;
                reply = &mut answer => reply,
                () = never_came(arrived) => late(),
            }
        }
        HEALTH => {
            let mut grpc = Grpc::new(ProstCodec::<HealthCheckResponse, HealthCheckRequest>::default())
                .max_decoding_message_size(4096);
            timeout(ARRIVAL, grpc.unary(Health { worker }, request)).await.unwrap_or_else(|_| late())
        }
        _ => Status::unimplemented("no such method here").into_http(),
    };
    Ok(reply)
}

/// Resolves when nothing has come in time; never where something has.
async fn never_came(arrived: tokio::sync::oneshot::Receiver<()>) {
    if let Ok(Ok(())) = timeout(ARRIVAL, arrived).await {
        std::future::pending::<()>().await;
    }
}

type Answering<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<T>, Status>>>>;

struct Checks {
    worker: Rc<Worker>,
    conn: Rc<Connection>,
    come: Option<tokio::sync::oneshot::Sender<()>>,
}

impl UnaryService<CheckRequest> for Checks {
    type Response = CheckResponse;
    type Future = Answering<CheckResponse>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        if let Some(come) = self.come.take() {
            let _ = come.send(());
        }
        let (worker, conn) = (Rc::clone(&self.worker), Rc::clone(&self.conn));
        Box::pin(async move { check(&worker, &conn, &request.into_inner()).await.map(tonic::Response::new) })
    }
}

struct Health {
    worker: Rc<Worker>,
}

impl UnaryService<HealthCheckRequest> for Health {
    type Response = HealthCheckResponse;
    type Future = Answering<HealthCheckResponse>;

    fn call(&mut self, request: tonic::Request<HealthCheckRequest>) -> Self::Future {
        let shared = &self.worker.shared;
        let serving = shared.plane.is_ready() && !shared.draining.load(Ordering::SeqCst);
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        let answer = match request.into_inner().service.as_str() {
            "" | "envoy.service.auth.v3.Authorization" => Ok(HealthCheckResponse { status: status.into() }),
            _ => Err(Status::not_found("no such service here")),
        };
        Box::pin(std::future::ready(answer.map(tonic::Response::new)))
    }
}

/// What came of a request that was decided.
struct Decided<'r> {
    verdict: Verdict,
    task: String,
    action: Cow<'r, str>,
    strip: &'r [String],
    /// The credential that goes upstream, as a header.
    set: Option<(&'r str, Zeroizing<String>)>,
    /// Why the request cannot be read as a call, where it cannot: it was put on record and denied.
    refused: Option<Problem>,
}

async fn check(worker: &Rc<Worker>, conn: &Connection, request: &CheckRequest) -> Result<CheckResponse, Status> {
    let plane = &worker.shared.plane;
    let peps = plane.peps();
    let Some(pep) = conn.pep(&peps) else {
        return Err(Status::unauthenticated("this connection is not a declared enforcement point"));
    };
    let routes = plane.routes();
    Ok(match decide(worker, conn, pep, &routes, request).await {
        Ok(decided) => answer(&decided),
        Err(problem) => deny(&Told { effect: "deny", reason: problem.code, ..Told::default() }, denial(&problem, None)),
    })
}

async fn decide<'r>(
    worker: &Rc<Worker>,
    conn: &Connection,
    pep: &Pep,
    routes: &'r Routes,
    request: &CheckRequest,
) -> Result<Decided<'r>, Problem> {
    let seen = read(request).map_err(|missing| Problem::invalid(format!("Envoy told no `{}`", missing.0)))?;
    let task = whose(worker, conn, &seen)?;
    let lent = &worker.shared.lent;
    // Nothing is charged for a request that could not go upstream for want of its credential.
    let is_lent = |name: &str| lent.lent(&task, name).is_some();
    let (asked, found, refused) = match asked(pep, routes, &seen, &is_lent) {
        Ok((asked, found)) => (asked, Some(found), None),
        Err(told) => {
            let (asked, problem) = *told;
            (asked, None, Some(problem))
        }
    };
    let binding = conn.binding();
    let call = Call {
        task: &task,
        pep: &pep.name,
        binding: &binding,
        action: asked.action,
        resource_type: asked.resource_type,
        resource_id: &asked.resource_id,
        args: &asked.args,
    };
    let verdict = worker.decide_call(&call).finish().await?;
    let (mut set, mut refused) = (None, refused);
    if let Some(credential) = found.as_ref().and_then(Found::credential).filter(|_| verdict.allowed()) {
        // Looked up after the decision: what a fence takes back is gone by now.
        match lent.upstream(&task, &credential.name) {
            Some(secret) => set = Some((&*credential.header, Zeroizing::new(credential.value(secret.reveal())))),
            None => refused = Some(no_credential()),
        }
    }
    let strip = found.as_ref().map_or(&[][..], Found::strip);
    Ok(Decided { verdict, task, action: Cow::Borrowed(asked.action), strip, set, refused })
}

/// The task that the request is of: proved by its token, and by the client's certificate as the configuration says.
fn whose(worker: &Worker, conn: &Connection, seen: &Seen<'_>) -> Result<String, Problem> {
    let shared = &worker.shared;
    let mode = shared.config.ext_authz.principal;
    let mismatch = |detail| Problem::other(StatusCode::FORBIDDEN, Reason::TaskMismatch.as_str(), detail);
    let token = seen.headers.one(FLYBALL_TASK).map_err(|refused| Problem::unauthenticated(refused.0))?;
    let Some(text) = token else {
        if mode != Principal::Alone || seen.principal.is_empty() {
            return Err(Problem::unauthenticated("the request shows no task token"));
        }
        let task = shared.plane.only_task_of(seen.principal);
        return task.ok_or_else(|| mismatch("the client has no task, or more than one; it must say which by a token"));
    };
    let gate = Gate { config: &shared.config, used: &shared.used, wall_ms: (shared.clock)().wall_ms };
    let token = gate.handed_in(conn, &text)?;
    let matches = match mode {
        Principal::Ignore => true,
        Principal::Required => *seen.principal == *token.principal,
        Principal::Match | Principal::Alone => seen.principal.is_empty() || *seen.principal == *token.principal,
    };
    if !matches {
        return Err(mismatch("the client's certificate does not name the principal of the task token"));
    }
    if shared.plane.names_of(&token.task).is_some_and(|(principal, _)| *token.principal != *principal) {
        return Err(mismatch("the token is another principal's"));
    }
    Ok(token.task.clone())
}

fn no_credential() -> Problem {
    Problem::other(
        StatusCode::FORBIDDEN,
        "credential_not_lent",
        "the request needs a credential that the task has not connected: POST /v1/tasks/{task}/connect",
    )
}

/// The call that the request stands for; or one that stands for it on record, and why there is none.
fn asked<'r>(
    pep: &Pep,
    routes: &'r Routes,
    seen: &Seen<'_>,
    is_lent: &dyn Fn(&str) -> bool,
) -> Result<(Asked<'r>, Found<'r>), Box<(Asked<'r>, Problem)>> {
    let stand_in = |action, resource_type, path: &str, problem| {
        let resource_id = format!("{} {}{}", clip(seen.method, 32), clip(seen.host, 255), clip(path, 1024));
        // Arguments that cannot be read: the plane puts it on record and denies it.
        Box::new((Asked { action, resource_type, resource_id, args: b"?".to_vec() }, problem))
    };
    let malformed = |refused: Refused| Problem::invalid(refused.0);
    let request = flyball_httpcall::Request { method: seen.method, host: seen.host, path: seen.path };
    let (target, found) = match routes.find(&request) {
        Ok(found) => found,
        Err(refused) => return Err(stand_in(UNROUTED, "http", "", malformed(refused))),
    };
    let Some(found) = found else {
        let problem = Problem::other(
            StatusCode::FORBIDDEN,
            Reason::ActionUnknown.as_str(),
            "the bundle has no action for this request",
        );
        return Err(stand_in(UNROUTED, "http", &target.path(), problem));
    };
    let refuse = |problem| stand_in(found.action(), found.resource_type(), &target.path(), problem);
    if seen.is_upgrade() && pep.max_stream_ms.is_none() {
        let problem = Problem::other(
            StatusCode::FORBIDDEN,
            "stream_unbounded",
            "an upgrade outlives its decision, and the enforcement point states no `max_stream`",
        );
        return Err(refuse(problem));
    }
    if found.credential().is_some_and(|credential| !is_lent(&credential.name)) {
        return Err(refuse(no_credential()));
    }
    match call_of(&found, seen) {
        Ok(asked) => Ok((asked, found)),
        Err(problem) => Err(refuse(problem)),
    }
}

fn call_of<'r>(found: &Found<'r>, seen: &Seen<'_>) -> Result<Asked<'r>, Problem> {
    let malformed = |refused: Refused| Problem::invalid(refused.0);
    let content_type;
    let body = match seen.body {
        SeenBody::Absent => Body::Absent,
        SeenBody::Partial if found.reads_body() => {
            return Err(Problem::other(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "the body was not handed to us whole",
            ));
        }
        SeenBody::Unseen | SeenBody::Partial => Body::Unseen,
        SeenBody::Whole(bytes) if found.reads_body() => {
            let text = authzen::text(bytes).map_err(|error| Problem::invalid(error.0))?;
            content_type = seen.headers.one("content-type").map_err(malformed)?.unwrap_or_default();
            Body::Whole { content_type: &content_type, text }
        }
        // Only whether there is one matters.
        SeenBody::Whole(_) => Body::Whole { content_type: "", text: "?" },
    };
    found.call(body, &|name| seen.headers.one(name)).map_err(malformed)
}

fn answer(decided: &Decided<'_>) -> CheckResponse {
    let Decided { verdict, task, action, strip, set, refused } = decided;
    let allowed = verdict.allowed() && refused.is_none();
    let reason = verdict.reasons.first().map_or("", |reason| reason.as_str());
    let told = Told {
        decision: &verdict.decision,
        task,
        action,
        effect: if allowed || refused.is_none() { verdict.effect.as_str() } else { "deny" },
        reason: refused.as_ref().map_or(reason, |problem| problem.code),
    };
    if allowed {
        let set: Vec<(&str, &str)> = set.iter().map(|(name, value)| (*name, value.as_str())).collect();
        return allow(&told, strip, &set);
    }
    let problem = match refused {
        Some(problem) => problem.clone(),
        None => Problem::other(StatusCode::FORBIDDEN, reason_code(verdict), "the request is not permitted"),
    };
    deny(&told, denial(&problem, Some(verdict)))
}

fn reason_code(verdict: &Verdict) -> &'static str {
    verdict.reasons.first().map_or(Reason::EngineError.as_str(), |reason| reason.as_str())
}

/// Problem details with the decision's id, and the reference under which a person is asked.
fn denial(problem: &Problem, verdict: Option<&Verdict>) -> Denial {
    let mut body = problem.members();
    for (name, text) in [
        ("decision", verdict.map(|verdict| verdict.decision.as_str())),
        ("approval", verdict.and_then(|verdict| verdict.approval.as_deref())),
    ] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            body.extend_from_slice(format!(",\"{name}\":").as_bytes());
            push_string(&mut body, text);
        }
    }
    body.push(b'}');
    let headers = match problem.status {
        StatusCode::UNAUTHORIZED => vec![("www-authenticate", "Flyball-Task".to_owned())],
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => vec![("retry-after", "1".to_owned())],
        _ => Vec::new(),
    };
    Denial { status: problem.status.as_u16(), body: String::from_utf8(body).unwrap_or_default(), headers }
}

/// The beginning of a text, whole characters only.
fn clip(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}
