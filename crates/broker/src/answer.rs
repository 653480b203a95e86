//! Refusals, as problem details (RFC 9457). None quotes what the client sent, and none names a secret.

use crate::reply::Reply;
use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, PROXY_AUTHENTICATE, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::json;

/// Why a request is not answered by its upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) detail: &'static str,
    pub(crate) decision: Option<String>,
    pub(crate) approval: Option<String>,
    /// Whether the connection ends with it.
    pub(crate) close: bool,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &str, detail: &'static str) -> Self {
        Self { status, code: code.to_owned(), detail, decision: None, approval: None, close: false }
    }

    /// 400: the request is not one that all readers understand alike.
    pub(crate) fn malformed(code: &str, detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 403: the broker's own rules forbid it.
    pub(crate) fn forbidden(code: &str, detail: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 502: what the upstream did is not passed on.
    pub(crate) fn upstream(code: &str, detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, code, detail)
    }

    /// 403: the task's decision.
    pub(crate) fn denied(id: String, reason: String, approval: Option<String>) -> Self {
        let detail = if approval.is_some() {
            "a person must allow this first; ask again then"
        } else {
            "the task may not do this; `flyball why` tells an operator more"
        };
        Self { decision: Some(id).filter(|id| !id.is_empty()), code: reason, approval, ..Self::forbidden("", detail) }
    }

    /// 403: the task is over.
    pub(crate) fn fenced() -> Self {
        Self { close: true, ..Self::forbidden("fenced", "the task is over") }
    }

    /// 503: nothing was decided.
    pub(crate) fn fault(reason: String) -> Self {
        let detail = "nothing was decided; this is a fault of the governor's";
        Self { code: reason, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "", detail) }
    }

    /// 401 or 407: no ticket, or none that counts.
    pub(crate) fn unknown(proxy: bool) -> Self {
        let detail = "show the task's ticket: `flyball run` sets it";
        let status = if proxy { StatusCode::PROXY_AUTHENTICATION_REQUIRED } else { StatusCode::UNAUTHORIZED };
        Self::new(status, "no_ticket", detail)
    }

    pub(crate) fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    pub(crate) fn for_decision(self, id: &str) -> Self {
        Self { decision: Some(id.to_owned()), ..self }
    }

    /// The answer.
    pub(crate) fn answer(&self) -> Response<Reply> {
        let mut body = json!({
            "type": format!("urn:flyball:error:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "reason": self.code,
        });
        if let Some(members) = body.as_object_mut() {
            for (name, value) in [("decision", &self.decision), ("approval", &self.approval)] {
                if let Some(value) = value {
                    members.insert(name.to_owned(), value.as_str().into());
                }
            }
        }
        let mut response = Response::new(Reply::whole(Bytes::from(body.to_string())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                headers.insert(PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"flyball\""));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"flyball\""));
            }
            _ => {}
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
