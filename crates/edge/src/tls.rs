//! TLS by rustls, with ring: certificates that are renewed while it listens.

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use ring::digest::{Context, Digest, SHA256};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use crate::config::{StartError, Tls};

/// Bytes of a certificate's, key's or authorities' file at most.
const LARGEST: u64 = 1024 * 1024;

/// What one handshake goes by. All of it was read in one go: certificate, key and authorities belong together.
#[derive(Debug)]
pub struct Shown {
    /// What accepts the connection. A client certificate, where an authority is named, may be shown; what it allows is
    /// decided per request. Sessions of an older one are not resumed by it.
    pub config: Arc<ServerConfig>,
    /// The certificate that it shows.
    pub leaf: CertificateDer<'static>,
}

/// The files of a TLS listener, and what of them is in force: what was read last and could be used.
#[derive(Debug)]
pub struct Certificates {
    place: SocketAddr,
    tls: Tls,
    alpn: Vec<Vec<u8>>,
    shown: RwLock<Arc<Shown>>,
    looked: Mutex<Looked>,
}

/// What was found at the last look.
#[derive(Debug)]
struct Looked {
    /// Tells the contents of all files, or why they could not be read, from any other.
    seen: Digest,
    problem: Option<String>,
}

/// What a look at a listener's files found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Where it listens.
    pub place: SocketAddr,
    /// Whether the files are others than at the look before.
    pub changed: bool,
    /// Why they cannot be used, and what was in force before stays; none where they are in force.
    pub problem: Option<String>,
}

impl Certificates {
    /// Read the files for the first time.
    ///
    /// # Errors
    /// They cannot be used.
    pub(crate) fn read(tls: &Tls, alpn: &[&[u8]]) -> Result<Self, StartError> {
        let alpn: Vec<Vec<u8>> = alpn.iter().map(|name| name.to_vec()).collect();
        let files = Files::read(tls)?;
        let looked = Mutex::new(Looked { seen: files.digest(), problem: None });
        let shown = RwLock::new(Arc::new(files.shown(tls, &alpn)?));
        Ok(Self { place: tls.addr, tls: tls.clone(), alpn, shown, looked })
    }

    /// The same, for the place that was bound.
    pub(crate) fn at(self, place: SocketAddr) -> Self {
        Self { place, ..self }
    }

    /// What a handshake that begins now goes by.
    pub fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown.read())
    }

    /// Look at the files again. Where they changed and can be used, handshakes go by them from now on; where they cannot,
    /// as while they are being written, nothing changes. Reads files: may block.
    pub fn renew(&self) -> Renewed {
        let mut looked = self.looked.lock();
        let read = Files::read(&self.tls);
        // Their contents, since times and sizes do not tell two writes of one moment apart.
        let seen = read.as_ref().map_or_else(|error| digest(&[Some(error.to_string().as_bytes())]), Files::digest);
        let changed = seen.as_ref() != looked.seen.as_ref();
        if changed {
            let problem = match read.and_then(|files| files.shown(&self.tls, &self.alpn)) {
                Ok(shown) => {
                    *self.shown.write() = Arc::new(shown);
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            *looked = Looked { seen, problem };
        }
        Renewed { place: self.place, changed, problem: looked.problem.clone() }
    }
}

struct Files {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    authorities: Option<Vec<u8>>,
}

impl Files {
    fn read(tls: &Tls) -> Result<Self, StartError> {
        let chain = contents(&tls.cert_pem)?;
        let key = Zeroizing::new(contents(&tls.key_pem)?);
        let authorities = tls.client_ca_pem.as_deref().map(contents).transpose()?;
        Ok(Self { chain, key, authorities })
    }

    fn digest(&self) -> Digest {
        digest(&[Some(&self.chain), Some(&self.key), self.authorities.as_deref()])
    }

    fn shown(&self, tls: &Tls, alpn: &[Vec<u8>]) -> Result<Shown, StartError> {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| StartError::Tls(error.to_string()))?;
        let builder = match (&tls.client_ca_pem, &self.authorities) {
            (Some(path), Some(pem)) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(path, pem)? {
                    roots.add(authority).map_err(|error| at(path, &error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| at(path, &error))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| at(&tls.key_pem, &error))?;
        let chain = certificates(&tls.cert_pem, &self.chain)?;
        let leaf = chain.first().cloned().ok_or_else(|| StartError::Tls("no certificate".to_owned()))?;
        // A key that is not the certificate's is an error here.
        let mut config = builder.with_single_cert(chain, key).map_err(|error| at(&tls.cert_pem, &error))?;
        config.alpn_protocols = alpn.to_vec();
        Ok(Shown { config: Arc::new(config), leaf })
    }
}

/// A digest that tells these from any others.
fn digest(parts: &[Option<&[u8]>]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
        context.update(part.unwrap_or_default());
    }
    context.finish()
}

fn contents(path: &Path) -> Result<Vec<u8>, StartError> {
    let mut contents = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut contents));
    let read = read.map_err(|error| at(path, &error))?;
    if read as u64 > LARGEST {
        return Err(at(path, &"larger than 1 MiB"));
    }
    Ok(contents)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|error| at(path, &error))?;
    if all.is_empty() {
        return Err(StartError::Tls(format!("{}: holds no certificate", path.display())));
    }
    Ok(all)
}

fn at(path: &Path, error: &dyn std::fmt::Display) -> StartError {
    StartError::Tls(format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::{Certificates, LARGEST};
    use crate::config::Tls;
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use tempfile::TempDir;

    /// A folder with a certificate, its key and an authority, and what it says of them.
    fn folder() -> (TempDir, Tls) {
        let folder = TempDir::new().unwrap();
        let of = |name: &str| folder.path().join(name);
        let tls = Tls {
            addr: ([127, 0, 0, 1], 0).into(),
            cert_pem: of("server.pem"),
            key_pem: of("server.key"),
            client_ca_pem: Some(of("ca.pem")),
        };
        renew(&tls);
        fs::write(of("ca.pem"), made().0).unwrap();
        (folder, tls)
    }

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn renew(tls: &Tls) {
        let (certificate, key) = made();
        fs::write(&tls.cert_pem, certificate).unwrap();
        fs::write(&tls.key_pem, key).unwrap();
    }

    /// New files are taken, once; the handshake that goes by the old ones keeps them.
    #[test]
    fn new_files_are_taken() {
        let (_folder, tls) = folder();
        let certificates = Certificates::read(&tls, &[b"h2"]).unwrap();
        let before = certificates.shown();
        assert!(!certificates.renew().changed);
        assert!(Arc::ptr_eq(&before, &certificates.shown()), "what did not change is not read anew");
        renew(&tls);
        let found = certificates.renew();
        assert_eq!((found.changed, found.problem), (true, None));
        let after = certificates.shown();
        assert_ne!(before.leaf, after.leaf);
        assert_eq!(after.config.alpn_protocols, [b"h2"]);
        assert!(!certificates.renew().changed);
        // Other authorities alone are a change, too: a handshake goes by them from now on.
        fs::write(tls.client_ca_pem.as_ref().unwrap(), made().0).unwrap();
        assert!(certificates.renew().changed);
        assert!(!Arc::ptr_eq(&after, &certificates.shown()));
    }

    type Spoil<'a> = &'a dyn Fn(&Tls);

    /// Files that cannot be used change nothing, and are told as one change; once they can be, they are taken.
    #[test]
    fn files_that_cannot_be_used() {
        let half = |path: &Path| {
            let text = fs::read_to_string(path).unwrap();
            fs::write(path, text.split_at(text.len() / 2).0).unwrap();
        };
        let spoils: [(&str, Spoil<'_>); 10] = [
            ("half a certificate", &|tls| half(&tls.cert_pem)),
            ("half a key", &|tls| half(&tls.key_pem)),
            ("half an authority", &|tls| half(tls.client_ca_pem.as_ref().unwrap())),
            ("another key", &|tls| fs::write(&tls.key_pem, made().1).unwrap()),
            ("another certificate", &|tls| fs::write(&tls.cert_pem, made().0).unwrap()),
            ("no certificate", &|tls| fs::remove_file(&tls.cert_pem).unwrap()),
            ("an empty key", &|tls| fs::write(&tls.key_pem, "").unwrap()),
            ("no authority", &|tls| fs::write(tls.client_ca_pem.as_ref().unwrap(), "").unwrap()),
            ("no authorities' file", &|tls| fs::remove_file(tls.client_ca_pem.as_ref().unwrap()).unwrap()),
            ("too much", &|tls| {
                let large =
                    fs::read_to_string(&tls.cert_pem).unwrap() + &"\n".repeat(usize::try_from(LARGEST).unwrap());
                fs::write(&tls.cert_pem, large).unwrap();
            }),
        ];
        for (what, spoil) in spoils {
            let (_folder, tls) = folder();
            let certificates = Certificates::read(&tls, &[]).unwrap();
            let before = certificates.shown();
            spoil(&tls);
            let (first, second) = (certificates.renew(), certificates.renew());
            assert!(first.changed && !second.changed, "{what}");
            assert!(first.problem.is_some() && first.problem == second.problem, "{what}");
            assert!(Arc::ptr_eq(&before, &certificates.shown()), "{what}");
            renew(&tls);
            fs::write(tls.client_ca_pem.as_ref().unwrap(), made().0).unwrap();
            let after = certificates.renew();
            assert_eq!((after.changed, after.problem), (true, None), "{what}");
            assert_ne!(before.leaf, certificates.shown().leaf, "{what}");
        }
    }
}
