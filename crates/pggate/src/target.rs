//! A database behind the gateway, as the control plane describes it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Why a lease's target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// What describes it cannot be read.
    #[error("the target's description is malformed: {0}")]
    Malformed(String),
    /// Its host has no address.
    #[error("{0} has no address")]
    Unknown(String),
    /// Another machine, and no TLS that would prove which.
    #[error("{0} is another machine; a session there needs `sslmode: verify-full` and `sslrootcert`")]
    Plain(String),
    /// The authorities cannot be read.
    #[error("{0}")]
    Tls(String),
}

/// How TLS is spoken to a server, and the name that it must prove.
type Tls = (Arc<ClientConfig>, String);

/// Where a lease leads, and how statements there are judged.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The target's name in the bundle: resources begin with it.
    pub target: String,
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The role that the lease made.
    pub user: String,
    /// The database.
    pub database: String,
    /// PEM file of the authorities that the server's certificate must chain to; none on loopback only.
    #[serde(default)]
    pub ca_pem: Option<PathBuf>,
    /// Schemas in which a bare name is looked for.
    pub search_path: Vec<String>,
    /// Functions that somebody has read, as `schema.name`.
    #[serde(default)]
    pub functions: Vec<String>,
    /// Trigger functions that somebody has read, likewise.
    #[serde(default)]
    pub triggers: Vec<String>,
    /// Whether foreign tables may be touched at all.
    #[serde(default)]
    pub foreign_tables: bool,
}

impl Place {
    /// Read what the control plane says of a lease's target.
    pub fn read(json: &[u8]) -> Result<Self, TargetError> {
        serde_json::from_slice(json).map_err(|error| TargetError::Malformed(error.to_string()))
    }

    /// Its address, and how TLS is spoken there. Looks the name up: may block.
    pub(crate) fn way(&self) -> Result<(SocketAddr, Option<Tls>), TargetError> {
        let unknown = || TargetError::Unknown(self.host.clone());
        let mut found = (self.host.as_str(), self.port).to_socket_addrs().map_err(|_| unknown())?;
        let address = found.next().ok_or_else(unknown)?;
        match &self.ca_pem {
            Some(path) => Ok((address, Some((client_tls(path)?, self.host.clone())))),
            None if address.ip().is_loopback() => Ok((address, None)),
            None => Err(TargetError::Plain(self.host.clone())),
        }
    }

    /// The search path as a setting: each schema quoted.
    pub(crate) fn path_text(&self) -> String {
        let quoted = self.search_path.iter().map(|schema| format!("\"{}\"", schema.replace('"', "\"\"")));
        quoted.collect::<Vec<_>>().join(", ")
    }
}

fn client_tls(path: &Path) -> Result<Arc<ClientConfig>, TargetError> {
    let at = |error: &dyn std::fmt::Display| TargetError::Tls(format!("{}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(path).map_err(|error| at(&error))? {
        roots.add(authority.map_err(|error| at(&error))?).map_err(|error| at(&error))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| at(&error))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
