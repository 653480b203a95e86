//! The gateway's own session at the server: TLS, SCRAM, pins.

use crate::close::Close;
use crate::end_point::end_point;
use crate::login::{Wire, message, utf8};
use crate::message::{Reader, error_fields, frame};
use crate::port::Upstream;
use crate::scram::{ClientScram, PLUS};
use crate::startup::Startup;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a server says where it ends a session at somebody's word, and what we call it.
const ADMIN_SHUTDOWN: &str = "57P01";
const ENDED: &str = "ended";
/// How often a log-in is begun that the server ends. Revocations end what hides its role there, as a log-in on a busy
/// machine does for a moment, whoever's it is; one that is meant is refused the next time.
const TRIES: usize = 3;

/// A session that is ready, and what its client must be told first.
pub struct Opened {
    pub wire: Box<dyn Wire>,
    pub pid: u32,
    pub key: u32,
    /// `ParameterStatus` messages, as they came.
    pub greeting: Vec<u8>,
}

pub async fn open(to: &Upstream, startup: &Startup) -> Result<Opened, Close> {
    open_on(to, &to.search_path, startup).await
}

/// The same, with another search path.
pub async fn open_on(to: &Upstream, path: &str, startup: &Startup) -> Result<Opened, Close> {
    for _ in 1..TRIES {
        let found = open_once(to, path, startup).await;
        if !matches!(found, Err(Close::Upstream(ENDED))) {
            return found;
        }
    }
    open_once(to, path, startup).await
}

async fn open_once(to: &Upstream, path: &str, startup: &Startup) -> Result<Opened, Close> {
    if to.tls.is_none() && !to.address.ip().is_loopback() {
        return Err(Close::Upstream("tls"));
    }
    let stream = TcpStream::connect(to.address).await?;
    stream.set_nodelay(true)?;
    let mut bound = None;
    let mut wire: Box<dyn Wire> = match &to.tls {
        None => Box::new(stream),
        Some((config, name)) => {
            let mut stream = stream;
            stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await?;
            if stream.read_u8().await? != b'S' {
                return Err(Close::Upstream("tls"));
            }
            let name = ServerName::try_from(name.clone()).map_err(|_| Close::Upstream("tls name"))?;
            let connector = tokio_rustls::TlsConnector::from(config.clone());
            let secure = connector.connect(name, stream).await.map_err(|_| Close::Upstream("tls"))?;
            bound = secure.get_ref().1.peer_certificates().and_then(|c| c.first()).and_then(|c| end_point(c));
            Box::new(secure)
        }
    };
    wire.write_all(&start(to, path, startup)).await?;
    authenticate(wire.as_mut(), &to.secret, bound.as_deref()).await?;
    let (mut pid, mut key, mut greeting) = (0, 0, Vec::new());
    let mut stays = false;
    loop {
        match message(wire.as_mut(), 16 * 1024).await? {
            (b'S', body) if greeting.len() < 64 * 1024 => {
                check_pin(&body)?;
                greeting.extend(frame(b'S', &body));
            }
            (b'K', body) => {
                let mut reader = Reader(&body);
                (pid, key) = (reader.i32()?.cast_unsigned(), reader.i32()?.cast_unsigned());
            }
            (b'N', _) => {}
            // A server that was told to end this session says it is ready, and only then that it ends: ask once more.
            (b'Z', _) if !stays => {
                wire.write_all(&frame(b'S', &[])).await?;
                stays = true;
            }
            (b'Z', _) => return Ok(Opened { wire, pid, key, greeting }),
            (b'E', body) if error_fields(&body).0 == ADMIN_SHUTDOWN => return Err(Close::Upstream(ENDED)),
            _ => return Err(Close::Upstream("start")),
        }
    }
}

/// The start of the session. What is pinned stands here, so that it is the session's own default.
fn start(to: &Upstream, path: &str, startup: &Startup) -> Vec<u8> {
    let mut body = 196_608u32.to_be_bytes().to_vec();
    let pins = [
        ("user", to.user.as_str()),
        ("database", &to.database),
        ("client_encoding", "UTF8"),
        ("search_path", path),
        ("standard_conforming_strings", "on"),
    ];
    let chosen = startup.settings.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    for (name, value) in chosen.chain(pins) {
        for text in [name, value] {
            body.extend(text.bytes());
            body.push(0);
        }
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &body].concat()
}

/// SCRAM and nothing else: a server that lets us in without it has proven nothing.
/// `end_point` is what the log-in is bound to where the server can: then nobody between us passes it on.
async fn authenticate(wire: &mut dyn Wire, secret: &str, end_point: Option<&[u8]>) -> Result<(), Close> {
    const REFUSED: Close = Close::Upstream("log-in");
    let mut scram: Option<ClientScram> = None;
    let mut verified = false;
    loop {
        let (kind, body) = message(wire, 16 * 1024).await?;
        let mut reader = Reader(&body);
        match (kind, reader.i32().unwrap_or(-1), &mut scram) {
            (b'R', 10, None) => {
                let offers = |name: &str| reader.0.split(|b| *b == 0).any(|m| m == name.as_bytes());
                let begun = ClientScram::new(secret, end_point, offers(PLUS))?;
                if !offers(begun.mechanism()) {
                    return Err(REFUSED);
                }
                let first = begun.first();
                let length = u32::try_from(first.len()).unwrap_or(0).to_be_bytes();
                let parts = [begun.mechanism().as_bytes(), b"\0", &length, first.as_bytes()];
                wire.write_all(&frame(b'p', &parts.concat())).await?;
                scram = Some(begun);
            }
            (b'R', 11, Some(scram)) => {
                let proof = scram.prove(utf8(reader.0)?)?;
                wire.write_all(&frame(b'p', proof.as_bytes())).await?;
            }
            (b'R', 12, Some(scram)) => {
                scram.verify(utf8(reader.0)?)?;
                verified = true;
            }
            (b'R', 0, _) if verified => return Ok(()),
            (b'N', ..) => {}
            _ => return Err(REFUSED),
        }
    }
}

/// A `ParameterStatus` that says a pin is gone ends the session.
pub fn check_pin(body: &[u8]) -> Result<(), Close> {
    let mut reader = Reader(body);
    let (Ok(name), Ok(value)) = (reader.text(), reader.text()) else { return Ok(()) };
    match name {
        "client_encoding" if value != "UTF8" => Err(Close::PinLost),
        "standard_conforming_strings" if value != "on" => Err(Close::PinLost),
        _ => Ok(()),
    }
}
