//! Opening the places to listen on.

use std::fs::{self, Permissions};
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Listen, StartError};
use crate::tls::Certificates;

/// An open place to listen on, shared by all workers.
pub enum Place {
    /// Plain TCP.
    Tcp(TcpListener),
    /// TCP with TLS, and the certificates that handshakes there go by.
    Tls(TcpListener, Arc<Certificates>),
    /// A Unix socket, and where it lies.
    Unix(UnixListener, PathBuf),
}

/// What is spoken at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// AuthZEN over HTTP/1.1.
    AuthZen,
    /// Envoy's external authorization over gRPC.
    ExtAuthz,
}

impl Serves {
    /// The protocol's name in TLS.
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::AuthZen => b"http/1.1",
            Self::ExtAuthz => b"h2",
        }
    }
}

/// Where a place came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Plain TCP.
    Tcp(SocketAddr),
    /// TCP with TLS.
    Tls(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Place {
    /// Open one place. `alpn` are the protocols that TLS clients may name.
    ///
    /// # Errors
    /// The place is taken or cannot be used, or the certificates cannot.
    pub fn open(listen: &Listen, alpn: &[&[u8]]) -> Result<(Self, Bound), StartError> {
        match listen {
            Listen::Tcp { tcp } => {
                let (listener, bound) = tcp_listener(*tcp)?;
                Ok((Self::Tcp(listener), Bound::Tcp(bound)))
            }
            Listen::Tls { tls } => {
                let certificates = Certificates::read(tls, alpn)?;
                let (listener, bound) = tcp_listener(tls.addr)?;
                Ok((Self::Tls(listener, Arc::new(certificates.at(bound))), Bound::Tls(bound)))
            }
            Listen::Unix { unix, mode } => {
                let listener = unix_listener(unix, *mode)
                    .map_err(|source| StartError::Listen { place: unix.display().to_string(), source })?;
                Ok((Self::Unix(listener, unix.clone()), Bound::Unix(unix.clone())))
            }
        }
    }

    /// The same place, for one more worker.
    ///
    /// # Errors
    /// The operating system gives no further handle.
    pub fn share(&self) -> Result<Self, Error> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Tls(listener, certificates) => Self::Tls(listener.try_clone()?, Arc::clone(certificates)),
            Self::Unix(listener, path) => Self::Unix(listener.try_clone()?, path.clone()),
        })
    }

    /// Its certificates, where it has some.
    pub(crate) fn certificates(&self) -> Option<Arc<Certificates>> {
        match self {
            Self::Tls(_, certificates) => Some(Arc::clone(certificates)),
            Self::Tcp(_) | Self::Unix(..) => None,
        }
    }
}

fn tcp_listener(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let open = || {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    open().map_err(|source| StartError::Listen { place: addr.to_string(), source })
}

/// A socket that has its mode from the first moment it can be reached: it is made under another
/// name, and moved. A file that is no socket, or that somebody serves, is left alone.
fn unix_listener(path: &Path, permissions: u32) -> Result<UnixListener, Error> {
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(Error::new(ErrorKind::AlreadyExists, "a file that is no socket is there"));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(Error::new(ErrorKind::AddrInUse, "another process serves this socket"));
        }
    }
    let mut made = path.as_os_str().to_owned();
    made.push(format!(".{}", std::process::id()));
    let made = PathBuf::from(made);
    drop(fs::remove_file(&made));
    let listener = UnixListener::bind(&made)?;
    let placed = fs::set_permissions(&made, Permissions::from_mode(permissions))
        .and_then(|()| listener.set_nonblocking(true))
        .and_then(|()| fs::rename(&made, path));
    if placed.is_err() {
        drop(fs::remove_file(&made));
    }
    placed.map(|()| listener)
}
