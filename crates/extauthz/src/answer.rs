//! What Envoy is answered.

use prost_types::value::Kind;
use prost_types::{Struct, Value};

use crate::generated::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use crate::generated::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use crate::generated::envoy::service::auth::v3::check_response::HttpResponse;
use crate::generated::envoy::service::auth::v3::{CheckResponse, DeniedHttpResponse, OkHttpResponse};
use crate::generated::envoy::r#type::v3::HttpStatus;
use crate::generated::google::rpc::Status;

/// gRPC's codes in `CheckResponse.status`; any but zero denies.
const OK: i32 = 0;
const PERMISSION_DENIED: i32 = 7;

/// The task's token, which never goes upstream.
const TASK: &str = "flyball-task";
/// Names the decision, upstream and to the client. A client's own is overwritten.
const DECISION: &str = "flyball-decision";

/// What Envoy's logs and later filters may know of a decision (dynamic metadata).
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    /// The decision's id; empty where none was made.
    pub decision: &'a str,
    /// The task's id.
    pub task: &'a str,
    /// The action.
    pub action: &'a str,
    /// The effect.
    pub effect: &'a str,
    /// The first reason.
    pub reason: &'a str,
}

/// How a request is denied.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The HTTP status that the client gets.
    pub status: u16,
    /// The body that it gets: problem details.
    pub body: String,
    /// Further headers that it gets.
    pub headers: Vec<(&'static str, String)>,
}

/// The request may go upstream: without the task's token and what is to be stripped, with the decision's name and
/// the headers of `set`. A header that is set is not stripped: Envoy removes after it sets.
pub fn allow(told: &Told<'_>, strip: &[String], set: &[(&str, &str)]) -> CheckResponse {
    let mut headers: Vec<_> = set.iter().map(|(name, value)| header(name, value)).collect();
    let named = (!told.decision.is_empty()).then(|| header(DECISION, told.decision));
    headers.extend(named.clone());
    let kept = |name: &str| !set.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let mut remove: Vec<String> = strip.iter().filter(|name| kept(name)).cloned().collect();
    remove.push(TASK.to_owned());
    if named.is_none() {
        remove.push(DECISION.to_owned());
    }
    let ok = OkHttpResponse {
        headers,
        headers_to_remove: remove,
        response_headers_to_add: named.into_iter().collect(),
        ..OkHttpResponse::default()
    };
    answer(OK, HttpResponse::OkResponse(ok), told)
}

/// The request may not.
pub fn deny(told: &Told<'_>, denial: Denial) -> CheckResponse {
    let mut headers = vec![header("content-type", "application/problem+json"), header("cache-control", "no-store")];
    headers.extend((!told.decision.is_empty()).then(|| header(DECISION, told.decision)));
    headers.extend(denial.headers.iter().map(|(name, value)| header(name, value)));
    let denied =
        DeniedHttpResponse { status: Some(HttpStatus { code: i32::from(denial.status) }), headers, body: denial.body };
    answer(PERMISSION_DENIED, HttpResponse::DeniedResponse(denied), told)
}

fn answer(code: i32, http: HttpResponse, told: &Told<'_>) -> CheckResponse {
    let members = [
        ("decision", told.decision),
        ("task", told.task),
        ("action", told.action),
        ("effect", told.effect),
        ("reason", told.reason),
    ];
    let fields = members.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| {
        let value = Value { kind: Some(Kind::StringValue(text.to_owned())) };
        (name.to_owned(), value)
    });
    CheckResponse {
        status: Some(Status { code, ..Status::default() }),
        http_response: Some(http),
        dynamic_metadata: Some(Struct { fields: fields.collect() }),
    }
}

/// A header that replaces whatever was there. A value that would break a header becomes an empty one.
fn header(name: &str, value: &str) -> HeaderValueOption {
    let fit = value.bytes().all(|byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f));
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.to_owned(),
            value: if fit { value.to_owned() } else { String::new() },
            ..HeaderValue::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        keep_empty_value: true,
        ..HeaderValueOption::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(answer: CheckResponse) -> OkHttpResponse {
        match answer.http_response {
            Some(HttpResponse::OkResponse(ok)) => ok,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_tasks_token_never_goes_upstream_and_a_header_that_is_set_stays() {
        let told = Told { decision: "d-1", ..Told::default() };
        let strip = ["authorization".to_owned(), "cookie".to_owned()];
        let answer = allow(&told, &strip, &[("Authorization", "Bearer x")]);
        assert_eq!(answer.status.as_ref().unwrap().code, OK);
        let ok = ok(answer);
        assert_eq!(ok.headers_to_remove, ["cookie", "flyball-task"]);
        let overwrite = i32::from(HeaderAppendAction::OverwriteIfExistsOrAdd);
        assert!(ok.headers.iter().all(|one| one.append_action == overwrite), "a client's own would stand beside it");
        let set: Vec<_> = ok.headers.iter().map(|one| one.header.as_ref().unwrap().key.as_str()).collect();
        assert_eq!(set, ["Authorization", "flyball-decision"]);
    }

    #[test]
    fn a_decision_that_has_no_name_takes_the_clients_own_away() {
        let ok = ok(allow(&Told::default(), &[], &[]));
        assert_eq!(ok.headers_to_remove, ["flyball-task", "flyball-decision"]);
        assert!(ok.headers.is_empty());
    }

    #[test]
    fn a_denial_denies_and_cannot_break_its_headers() {
        let denial = Denial { status: 403, body: "{}".to_owned(), headers: vec![("x", "a\r\nb: c".to_owned())] };
        let answer = deny(&Told::default(), denial);
        assert_ne!(answer.status.as_ref().unwrap().code, OK);
        let Some(HttpResponse::DeniedResponse(denied)) = answer.http_response else { panic!("denied") };
        assert!(denied.headers.iter().all(|one| !one.header.as_ref().unwrap().value.contains('\n')));
        let keeps = |one: &HeaderValueOption| one.header.as_ref().is_some_and(|header| header.value == "no-store");
        assert!(denied.headers.iter().any(keeps), "nobody keeps a denial");
    }
}
