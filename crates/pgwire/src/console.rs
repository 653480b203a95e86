//! A session of the gateway's own at the server, for one question after another: what the catalog holds.

use crate::close::Close;
use crate::login::{Wire, message};
use crate::message::{Reader, frame};
use crate::port::Upstream;
use crate::startup::Startup;
use crate::upstream;
use tokio::io::AsyncWriteExt;

/// Bytes of one answer at most.
const LONGEST: usize = 64 << 20;

/// An open session whose search path is empty, so that what it reads names everything in full.
pub struct Console {
    wire: Box<dyn Wire>,
}

impl Console {
    /// Log in.
    ///
    /// # Errors
    /// The server cannot be reached, refuses, or does not prove itself.
    pub async fn connect(to: &Upstream) -> Result<Self, Close> {
        let opened = upstream::open_on(to, "", &Startup::default()).await?;
        Ok(Self { wire: opened.wire })
    }

    /// The one text that a query answers with.
    ///
    /// # Errors
    /// The server failed, or answered with anything else. The session is of no use after that.
    pub async fn text(&mut self, sql: &str) -> Result<String, Close> {
        const WRONG: Close = Close::Upstream("answer");
        self.wire.write_all(&frame(b'Q', &[sql.as_bytes(), b"\0"].concat())).await?;
        let mut found = None;
        loop {
            match message(self.wire.as_mut(), LONGEST).await? {
                (b'D', body) if found.is_none() => {
                    let mut reader = Reader(&body);
                    let (columns, length) = (reader.i16()?, reader.i32()?);
                    let value = reader.take(usize::try_from(length).map_err(|_| WRONG)?)?;
                    reader.end()?;
                    if columns != 1 {
                        return Err(WRONG);
                    }
                    found = Some(String::from_utf8(value.to_vec()).map_err(|_| WRONG)?);
                }
                (b'T' | b'C' | b'N' | b'S', _) => {}
                (b'Z', _) => return found.ok_or(WRONG),
                _ => return Err(WRONG),
            }
        }
    }
}
