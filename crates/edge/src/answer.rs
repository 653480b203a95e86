//! Answers, written by hand: a decision is a few fixed members.

use bytes::Bytes;
use flyball_decision::Verdict;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use crate::json::push_string;

/// What a request is answered that gets no decision. It never means *denied*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

pub(crate) type Answer = Response<Full<Bytes>>;

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    /// 400: the request is malformed.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// 401: no token, or one that is not valid here.
    pub(crate) fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_token", detail)
    }

    /// 401: the token's holder has not shown that he may use it.
    pub(crate) fn unproved(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_dpop_proof", detail)
    }

    /// 403: this enforcement point may not ask that.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "pep_may_not_assert", detail)
    }

    /// 404, 405, 413, 408; and what a report is refused for.
    pub(crate) fn other(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(status, code, detail)
    }

    /// 503: a fault of our own; nothing was decided.
    pub(crate) fn ours(detail: impl Into<String>) -> Self {
        Self::fault("engine_error", detail)
    }

    /// 503 with the reason that a verdict gave.
    pub(crate) fn fault(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// RFC 9457's members, in an object that is not closed yet.
    pub(crate) fn members(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(192);
        body.extend_from_slice(b"{\"type\":\"urn:flyball:error:");
        body.extend_from_slice(self.code.as_bytes());
        body.extend_from_slice(b"\",\"title\":");
        push_string(&mut body, self.status.canonical_reason().unwrap_or("Error"));
        body.extend_from_slice(b",\"status\":");
        body.extend_from_slice(self.status.as_str().as_bytes());
        body.extend_from_slice(b",\"detail\":");
        push_string(&mut body, &self.detail);
        body
    }

    /// As an HTTP answer (RFC 9457).
    pub(crate) fn answer(&self) -> Answer {
        let mut body = self.members();
        body.push(b'}');
        let mut answer = answer(self.status, "application/problem+json", body);
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = match self.code {
                "invalid_dpop_proof" => r#"DPoP algs="ES256 EdDSA", error="invalid_dpop_proof""#,
                _ => r#"DPoP algs="ES256 EdDSA", error="invalid_token""#,
            };
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }

    /// As the answer to one item of a batch: not permitted, and why (AuthZEN, 7.2.1).
    pub(crate) fn push_item(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"decision\":false,\"context\":{\"reason\":\"");
        out.extend_from_slice(self.code.as_bytes());
        out.extend_from_slice(b"\",\"error\":{\"status\":");
        out.extend_from_slice(self.status.as_str().as_bytes());
        out.extend_from_slice(b",\"message\":");
        push_string(out, &self.detail);
        out.extend_from_slice(b"}}}");
    }
}

/// Append a verdict as AuthZEN's decision. Policies are not named: `flyball why` does that, for those
/// who may read it.
pub(crate) fn push_verdict(verdict: &Verdict, out: &mut Vec<u8>) {
    let allowed = verdict.allowed();
    out.extend_from_slice(if allowed { b"{\"decision\":true" } else { b"{\"decision\":false" });
    out.extend_from_slice(b",\"context\":{\"effect\":\"");
    out.extend_from_slice(verdict.effect.as_str().as_bytes());
    out.push(b'"');
    if !verdict.decision.is_empty() {
        out.extend_from_slice(b",\"id\":");
        push_string(out, &verdict.decision);
    }
    if !allowed {
        if let Some(first) = verdict.reasons.first() {
            out.extend_from_slice(b",\"reason\":\"");
            out.extend_from_slice(first.as_str().as_bytes());
            out.extend_from_slice(b"\",\"reasons\":[");
            for (at, reason) in verdict.reasons.iter().enumerate() {
                out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
                out.extend_from_slice(reason.as_str().as_bytes());
                out.push(b'"');
            }
            out.push(b']');
        }
        if let Some(approval) = &verdict.approval {
            out.extend_from_slice(b",\"approval\":");
            push_string(out, approval);
        }
        if !verdict.digest.is_empty() {
            out.extend_from_slice(b",\"digest\":");
            push_string(out, &verdict.digest);
        }
        if let Some(reaction) = verdict.reaction {
            out.extend_from_slice(b",\"reaction\":\"");
            out.extend_from_slice(reaction.as_str().as_bytes());
            out.push(b'"');
        }
    }
    out.extend_from_slice(b"}}");
}

/// A plain answer.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// 200 with a JSON body.
pub(crate) fn ok(body: Vec<u8>) -> Answer {
    answer(StatusCode::OK, "application/json", body)
}
