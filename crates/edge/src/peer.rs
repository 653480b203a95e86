//! Who is at the other end of a connection, as the kernel or TLS says; never as the peer says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A connection's peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Plain TCP on loopback: nobody in particular.
    Tcp,
    /// A Unix socket: the user of the process that connected.
    Unix { uid: u32 },
    /// TLS without a client certificate.
    Tls,
    /// TLS with a client certificate that chains to the configured authority.
    Certificate { spiffe: Option<String>, x5t: String },
}

impl Peer {
    /// The user, on a Unix socket.
    pub(crate) fn uid(&self) -> Option<u32> {
        match self {
            Self::Unix { uid } => Some(*uid),
            _ => None,
        }
    }

    /// Whether the connection is under TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls | Self::Certificate { .. })
    }
}

/// The peer that a verified client certificate names. rustls has verified the chain, the validity
/// period and the purpose; here stand the X509-SVID's own rules.
pub(crate) fn of_certificate(der: &[u8]) -> Peer {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    Peer::Certificate { spiffe: spiffe_id(der), x5t: URL_SAFE_NO_PAD.encode(digest) }
}

/// The SPIFFE ID of an X509-SVID leaf whose chain was verified; None where the certificate is none.
pub fn spiffe_id(der: &[u8]) -> Option<String> {
    let (rest, leaf) = X509Certificate::from_der(der).ok()?;
    if !rest.is_empty() || leaf.is_ca() {
        return None;
    }
    let usage = leaf.key_usage().ok()??.value;
    if !usage.digital_signature() || usage.key_cert_sign() || usage.crl_sign() {
        return None;
    }
    let names = leaf.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) if is_workload_id(uri) => Some(uri.to_owned()),
        _ => None,
    }
}

/// Whether a text is a workload's SPIFFE ID: a valid trust domain and a path that is not the root.
fn is_workload_id(text: &str) -> bool {
    let Some((domain, path)) = text.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.len() <= 2048
        && (1..=255).contains(&domain.len())
        && domain.chars().all(|c| plain(c) && !c.is_ascii_uppercase())
        && path
            .split('/')
            .all(|segment| !segment.is_empty() && segment != "." && segment != ".." && segment.chars().all(plain))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign, KeyEncipherment};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SanType};

    const ID: &str = "spiffe://prod.example/agents/refund-1";

    fn read(names: &[&str], usages: &[KeyUsagePurpose], is_ca: IsCa) -> Option<String> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect();
        params.key_usages = usages.to_vec();
        params.is_ca = is_ca;
        spiffe_id(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    /// X509-SVID 4.1, 4.3 and 2: a leaf signs and certifies nothing, and has one URI name.
    #[test]
    fn only_a_leaf_for_one_workload_names_it() {
        let leaf = |names: &[&str], usages: &[KeyUsagePurpose]| read(names, usages, IsCa::ExplicitNoCa);
        assert_eq!(leaf(&[ID], &[DigitalSignature]).as_deref(), Some(ID));
        assert_eq!(leaf(&[ID], &[DigitalSignature, KeyEncipherment]).as_deref(), Some(ID));
        for usages in [&[][..], &[KeyEncipherment], &[DigitalSignature, KeyCertSign], &[DigitalSignature, CrlSign]] {
            assert_eq!(leaf(&[ID], usages), None, "{usages:?}");
        }
        assert_eq!(leaf(&[], &[DigitalSignature]), None);
        assert_eq!(leaf(&[ID, "https://prod.example/"], &[DigitalSignature]), None);
        assert_eq!(read(&[ID], &[DigitalSignature], IsCa::Ca(BasicConstraints::Unconstrained)), None);
    }

    #[test]
    fn only_a_workloads_id_counts() {
        assert!(is_workload_id("spiffe://prod.example/agents/refund-1"));
        for id in [
            "",
            "spiffe://",
            "http://x/y",
            "spiffe://X/y",
            "spiffe://x:80/y",
            "spiffe://u@x/y",
            "spiffe://x",
            "spiffe://x/",
            "spiffe://x//y",
            "spiffe://x/y/",
            "spiffe://x/./y",
            "spiffe://x/../y",
            "spiffe://x/%61",
            "spiffe://x/y?q",
            "spiffe://x/y#f",
        ] {
            assert!(!is_workload_id(id), "{id}");
        }
    }

    proptest! {
        #[test]
        fn any_certificate_bytes_are_read_without_panic(der in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = of_certificate(&der);
        }
    }
}
