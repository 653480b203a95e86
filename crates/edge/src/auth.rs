//! Whose request it is: proved by the connection, or by a task token and what it is bound to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

use flyball_decision::{Pep, PepIdentity, PepTable};
use hyper::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use hyper::http::request::Parts;

use crate::answer::Problem;
use crate::config::Config;
use crate::dpop::{self, Used};
use crate::peer::Peer;
use crate::token::{self, Bound, TaskToken};
use crate::uri;

/// The task's token, sent by an enforcement point that has an identity of its own.
const FLYBALL_TASK: HeaderName = HeaderName::from_static("flyball-task");
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Tokens remembered for one connection. Beyond it they must be shown anew.
const TOKENS: usize = 4096;

type Tokens = RefCell<HashMap<Box<str>, Rc<TaskToken>, ahash::RandomState>>;

/// One connection, and what was proved on it.
pub(crate) struct Connection {
    pub(crate) peer: Peer,
    /// Our end, on TCP.
    pub(crate) local: Option<SocketAddr>,
    /// What an enforcement point may be known by here.
    identities: Vec<PepIdentity>,
    /// Tokens whose holder showed here what they are bound to.
    shown: Tokens,
    /// Tokens that an enforcement point handed in: verified, their binding not shown by it.
    handed_in: Tokens,
}

/// Whose request it is.
pub(crate) struct Caller<'p> {
    /// The enforcement point. None where a token came by itself and no point is declared for that.
    pub(crate) pep: Option<&'p Pep>,
    /// Whether the enforcement point is known by its connection.
    pub(crate) pep_connected: bool,
    /// The task's token.
    pub(crate) token: Option<Rc<TaskToken>>,
    /// What was shown: `jkt:…` or `uid:…` of the task, or `pep:…` of the enforcement point.
    pub(crate) binding: String,
}

impl Connection {
    pub(crate) fn new(peer: Peer, local: Option<SocketAddr>) -> Self {
        let identities = match &peer {
            Peer::Tcp | Peer::Tls => Vec::new(),
            Peer::Unix { uid } => vec![PepIdentity::Uid(*uid)],
            Peer::Certificate { spiffe, x5t } => {
                spiffe.iter().map(|id| PepIdentity::Spiffe(id.clone())).chain([PepIdentity::X5t(x5t.clone())]).collect()
            }
        };
        Self { peer, local, identities, shown: RefCell::default(), handed_in: RefCell::default() }
    }

    /// The enforcement point that the connection's peer is, among those declared now.
    pub(crate) fn pep<'p>(&self, peps: &'p PepTable) -> Option<&'p Pep> {
        self.identities.iter().find_map(|identity| peps.by_identity(identity))
    }

    /// What the peer is bound by, as records name it.
    pub(crate) fn binding(&self) -> String {
        match &self.peer {
            Peer::Unix { uid } => format!("pep:uid:{uid}"),
            Peer::Certificate { spiffe: Some(id), .. } => format!("pep:{id}"),
            Peer::Certificate { spiffe: None, x5t } => format!("pep:x5t:{x5t}"),
            Peer::Tcp | Peer::Tls => String::new(),
        }
    }

    /// The origin that this connection's requests are for. Without a configured one a `Host` counts
    /// only where it names our own end: else whoever gets a proof made for him could send it on.
    fn origin(&self, config: &Config, head: &Parts) -> Option<String> {
        if let Some(url) = &config.public_url {
            return Some(url.clone());
        }
        let host = only(head, &HOST).ok()??;
        let scheme = if self.peer.is_tls() { "https" } else { "http" };
        let ours = match self.local {
            None => host == "localhost",
            Some(local) => {
                host == local.to_string() || (local.ip().is_loopback() && host == format!("localhost:{}", local.port()))
            }
        };
        ours.then(|| format!("{scheme}://{host}"))
    }
}

/// What requests are authenticated against.
pub(crate) struct Gate<'g> {
    pub(crate) config: &'g Config,
    pub(crate) used: &'g Used,
    pub(crate) wall_ms: i64,
}

impl Gate<'_> {
    /// Authenticate one request against the enforcement points that are declared now.
    pub(crate) fn caller<'p>(
        &self,
        conn: &Connection,
        head: &Parts,
        peps: &'p PepTable,
    ) -> Result<Caller<'p>, Problem> {
        let connected = conn.pep(peps);
        let authorization = only(head, &AUTHORIZATION)?;
        let handed_in = only(head, &FLYBALL_TASK)?;
        match (authorization, handed_in, connected) {
            (Some(_), Some(_), _) => Err(Problem::invalid("`Authorization` and `Flyball-Task` exclude each other")),
            (Some(authorization), None, _) => {
                let token = self.shown(conn, head, authorization)?;
                let binding = match &token.bound {
                    Bound::Key(jkt) => format!("jkt:{jkt}"),
                    Bound::User(uid) => format!("uid:{uid}"),
                };
                let own = peps.by_identity(&PepIdentity::Own);
                Ok(Caller { pep: own, pep_connected: false, token: Some(token), binding })
            }
            (None, handed_in, Some(pep)) => {
                let token = match handed_in {
                    None => None,
                    Some(text) => Some(self.handed_in(conn, text)?),
                };
                Ok(Caller { pep: Some(pep), pep_connected: true, token, binding: conn.binding() })
            }
            (None, Some(_), None) => {
                Err(Problem::unauthenticated("this connection is not a declared enforcement point"))
            }
            (None, None, None) => Err(Problem::unauthenticated("the request shows no task token")),
        }
    }

    /// A token that an enforcement point handed in: verified, its binding not shown by it.
    pub(crate) fn handed_in(&self, conn: &Connection, text: &str) -> Result<Rc<TaskToken>, Problem> {
        match known(&conn.handed_in, text, self.wall_ms) {
            Some(token) => Ok(token),
            None => Ok(keep(&conn.handed_in, text, self.verify(text)?, self.wall_ms)),
        }
    }

    /// A token in `Authorization`, whose binding is shown now or was shown on this connection.
    fn shown(&self, conn: &Connection, head: &Parts, authorization: &str) -> Result<Rc<TaskToken>, Problem> {
        let Some((scheme, text)) = authorization.split_once(' ') else {
            return Err(Problem::unauthenticated("`Authorization` is malformed"));
        };
        let proof = only(head, &DPOP)?;
        let known = known(&conn.shown, text, self.wall_ms);
        if scheme.eq_ignore_ascii_case("dpop") {
            match (known, proof) {
                (Some(token), None) if matches!(token.bound, Bound::Key(_)) => Ok(token),
                (known, Some(proof)) => {
                    let token = match known {
                        Some(token) => token,
                        None => Rc::new(self.verify(text)?),
                    };
                    self.prove(conn, head, text, &token, proof)?;
                    Ok(keep_shared(&conn.shown, text, token, self.wall_ms))
                }
                (_, None) => Err(Problem::unproved("the first request of a token on a connection needs a DPoP proof")),
            }
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let token = match known {
                Some(token) => token,
                None => Rc::new(self.verify(text)?),
            };
            match token.bound {
                Bound::User(uid) if conn.peer.uid() == Some(uid) => {
                    Ok(keep_shared(&conn.shown, text, token, self.wall_ms))
                }
                Bound::User(_) => {
                    Err(Problem::unauthenticated("the token is bound to another user, or this is no Unix socket"))
                }
                Bound::Key(_) => Err(Problem::unproved("the token is bound to a key; send it as DPoP")),
            }
        } else {
            Err(Problem::unauthenticated("`Authorization` is neither DPoP nor Bearer"))
        }
    }

    fn verify(&self, text: &str) -> Result<TaskToken, Problem> {
        token::verify(text, &self.config.token_keys, &self.config.issuer, self.wall_ms)
            .map_err(Problem::unauthenticated)
    }

    fn prove(
        &self,
        conn: &Connection,
        head: &Parts,
        text: &str,
        token: &TaskToken,
        proof: &str,
    ) -> Result<(), Problem> {
        let Bound::Key(jkt) = &token.bound else {
            return Err(Problem::unproved("the token is not bound to a key"));
        };
        let Some(uri) =
            conn.origin(self.config, head).and_then(|origin| uri::normal(&format!("{origin}{}", head.uri.path())))
        else {
            return Err(Problem::unproved(
                "`Host` names neither the configured public URL nor this listener's address",
            ));
        };
        let expected =
            dpop::Expected { method: head.method.as_str(), uri: &uri, token: text, jkt, wall_ms: self.wall_ms };
        dpop::verify(proof, &expected, self.used).map_err(|refused| match refused {
            dpop::Refused::Proof(why) => Problem::unproved(why),
            dpop::Refused::Busy => Problem::ours("too many proofs are remembered"),
        })
    }
}

/// The one value of a header; more than one, or one that is not ASCII, is refused.
fn only<'h>(head: &'h Parts, name: &HeaderName) -> Result<Option<&'h str>, Problem> {
    let mut values = head.headers.get_all(name).iter();
    match (values.next().map(HeaderValue::to_str), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value)),
        _ => Err(Problem::unauthenticated("a header that proves something is malformed or repeated")),
    }
}

/// A token that was verified on this connection and has not run out since.
fn known(tokens: &Tokens, text: &str, wall_ms: i64) -> Option<Rc<TaskToken>> {
    tokens.borrow().get(text).filter(|token| wall_ms < token.expires_ms).cloned()
}

fn keep(tokens: &Tokens, text: &str, token: TaskToken, wall_ms: i64) -> Rc<TaskToken> {
    keep_shared(tokens, text, Rc::new(token), wall_ms)
}

fn keep_shared(tokens: &Tokens, text: &str, token: Rc<TaskToken>, wall_ms: i64) -> Rc<TaskToken> {
    let mut tokens = tokens.borrow_mut();
    if !tokens.contains_key(text) {
        if tokens.len() >= TOKENS {
            tokens.retain(|_, token| wall_ms < token.expires_ms);
            if tokens.len() >= TOKENS {
                tokens.clear();
            }
        }
        tokens.insert(text.into(), Rc::clone(&token));
    }
    token
}
