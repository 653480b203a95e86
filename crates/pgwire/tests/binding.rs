//! Log-ins bound to their TLS connection (SCRAM-SHA-256-PLUS), towards a real client and a real server, and past
//! somebody in between whose certificate either of them trusts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../pgsql/tests/support/mod.rs"]
mod support;

mod kit;

use flyball_pgwire::{Secured, Settings, Shows, end_point};
use kit::{house, python, runtime, secret, to};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::{Arc, OnceLock};
use support::{Cluster, PASSWORD};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A certificate for 127.0.0.1 that whoever names it trusts.
struct Own {
    certificate: CertificateDer<'static>,
    pem: String,
    key_pem: String,
    key: PrivateKeyDer<'static>,
}

fn own() -> Own {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    Own { certificate: made.cert.der().clone(), pem: made.cert.pem(), key_pem: made.signing_key.serialize_pem(), key }
}

fn accepts(own: &Own) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![own.certificate.clone()], own.key.clone_key()).unwrap())
}

fn trusts(all: &[&Own]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for own in all {
        roots.add(own.certificate.clone()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// What psycopg says of a log-in: `in`, or its error.
fn logs_in(port: u16, words: &str) -> String {
    let script = format!(
        "try:\n    c = psycopg.connect(WORDS + '{words}')\n    print('in', c.execute('SELECT 1').fetchone()[0])\n\
         except psycopg.Error as e:\n    print(e)\n"
    );
    python(port, &script)
}

/// Somebody who ends TLS with a certificate of his own and goes on to the server by TLS. `strips`: he takes the bound
/// mechanism out of the server's offer.
fn between(runtime: &Runtime, port: u16, as_whom: &Own, trusting: Arc<ClientConfig>, strips: bool) -> u16 {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let at = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(accepts(as_whom));
    runtime.spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (acceptor, trusting) = (acceptor.clone(), trusting.clone());
            tokio::spawn(async move {
                let mut request = [0; 8];
                client.read_exact(&mut request).await.ok()?;
                client.write_all(b"S").await.ok()?;
                let mut client = acceptor.accept(client).await.ok()?;
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
                server.write_all(&SSL_REQUEST).await.ok()?;
                server.read_u8().await.ok()?;
                let name = ServerName::try_from("127.0.0.1").unwrap();
                let mut server = TlsConnector::from(trusting).connect(name, server).await.ok()?;
                if strips {
                    let length = client.read_i32().await.ok()?;
                    let mut start = vec![0; usize::try_from(length).ok()? - 4];
                    client.read_exact(&mut start).await.ok()?;
                    server.write_all(&[&length.to_be_bytes()[..], &start].concat()).await.ok()?;
                    let mut offer = vec![0; 5];
                    server.read_exact(&mut offer).await.ok()?;
                    let length = u32::from_be_bytes(offer[1..].try_into().unwrap());
                    let mut body = vec![0; length as usize - 4];
                    server.read_exact(&mut body).await.ok()?;
                    assert!(body.windows(5).any(|w| w == b"-PLUS"), "the server does not bind");
                    client.write_all(b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0").await.ok()?;
                }
                copy_bidirectional(&mut client, &mut server).await.ok()
            });
        }
    });
    at
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start)
}

fn secure(own: &Own) -> Settings {
    let secured = Secured { config: accepts(own), end_point: end_point(&own.certificate) };
    Settings { tls: Some(Arc::new(move || secured.clone())), ..Settings::default() }
}

/// A client that insists on a bound log-in gets one, also after a wrong secret is refused; not in clear, and not past
/// somebody in between, though it trusts his certificate.
#[test]
fn a_client_binds_its_log_in() {
    let (runtime, ours, theirs) = (runtime(), own(), own());
    let house = house(&runtime, secure(&ours), to(cluster().port, PASSWORD, None), secret());
    let port = house.address.port();
    assert_eq!(logs_in(port, "sslmode=require channel_binding=require"), "in 1");
    assert_eq!(logs_in(port, "sslmode=require channel_binding=disable"), "in 1");
    assert!(logs_in(port, "sslmode=require channel_binding=require password=wrong").contains("authentication failed"));

    let honest = between(&runtime, port, &ours, trusts(&[&ours]), false);
    assert_eq!(logs_in(honest, "sslmode=require channel_binding=require"), "in 1", "the way in between works");
    let other = between(&runtime, port, &theirs, trusts(&[&ours]), false);
    assert_eq!(logs_in(other, "sslmode=require channel_binding=disable"), "in 1", "nothing else holds him up");
    let told = logs_in(other, "sslmode=require channel_binding=require");
    assert!(told.contains("authentication failed"), "{told}");
    let stripped = between(&runtime, port, &theirs, trusts(&[&ours]), true);
    let told = logs_in(stripped, "sslmode=require channel_binding=prefer");
    assert!(told.contains("channel_binding_downgraded"), "{told}");
    let ended = house.ended.lock().unwrap().clone();
    assert!(ended.iter().any(|why| why.contains("channel_binding_downgraded")), "{ended:?}");
}

/// Towards a server that offers it over TLS the lease's log-in is bound: somebody in between whose certificate the
/// gateway trusts cannot pass it on, nor talk both sides out of it.
#[test]
fn the_gateway_binds_its_own() {
    let Some(cluster) = Cluster::of_system() else {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL 15 of Debian is missing");
        return println!("skipped: no PostgreSQL with TLS here");
    };
    let (runtime, servers, theirs) = (runtime(), own(), own());
    let (cert, key) = (cluster.keep("server.pem", &servers.pem), cluster.keep("server.key", &servers.key_pem));
    let (cert, key) = (cert.display(), key.display());
    cluster.sql(&format!("ALTER SYSTEM SET ssl_cert_file = '{cert}'"));
    cluster.sql(&format!("ALTER SYSTEM SET ssl_key_file = '{key}'"));
    cluster.sql("ALTER SYSTEM SET ssl = on");
    cluster.sql("SELECT pg_reload_conf()");
    let clear = || Settings { require_tls: false, ..Settings::default() };
    let through = |port: u16| {
        let upstream = to(port, PASSWORD, Some(trusts(&[&servers, &theirs])));
        let house = house(&runtime, clear(), upstream, secret());
        logs_in(house.address.port(), "sslmode=disable")
    };
    assert_eq!(through(cluster.port), "in 1");
    let honest = between(&runtime, cluster.port, &servers, trusts(&[&servers]), false);
    assert_eq!(through(honest), "in 1", "the way in between works");
    for strips in [false, true] {
        let other = between(&runtime, cluster.port, &theirs, trusts(&[&servers]), strips);
        let told = through(other);
        assert!(told.contains("upstream_refused"), "strips {strips}: {told}");
    }
}

/// Where a door asks for a certificate and the connection has none, nobody comes in.
#[test]
fn a_certificate_that_was_not_shown() {
    let (runtime, ours) = (runtime(), own());
    let house = house(&runtime, secure(&ours), to(cluster().port, PASSWORD, None), Shows::Certificate);
    let told = logs_in(house.address.port(), "sslmode=require");
    assert!(told.contains("login_refused: certificate"), "{told}");
}
