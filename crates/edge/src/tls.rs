//! TLS by rustls, with ring.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::config::{StartError, Tls};

/// What accepts TLS connections as the configuration says, and the certificate that it shows. A client certificate,
/// where an authority is named, may be shown; what it allows is decided per request.
pub(crate) fn server(tls: &Tls, alpn: &[&[u8]]) -> Result<(Arc<ServerConfig>, CertificateDer<'static>), StartError> {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| StartError::Tls(error.to_string()))?;
    let builder = match &tls.client_ca_pem {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| at(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| at(path, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&tls.key_pem).map_err(|error| at(&tls.key_pem, &error))?;
    let chain = certificates(&tls.cert_pem)?;
    let leaf = chain.first().cloned().ok_or_else(|| StartError::Tls("no certificate".to_owned()))?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| at(&tls.cert_pem, &error))?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok((Arc::new(config), leaf))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| at(path, &error))?;
    if all.is_empty() {
        return Err(StartError::Tls(format!("{}: holds no certificate", path.display())));
    }
    Ok(all)
}

fn at(path: &Path, error: &dyn std::fmt::Display) -> StartError {
    StartError::Tls(format!("{}: {error}", path.display()))
}
