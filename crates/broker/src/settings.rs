//! What the broker is told: bounds, and the upstreams of the bundle.

use crate::address::Network;
use crate::route::{RouteConfig, Routes};
use crate::tls;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio_rustls::rustls;

/// Bounds of one broker.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections of clients at once.
    pub connections: usize,
    /// Bytes of a request's or an answer's head.
    pub head: usize,
    /// Headers of a head.
    pub headers: usize,
    /// Bytes of a body that is decided on.
    pub body: usize,
    /// From a head's first byte to its last.
    pub head_time: Duration,
    /// How long a connection may be idle between requests.
    pub idle_time: Duration,
    /// How long a client may send nothing of a body, or leave what is written to it unread.
    pub stall_time: Duration,
    /// Until the connection to an upstream stands, TLS included.
    pub connect_time: Duration,
    /// Until an upstream begins its answer.
    pub answer_time: Duration,
    /// Idle connections kept, per task and upstream.
    pub pooled: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000,
            head: 32 * 1024,
            headers: 100,
            body: 256 * 1024,
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(60),
            stall_time: Duration::from_secs(60),
            connect_time: Duration::from_secs(10),
            answer_time: Duration::from_secs(120),
            pooled: 64,
        }
    }
}

/// An upstream cannot be used as it is written.
#[derive(Debug, Error)]
#[error("upstream `{upstream}`: {fault}")]
pub struct WrongUpstream {
    /// Its name.
    pub upstream: String,
    /// What is wrong.
    pub fault: String,
}

/// How the credential goes into a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Inject {
    /// None: the upstream asks for nothing.
    None,
    /// `Authorization: Bearer …`.
    Bearer,
    /// `Authorization: Basic …`, with this user name.
    Basic(String),
    /// A header of this name.
    Header(String),
    /// A parameter of this name in the query.
    Query(String),
}

/// One upstream, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Its name in the bundle.
    pub name: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Its host, in lower case.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The path that all its paths begin with; empty, or `/v1` and the like.
    #[serde(default)]
    pub base: String,
    /// How the credential goes in.
    pub inject: Inject,
    /// Its operations.
    #[serde(default)]
    pub routes: Vec<RouteConfig>,
    /// Actions whose answers are told before the client has them.
    #[serde(default)]
    pub reports: Vec<String>,
    /// Networks that are not public and may be connected to: `10.0.0.0/8`, `127.0.0.1`.
    #[serde(default)]
    pub networks: Vec<String>,
    /// Whether CONNECT is answered, with a certificate of this deployment's authority.
    #[serde(default)]
    pub intercept: bool,
    /// Authorities besides the public ones, PEM.
    #[serde(default)]
    pub ca_pem: String,
}

/// One upstream, checked.
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) https: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) base: String,
    pub(crate) inject: Inject,
    pub(crate) routes: Routes,
    pub(crate) reports: HashSet<String>,
    pub(crate) networks: Vec<Network>,
    pub(crate) intercept: bool,
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
}

impl Upstream {
    /// As the Host header says it.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.https) { host } else { format!("{host}:{}", self.port) }
    }

    fn read(config: UpstreamConfig) -> Result<Self, WrongUpstream> {
        let wrong = |fault: String| WrongUpstream { upstream: config.name.clone(), fault };
        let https = match config.scheme.as_str() {
            "http" => false,
            "https" => true,
            other => return Err(wrong(format!("the scheme `{other}` is not http or https"))),
        };
        let name_is_plain = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if !name_is_plain(&config.name) {
            return Err(wrong("its name has characters other than letters, digits, `-` and `_`".to_owned()));
        }
        if config.host.is_empty() || config.host.bytes().any(|byte| byte.is_ascii_uppercase() || byte <= b' ') {
            return Err(wrong("its host is empty, or not in lower case".to_owned()));
        }
        if !config.base.is_empty() && (!config.base.starts_with('/') || config.base.ends_with('/')) {
            return Err(wrong("its base begins with `/` and does not end with one".to_owned()));
        }
        if let Inject::Header(name) | Inject::Query(name) = &config.inject
            && !name_is_plain(name)
        {
            return Err(wrong(format!("`{name}` names no header or parameter")));
        }
        let networks = config.networks.iter().map(|text| Network::read(text)).collect::<Option<Vec<_>>>();
        let networks = networks.ok_or_else(|| wrong("one of its networks cannot be read".to_owned()))?;
        let routes = Routes::read(&config.name, config.routes.clone()).map_err(&wrong)?;
        let tls = if https { Some(tls::client(&config.ca_pem).map_err(&wrong)?) } else { None };
        Ok(Self {
            name: config.name,
            https,
            host: config.host,
            port: config.port,
            base: config.base,
            inject: config.inject,
            routes,
            reports: config.reports.into_iter().collect(),
            networks,
            intercept: config.intercept && https,
            tls,
        })
    }
}

/// The port that a scheme has where none is written.
pub(crate) const fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// All upstreams of a bundle.
#[derive(Default)]
pub struct Upstreams {
    by_name: HashMap<String, Arc<Upstream>>,
    by_place: HashMap<(String, u16), Arc<Upstream>>,
}

impl Upstreams {
    /// Check and keep them.
    ///
    /// # Errors
    /// One is not sound, or two have one name or one host and port.
    pub fn new(configs: Vec<UpstreamConfig>) -> Result<Self, WrongUpstream> {
        let mut out = Self::default();
        for config in configs {
            let upstream = Arc::new(Upstream::read(config)?);
            let twice = |what: &str| WrongUpstream {
                upstream: upstream.name.clone(),
                fault: format!("its {what} is another upstream's, too"),
            };
            let place = (upstream.host.clone(), upstream.port);
            if out.by_name.insert(upstream.name.clone(), Arc::clone(&upstream)).is_some() {
                return Err(twice("name"));
            }
            if out.by_place.insert(place, Arc::clone(&upstream)).is_some() {
                return Err(twice("host and port"));
            }
        }
        Ok(out)
    }

    /// The hosts for which this deployment's authority may answer.
    pub fn intercepted(&self) -> Vec<String> {
        let mut hosts: Vec<String> =
            self.by_name.values().filter(|one| one.intercept).map(|one| one.host.clone()).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.by_name.get(name)
    }

    pub(crate) fn placed(&self, host: &str, port: u16) -> Option<&Arc<Upstream>> {
        self.by_place.get(&(host.to_owned(), port))
    }

    pub(crate) fn has_host(&self, host: &str) -> bool {
        self.by_place.keys().any(|(one, _)| one == host)
    }
}
