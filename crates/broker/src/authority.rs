//! This deployment's own certificate authority, for interception: it may answer for the hosts of the
//! bundle and for no other, which its certificate itself says (RFC 5280, 4.2.1.10), so that a stolen
//! key opens nothing else at a client that trusts it.

use crate::tls::provider;
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use thiserror::Error;
use tokio_rustls::rustls::{self, ServerConfig};

/// How long the authority's certificate is good.
const LIFE: Duration = Duration::from_secs(397 * 86_400);
/// How long a host's certificate is good, and how long it is used.
const LEAF_LIFE: Duration = Duration::from_secs(2 * 86_400);
const LEAF_USE: Duration = Duration::from_secs(86_400);
/// Clocks differ.
const BEFORE: Duration = Duration::from_secs(3_600);

/// The authority cannot be made or used.
#[derive(Debug, Error)]
#[error("the interception authority: {0}")]
pub struct AuthorityFault(String);

impl From<rcgen::Error> for AuthorityFault {
    fn from(error: rcgen::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<rustls::Error> for AuthorityFault {
    fn from(error: rustls::Error) -> Self {
        Self(error.to_string())
    }
}

/// Answers for the hosts of the bundle.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    hosts: Vec<String>,
    /// One entry a host, so no larger than the bundle.
    leaves: Mutex<HashMap<String, (Arc<ServerConfig>, Instant)>>,
}

impl Authority {
    /// A new key, PEM.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new_key() -> Result<String, AuthorityFault> {
        Ok(KeyPair::generate()?.serialize_pem())
    }

    /// The authority of a key, for these hosts: a new certificate, and the old key.
    ///
    /// # Errors
    /// The key cannot be read, a host cannot stand in a certificate, or there is no host.
    pub fn new(key_pem: &str, hosts: Vec<String>) -> Result<Self, AuthorityFault> {
        let key = KeyPair::from_pem(key_pem)?;
        if hosts.is_empty() {
            return Err(AuthorityFault("there is no host to answer for".to_owned()));
        }
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = named("Flyball interception (this deployment only)");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = Some(constraints(&hosts));
        let now = SystemTime::now();
        params.not_before = (now - BEFORE).into();
        params.not_after = (now + LIFE).into();
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            hosts,
            leaves: Mutex::default(),
        })
    }

    /// The certificate, for clients to trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// How to answer as a host.
    pub(crate) fn answer_as(&self, host: &str) -> Result<Arc<ServerConfig>, AuthorityFault> {
        if !self.hosts.iter().any(|one| one == host) {
            return Err(AuthorityFault("it may not answer for this host".to_owned()));
        }
        if let Some((config, made)) = self.leaves.lock().get(host)
            && made.elapsed() < LEAF_USE
        {
            return Ok(Arc::clone(config));
        }
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name = named("Flyball");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let now = SystemTime::now();
        params.not_before = (now - BEFORE).into();
        params.not_after = (now + LEAF_LIFE).into();
        let leaf = params.signed_by(&key, &self.issuer)?;
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        self.leaves.lock().insert(host.to_owned(), (Arc::clone(&config), Instant::now()));
        Ok(config)
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut found = DistinguishedName::new();
    found.push(DnType::CommonName, name);
    found
}

/// These names and addresses, and no other of either kind.
fn constraints(hosts: &[String]) -> NameConstraints {
    let mut permitted = Vec::new();
    // Of a kind of name that is not mentioned, every name is permitted.
    let (mut names, mut v4, mut v6) = (false, false, false);
    for host in hosts {
        permitted.push(match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => {
                v4 = true;
                GeneralSubtree::IpAddress(CidrSubnet::V4(address.octets(), [255; 4]))
            }
            Ok(IpAddr::V6(address)) => {
                v6 = true;
                GeneralSubtree::IpAddress(CidrSubnet::V6(address.octets(), [255; 16]))
            }
            Err(_) => {
                names = true;
                GeneralSubtree::DnsName(host.clone())
            }
        });
    }
    let mut excluded = Vec::new();
    if !names {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    if !v4 {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])));
    }
    if !v6 {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])));
    }
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded }
}
