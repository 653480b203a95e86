//! The task token (minted by `flyball.identity.task_token`): a compact JWS by Ed25519.
//!
//! It only names a task and what its holder is bound to. Whether the task still lives is asked of
//! the task table on every check; whether the binding holds is shown by `auth`.

use std::collections::HashMap;

use serde::Deserialize;

use crate::jws::{Alg, Jws, Key};

/// The type that keeps a task token apart from every other JWT.
const TYP: &str = "flyball-task+jwt";

/// What the token's holder must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// A key, by its RFC 7638 thumbprint.
    Key(String),
    /// A Unix user.
    User(u32),
}

/// A task token whose signature, type, issuer and audience have been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskToken {
    pub(crate) task: String,
    pub(crate) principal: String,
    pub(crate) bound: Bound,
    /// Wall milliseconds.
    pub(crate) expires_ms: i64,
}

/// What is wrong with a token; no part of it is repeated.
pub(crate) type Refused = &'static str;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    tid: String,
    iat: i64,
    exp: i64,
    cnf: Confirmation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    #[serde(default)]
    jkt: Option<String>,
    #[serde(default)]
    uid: Option<u32>,
}

/// Verify a token. Its expiry is checked here and again on each later use.
pub(crate) fn verify(
    token: &str,
    keys: &HashMap<String, [u8; 32]>,
    issuer: &str,
    wall_ms: i64,
) -> Result<TaskToken, Refused> {
    const MALFORMED: Refused = "the token is not a task token";
    let jws = Jws::parse(token).ok_or(MALFORMED)?;
    let header: Header = serde_json::from_str(&jws.header).map_err(|_| MALFORMED)?;
    if header.alg != "EdDSA" || header.typ != TYP {
        return Err(MALFORMED);
    }
    let key = keys.get(&header.kid).ok_or("the token is signed by a key that is not ours")?;
    if !jws.verify(&Key { alg: Alg::EdDsa, bytes: key.to_vec() }) {
        return Err("the token's signature is wrong");
    }
    let claims: Claims = serde_json::from_str(&jws.claims).map_err(|_| MALFORMED)?;
    if claims.iss != issuer || claims.aud != issuer {
        return Err("the token is for another Flyball");
    }
    let expires_ms = claims.exp.checked_mul(1000).ok_or(MALFORMED)?;
    if wall_ms >= expires_ms {
        return Err("the token has run out");
    }
    if claims.tid.is_empty() || claims.sub.is_empty() || claims.iat > claims.exp {
        return Err(MALFORMED);
    }
    let bound = match (claims.cnf.jkt, claims.cnf.uid) {
        (Some(jkt), None) if !jkt.is_empty() => Bound::Key(jkt),
        (None, Some(uid)) => Bound::User(uid),
        _ => return Err("the token is bound to nothing that can be shown"),
    };
    Ok(TaskToken { task: claims.tid, principal: claims.sub, bound, expires_ms })
}
