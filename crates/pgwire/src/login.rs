//! The client's log-in: first packets, TLS, SCRAM with its connect secret.

use crate::cancel::{self, Cancels};
use crate::close::Close;
use crate::message::{Reader, error_response, frame};
use crate::port::{Admission, Door, Hello, Shows};
use crate::scram::{PLAIN, PLUS, ServerScram, Verifier};
use crate::serve::Settings;
use crate::startup::{LONGEST, Opening, Startup};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Anything that bytes come from and go to.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// What a first exchange led to.
pub enum Led {
    Session {
        wire: Box<dyn Wire>,
        startup: Startup,
        admission: Box<Admission>,
    },
    /// It was a cancel request, and was passed on.
    Cancelled,
}

async fn packet(wire: &mut dyn Wire) -> Result<Vec<u8>, Close> {
    let length = usize::try_from(wire.read_i32().await?).unwrap_or(0);
    if !(8..=LONGEST).contains(&length) {
        return Err(Close::Violation("first packet"));
    }
    let mut body = vec![0; length - 4];
    wire.read_exact(&mut body).await?;
    Ok(body)
}

/// Read a message of that kind, small as those of a log-in are.
pub async fn message(wire: &mut dyn Wire, most: usize) -> Result<(u8, Vec<u8>), Close> {
    let kind = wire.read_u8().await?;
    let length = usize::try_from(wire.read_i32().await?).unwrap_or(0);
    if !(4..=most).contains(&length) {
        return Err(Close::TooLong);
    }
    let mut body = vec![0; length - 4];
    wire.read_exact(&mut body).await?;
    Ok((kind, body))
}

pub async fn log_in(
    stream: Box<dyn Wire>,
    settings: &Settings,
    door: &dyn Door,
    cancels: &Cancels,
) -> Result<Led, (Option<Box<dyn Wire>>, Close)> {
    let mut wire = stream;
    match opened(&mut wire, settings, door, cancels).await {
        Ok(Some((startup, admission))) => Ok(Led::Session { wire, startup, admission: Box::new(admission) }),
        Ok(None) => Ok(Led::Cancelled),
        Err(close) => Err((Some(wire), close)),
    }
}

async fn opened(
    wire: &mut Box<dyn Wire>,
    settings: &Settings,
    door: &dyn Door,
    cancels: &Cancels,
) -> Result<Option<(Startup, Admission)>, Close> {
    let mut certificate = None;
    // What the log-in may be bound to, of the very handshake that was made.
    let mut end_point = None;
    let mut tls = false;
    // GSS, then TLS, then the start: no client asks for more.
    for _ in 0..4 {
        match Opening::read(&packet(wire.as_mut()).await?)? {
            Opening::Gss => wire.write_all(b"N").await?,
            Opening::Ssl if tls => return Err(Close::Violation("TLS twice")),
            Opening::Ssl => match &settings.tls {
                None => wire.write_all(b"N").await?,
                Some(in_force) => {
                    let secured = in_force();
                    wire.write_all(b"S").await?;
                    wire.flush().await?;
                    // What came in clear behind the request would be taken as said under TLS: there
                    // is no buffer here that could keep it, the handshake reads it and fails.
                    let plain =
                        std::mem::replace(wire, Box::new(tokio::io::join(tokio::io::empty(), tokio::io::sink())));
                    let acceptor = tokio_rustls::TlsAcceptor::from(secured.config);
                    let secure = acceptor.accept(plain).await?;
                    let shown = secure.get_ref().1.peer_certificates().and_then(|c| c.first());
                    certificate = shown.map(|c| c.as_ref().to_vec());
                    end_point = secured.end_point;
                    tls = true;
                    *wire = Box::new(secure);
                }
            },
            Opening::Cancel(pid, key) => {
                if let Some((address, pid, key)) = cancels.find((pid, key)) {
                    let mut upstream = TcpStream::connect(address).await?;
                    upstream.write_all(&cancel::request(pid, key)).await?;
                    upstream.shutdown().await?;
                }
                return Ok(None);
            }
            Opening::Start(startup) => {
                if settings.require_tls && !tls {
                    return Err(Close::TlsRequired);
                }
                let hello = Hello { user: startup.user.clone(), database: startup.database.clone(), tls, certificate };
                return authenticate(wire.as_mut(), startup, door, &hello, end_point.as_deref()).await.map(Some);
            }
        }
    }
    Err(Close::Violation("no start"))
}

async fn authenticate(
    wire: &mut dyn Wire,
    startup: Startup,
    door: &dyn Door,
    hello: &Hello,
    end_point: Option<&[u8]>,
) -> Result<(Startup, Admission), Close> {
    if startup.minor > 0 || !startup.newer.is_empty() {
        // NegotiateProtocolVersion: 3.0, and none of the options.
        let mut body = 0u32.to_be_bytes().to_vec();
        body.extend(u32::try_from(startup.newer.len()).unwrap_or(0).to_be_bytes());
        for option in &startup.newer {
            body.extend(option.bytes());
            body.push(0);
        }
        wire.write_all(&frame(b'v', &body)).await?;
    }
    let admission = door.admit(hello).await?;
    let verifier = match admission.as_ref().map(|admission| &admission.shows) {
        // TLS has seen that the key of that certificate is the client's.
        Some(Shows::Certificate) if hello.certificate.is_some() => None,
        Some(Shows::Certificate) => return Err(Close::Login("certificate")),
        Some(Shows::Secret(verifier)) => Some(verifier.clone()),
        None => Some(Verifier::of_nobody()?),
    };
    if let Some(verifier) = verifier {
        prove(wire, verifier, admission.is_some(), end_point).await?;
    }
    let admission = admission.ok_or(Close::Login("password"))?;
    wire.write_all(&frame(b'R', &0u32.to_be_bytes())).await?;
    Ok((startup, admission))
}

/// SCRAM, bound to the TLS connection where the client can. Who is not `known` fails, whatever he shows.
async fn prove(wire: &mut dyn Wire, verifier: Verifier, known: bool, end_point: Option<&[u8]>) -> Result<(), Close> {
    let mut offers = 10u32.to_be_bytes().to_vec();
    for name in end_point.map(|_| PLUS).into_iter().chain([PLAIN]) {
        offers.extend(name.bytes());
        offers.push(0);
    }
    offers.push(0);
    wire.write_all(&frame(b'R', &offers)).await?;
    let first = sasl(wire).await?;
    let mut reader = Reader(&first);
    let plus = match reader.text()? {
        PLUS => true,
        PLAIN => false,
        _ => return Err(Close::Login("mechanism")),
    };
    let length = usize::try_from(reader.i32()?).map_err(|_| Close::Violation("length"))?;
    let scram = ServerScram::begin(verifier, utf8(reader.take(length)?)?, end_point, plus)?;
    wire.write_all(&frame(b'R', &[&11u32.to_be_bytes(), scram.first().as_bytes()].concat())).await?;
    let signature = scram.finish(utf8(&sasl(wire).await?)?)?;
    if !known {
        return Err(Close::Login("password"));
    }
    wire.write_all(&frame(b'R', &[&12u32.to_be_bytes(), signature.as_bytes()].concat())).await?;
    Ok(())
}

async fn sasl(wire: &mut dyn Wire) -> Result<Vec<u8>, Close> {
    match message(wire, 4096).await? {
        (b'p', body) => Ok(body),
        _ => Err(Close::Violation("password message")),
    }
}

pub fn utf8(bytes: &[u8]) -> Result<&str, Close> {
    std::str::from_utf8(bytes).map_err(|_| Close::Violation("not UTF-8"))
}

/// The last word to a client that is not let in.
pub fn farewell(close: &Close) -> Vec<u8> {
    let state = match close {
        Close::Login("password" | "scram") => "28P01",
        Close::Login(_) | Close::TlsRequired => "28000",
        Close::Violation(_) | Close::TooLong | Close::OutOfStep => "08P01",
        Close::Fenced => "57P01",
        Close::Spent => "53400",
        Close::TooSlow => "57P05",
        Close::Pipeline => "54000",
        _ => "08006",
    };
    // Why a secret was refused is nobody's business.
    let reason = match close {
        Close::Login("password" | "scram") => "password authentication failed".to_owned(),
        Close::Io(_) => "connection failed".to_owned(),
        other => other.to_string(),
    };
    error_response("FATAL", state, &format!("closed by flyball: {reason}"), &format!("reason={reason}"))
}
