//! What a log-in is bound to under TLS: the server's certificate (RFC 5929, `tls-server-end-point`). No I/O here.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The hash of a certificate that both ends of its TLS connection know; nothing where the certificate is none, or is
/// signed in a way for which no hash is defined (Ed25519, RSA-PSS): a log-in there cannot be bound.
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (rest, read) = X509Certificate::from_der(certificate).ok()?;
    let algorithm = hash(&read.signature_algorithm.algorithm.to_id_string()).filter(|_| rest.is_empty())?;
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

/// The hash of the signature; SHA-256 where that would be MD5 or SHA-1.
fn hash(signature: &str) -> Option<&'static Algorithm> {
    Some(match signature {
        // RSA with MD5, SHA-1, SHA-256; ECDSA with SHA-1, SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => &SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &SHA512,
        _ => return None,
    })
}
