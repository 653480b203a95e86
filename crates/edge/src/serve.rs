//! One HTTP request: route, authenticate, read, decide, answer.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use flyball_decision::{PepTable, Verdict};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use tokio::time::timeout;

use crate::answer::{Answer, Problem, ok, push_verdict};
use crate::auth::{Caller, Connection, Gate};
use crate::authzen::{self, Batch, Malformed, Semantic};
use crate::decide::Pending;
use crate::json::push_string;
use crate::result;
use crate::worker::Worker;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const RESULT: &str = "/access/v1/result";
const METADATA: &str = "/.well-known/authzen-configuration";

/// How long a body may take to arrive.
const BODY: Duration = Duration::from_secs(10);

/// Answer one request. There is always an answer; an error of ours is one, too.
pub(crate) async fn request(
    worker: Rc<Worker>,
    conn: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Answer, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    // The body is read whatever becomes of the request: a connection with an unread body would have
    // to be closed, and with it goes what was proved on it.
    let most = worker.shared.config.max_body;
    let most = if head.uri.path() == RESULT { most.max(result::MAX_BODY) } else { most };
    let answer = match read(body, most).await {
        Ok(body) => route(&worker, &conn, &head, &body).await,
        Err(problem) => Err(problem),
    };
    let mut answer = answer.unwrap_or_else(|problem| problem.answer());
    // AuthZEN, 10.1.3: the caller's own name for the request comes back as it was.
    if let Some(id) = head.headers.get(REQUEST_ID) {
        answer.headers_mut().insert(REQUEST_ID, id.clone());
    }
    Ok(answer)
}

async fn route(worker: &Rc<Worker>, conn: &Connection, head: &Parts, body: &[u8]) -> Result<Answer, Problem> {
    let path = head.uri.path();
    let allowed = match path {
        EVALUATION | EVALUATIONS | RESULT => Method::POST,
        METADATA | "/health" => Method::GET,
        _ => {
            return Err(Problem::other(StatusCode::NOT_FOUND, "not_found", "no such path here"));
        }
    };
    if head.method != allowed {
        let problem =
            Problem::other(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path takes another method");
        let mut answer = problem.answer();
        let allow = if allowed == Method::POST { "POST" } else { "GET" };
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        return Ok(answer);
    }
    match path {
        "/health" => Ok(ok(b"{\"status\":\"ok\"}".to_vec())),
        METADATA => Ok(ok(metadata(worker, conn, head))),
        _ => {
            let peps = worker.shared.plane.peps();
            let caller = authenticate(worker, conn, head, &peps)?;
            if !is_json(head) {
                return Err(Problem::invalid("the content type is not application/json"));
            }
            let text = authzen::text(body).map_err(|error| Problem::invalid(error.0))?;
            if path == RESULT {
                result::report(worker, &caller, text).await
            } else if path == EVALUATION {
                let one = authzen::single(text).map_err(|error| Problem::invalid(error.0))?;
                single(worker, &caller, &one).await
            } else {
                match authzen::batch(text).map_err(|error| Problem::invalid(error.0))? {
                    Batch::Single(one) => single(worker, &caller, &one).await,
                    Batch::Items(semantic, items) => Ok(batch(worker, &caller, semantic, &items).await),
                }
            }
        }
    }
}

fn authenticate<'p>(
    worker: &Worker,
    conn: &Connection,
    head: &Parts,
    peps: &'p PepTable,
) -> Result<Caller<'p>, Problem> {
    let shared = &worker.shared;
    let gate = Gate { config: &shared.config, used: &shared.used, wall_ms: (shared.clock)().wall_ms };
    gate.caller(conn, head, peps)
}

async fn single(worker: &Rc<Worker>, caller: &Caller<'_>, one: &authzen::Evaluation<'_>) -> Result<Answer, Problem> {
    let verdict = worker.decide(caller, one)?.finish().await?;
    let mut body = Vec::with_capacity(256);
    push_verdict(&verdict, &mut body);
    Ok(ok(body))
}

/// All items in order. Each error is its own item's answer: not permitted.
async fn batch(
    worker: &Rc<Worker>,
    caller: &Caller<'_>,
    semantic: Semantic,
    items: &[Result<authzen::Evaluation<'_>, Malformed>],
) -> Answer {
    let mut body = b"{\"evaluations\":[".to_vec();
    let start = |item: &Result<authzen::Evaluation<'_>, Malformed>| match item {
        Ok(one) => worker.decide(caller, one),
        Err(error) => Err(Problem::invalid(error.0.clone())),
    };
    let mut write = |outcome: Result<Verdict, Problem>| {
        if body.last() != Some(&b'[') {
            body.push(b',');
        }
        match outcome {
            Ok(verdict) => {
                push_verdict(&verdict, &mut body);
                verdict.allowed()
            }
            Err(problem) => {
                problem.push_item(&mut body);
                false
            }
        }
    };
    if semantic == Semantic::ExecuteAll {
        // Charged in order, then made durable together.
        let started: Vec<Result<Pending, Problem>> = items.iter().map(start).collect();
        for item in started {
            let outcome = match item {
                Ok(pending) => pending.finish().await,
                Err(problem) => Err(problem),
            };
            write(outcome);
        }
    } else {
        let stop_at = semantic == Semantic::PermitOnFirstPermit;
        for item in items {
            let outcome = match start(item) {
                Ok(pending) => pending.finish().await,
                Err(problem) => Err(problem),
            };
            if write(outcome) == stop_at {
                break;
            }
        }
    }
    body.extend_from_slice(b"]}");
    ok(body)
}

/// Read a whole body, up to a limit of bytes and of time.
async fn read(mut body: Incoming, most: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::other(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too large");
    // What is somewhat too large is read and thrown away: a caller whose connection is cut while he
    // still sends never sees why.
    let bearable = most.saturating_mul(16);
    if body.size_hint().lower() > bearable as u64 {
        return Err(too_large());
    }
    let whole = async {
        let mut first = Bytes::new();
        let mut more = Vec::new();
        let mut seen = 0_usize;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Err(Problem::invalid("the body broke off"));
            };
            let Ok(data) = frame.into_data() else { continue };
            seen = seen.saturating_add(data.len());
            if seen > bearable {
                return Err(too_large());
            }
            if seen > most {
                first = Bytes::new();
                more = Vec::new();
            } else if first.is_empty() {
                first = data;
            } else {
                more.extend_from_slice(&data);
            }
        }
        if seen > most {
            return Err(too_large());
        }
        if more.is_empty() {
            return Ok(first);
        }
        Ok([&first[..], &more[..]].concat().into())
    };
    timeout(BODY, whole)
        .await
        .unwrap_or_else(|_| Err(Problem::other(StatusCode::REQUEST_TIMEOUT, "timeout", "the body took too long")))
}

fn is_json(head: &Parts) -> bool {
    let mut types = head.headers.get_all(CONTENT_TYPE).iter();
    let (Some(Ok(text)), None) = (types.next().map(HeaderValue::to_str), types.next()) else {
        return false;
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// AuthZEN, 9: where the endpoints are.
fn metadata(worker: &Worker, conn: &Connection, head: &Parts) -> Vec<u8> {
    let scheme = if conn.peer.is_tls() { "https" } else { "http" };
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let base = match &worker.shared.config.public_url {
        Some(url) => url.clone(),
        None => format!("{scheme}://{host}"),
    };
    let mut body = b"{\"policy_decision_point\":".to_vec();
    push_string(&mut body, &base);
    for (name, path) in [("access_evaluation_endpoint", EVALUATION), ("access_evaluations_endpoint", EVALUATIONS)] {
        body.extend_from_slice(b",\"");
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(b"\":");
        push_string(&mut body, &format!("{base}{path}"));
    }
    body.push(b'}');
    body
}
