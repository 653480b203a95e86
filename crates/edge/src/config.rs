//! What the edge is told at start. Unknown members are refused.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Why the edge could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is malformed or asks for something unsafe.
    #[error("the edge's configuration cannot be used: {0}")]
    Config(String),
    /// A listener could not be opened.
    #[error("cannot listen on {place}: {source}")]
    Listen {
        /// The address or path.
        place: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A certificate or key could not be read or used.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// A thread or runtime could not be made.
    #[error("the edge's threads cannot be started: {0}")]
    Threads(std::io::Error),
}

/// One place to listen on.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Listen {
    /// Plain TCP; loopback only.
    Tcp {
        /// The address; port 0 takes a free one.
        tcp: SocketAddr,
    },
    /// A Unix socket.
    Unix {
        /// Its path.
        unix: PathBuf,
        /// Its mode; 0600 where none is given.
        #[serde(default = "owner_only")]
        mode: u32,
    },
    /// TCP with TLS.
    Tls {
        /// The address and the certificates.
        tls: Tls,
    },
}

/// A TLS listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The address; port 0 takes a free one.
    pub addr: SocketAddr,
    /// Path of the certificate chain, leaf first.
    pub cert_pem: PathBuf,
    /// Path of its key.
    pub key_pem: PathBuf,
    /// Path of the authorities that client certificates must chain to. None: none are asked for.
    #[serde(default)]
    pub client_ca_pem: Option<PathBuf>,
}

/// A key that signs task tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenKey {
    kid: String,
    x: String,
}

/// What Envoy's word on a request's peer counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Principal {
    /// The task is named by its token; a peer that Envoy names must be the token's principal.
    #[default]
    Match,
    /// The same, and Envoy must name a peer.
    Required,
    /// A peer that Envoy names, and that has exactly one task, needs no token.
    Alone,
    /// Envoy's peers are others than the agents (a proxy between them): their names count for nothing.
    Ignore,
}

/// Where and how Envoy's external authorization is served.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtAuthz {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// What the request's peer counts for.
    #[serde(default)]
    pub principal: Principal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    issuer: String,
    listen: Vec<Listen>,
    #[serde(default)]
    ext_authz: ExtAuthz,
    #[serde(default)]
    token_keys: Vec<TokenKey>,
    #[serde(default = "max_body")]
    max_body: usize,
    #[serde(default = "max_connections")]
    max_connections: usize,
    #[serde(default = "one")]
    workers: usize,
    #[serde(default)]
    public_url: Option<String>,
    #[serde(default = "half_a_minute")]
    head_timeout_ms: u64,
}

/// The edge's configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Issuer and audience of task tokens.
    pub issuer: String,
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Envoy's external authorization.
    pub ext_authz: ExtAuthz,
    /// Raw Ed25519 public keys by key id.
    pub token_keys: HashMap<String, [u8; 32]>,
    /// Bytes of a request body at most.
    pub max_body: usize,
    /// Connections at most, over all listeners.
    pub max_connections: usize,
    /// Threads that serve.
    pub workers: usize,
    /// The origin that callers use, where it is not a listener's own address; no trailing slash.
    pub public_url: Option<String>,
    /// How long a request's head may take, and a connection may be idle.
    pub head_timeout: Duration,
}

const fn half_a_minute() -> u64 {
    30_000
}
const fn owner_only() -> u32 {
    0o600
}
const fn max_body() -> usize {
    65_536
}
const fn max_connections() -> usize {
    1024
}
const fn one() -> usize {
    1
}

impl Config {
    /// Read and check a configuration.
    pub fn from_json(json: &[u8]) -> Result<Self, StartError> {
        let bad = |text: String| StartError::Config(text);
        let raw: Raw = serde_json::from_slice(json).map_err(|error| bad(error.to_string()))?;
        if raw.issuer.is_empty() {
            return Err(bad("`issuer` is empty".to_owned()));
        }
        if raw.listen.is_empty() {
            return Err(bad("`listen` names no place".to_owned()));
        }
        for listen in raw.listen.iter().chain(&raw.ext_authz.listen) {
            if let Listen::Tcp { tcp } = listen
                && !tcp.ip().is_loopback()
            {
                return Err(bad(format!("{tcp} is not loopback; use a `tls` listener there")));
            }
        }
        let within = |name: &str, value: usize, least: usize, most: usize| {
            if (least..=most).contains(&value) {
                return Ok(value);
            }
            Err(bad(format!("`{name}` is {value}; it goes from {least} to {most}")))
        };
        let mut token_keys = HashMap::new();
        for key in raw.token_keys {
            let x: [u8; 32] = URL_SAFE_NO_PAD
                .decode(&key.x)
                .ok()
                .and_then(|x| x.try_into().ok())
                .ok_or_else(|| bad(format!("token key {:?} is no Ed25519 key", key.kid)))?;
            token_keys.insert(key.kid, x);
        }
        let public_url = match raw.public_url {
            None => None,
            Some(url) => {
                let origin = url.trim_end_matches('/');
                let host =
                    origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).unwrap_or_default();
                if host.is_empty() || host.contains(['/', '?', '#', '@', ' ', '"', '\\']) {
                    return Err(bad("`public_url` is not a plain http(s) origin".to_owned()));
                }
                Some(origin.to_owned())
            }
        };
        Ok(Self {
            issuer: raw.issuer,
            listen: raw.listen,
            ext_authz: raw.ext_authz,
            token_keys,
            max_body: within("max_body", raw.max_body, 1024, 4 << 20)?,
            max_connections: within("max_connections", raw.max_connections, 1, 65_536)?,
            workers: within("workers", raw.workers, 1, 64)?,
            public_url,
            head_timeout: Duration::from_millis(raw.head_timeout_ms.clamp(100, 3_600_000)),
        })
    }
}
