//! What an enforcement point with an identity of its own tells of a call's result.

use std::borrow::Cow;
use std::rc::Rc;

use flyball_decision::{Carried, Reason, Refusal, Written};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::answer::{Answer, Problem, ok};
use crate::auth::Caller;
use crate::worker::Worker;

/// Bytes of a report at most, where evaluations may have less: the plane reads no larger result.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// `{decision, result, meta?}`, and nothing else: a member that is misspelt would be a result that is not told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report<'a> {
    #[serde(borrow)]
    decision: Cow<'a, str>,
    #[serde(borrow)]
    result: &'a RawValue,
    #[serde(borrow, default)]
    meta: Option<&'a RawValue>,
}

fn read(text: &str) -> Result<Report<'_>, Problem> {
    // serde's structs also read arrays.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Problem::invalid("a report is a JSON object"));
    }
    serde_json::from_str(text)
        .map_err(|_| Problem::invalid("a report has `decision`, `result` and perhaps `meta`, and nothing else"))
}

fn refused(refusal: &Refusal) -> Problem {
    let status = match refusal.code {
        "malformed" => StatusCode::BAD_REQUEST,
        "already_reported" => StatusCode::CONFLICT,
        "pep_may_not_report" | "pep_mismatch" => StatusCode::FORBIDDEN,
        "engine_error" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::NOT_FOUND,
    };
    Problem::other(status, refusal.code, refusal.detail.clone())
}

/// Take a report: from an enforcement point known by its connection, which shows the task's token as it
/// does for an evaluation. The answer leaves when the record is durable.
pub(crate) async fn report(worker: &Rc<Worker>, caller: &Caller<'_>, text: &str) -> Result<Answer, Problem> {
    let forbidden = |code: &'static str, detail: &'static str| Err(Problem::other(StatusCode::FORBIDDEN, code, detail));
    let Some(pep) = caller.pep.filter(|_| caller.pep_connected) else {
        return forbidden("pep_may_not_report", "only an enforcement point with an identity of its own reports here");
    };
    let Some(token) = &caller.token else {
        return forbidden(Reason::PepTaskProof.as_str(), "the request shows no task token");
    };
    let plane = &worker.shared.plane;
    if plane.names_of(&token.task).is_some_and(|(principal, _)| *token.principal != *principal) {
        return forbidden(Reason::TaskMismatch.as_str(), "the token is another principal's");
    }
    let report = read(text)?;
    let meta = report.meta.map_or("", RawValue::get);
    let (result, now) = (report.result.get().as_bytes(), (worker.shared.clock)());
    let noted = plane.report_result(&token.task, &pep.name, &report.decision, result, meta.as_bytes(), now);
    let noted = noted.map_err(|refusal| refused(&refusal))?;
    let (tell, told) = oneshot::channel();
    plane.carry(&worker.shared.sink, noted, move |carried| drop(tell.send(carried)));
    let carried = timeout(worker.shared.max_wait, told).await;
    match carried.unwrap_or(Ok(Carried::Lost(Written::Unknown))).unwrap_or(Carried::Lost(Written::Unknown)) {
        Carried::Done(answer) => Ok(ok(answer)),
        Carried::Refused(refusal) => Err(refused(&refusal)),
        Carried::Lost(written) => {
            let why = if written == Written::QueueFull { Reason::QueueFull } else { Reason::RecordFailed };
            plane.count_gap(why);
            Err(Problem::fault(why.as_str(), "the report is not known to be durable; report it again"))
        }
    }
}
