//! The first packet of a connection. No I/O here.

use crate::close::Close;
use crate::message::Reader;

/// The longest first packet, as PostgreSQL itself bounds it.
pub const LONGEST: usize = 10_000;

/// What a first packet asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Opening {
    /// TLS.
    Ssl,
    /// GSSAPI encryption, which is not spoken here.
    Gss,
    /// To cancel what another connection does.
    Cancel(u32, u32),
    /// A session.
    Start(Startup),
}

/// A `StartupMessage`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Startup {
    /// Whether a newer minor version or an unknown protocol option was asked for.
    pub newer: Vec<String>,
    /// The minor version.
    pub minor: u16,
    /// The role.
    pub user: String,
    /// The database; the role's name where none is given.
    pub database: String,
    /// Settings for the session, those that are let through.
    pub settings: Vec<(String, String)>,
}

impl Opening {
    /// Read a first packet, without its length.
    ///
    /// # Errors
    /// It is none, or asks for what no client may choose.
    pub fn read(packet: &[u8]) -> Result<Self, Close> {
        let mut reader = Reader(packet);
        let code = reader.i32()?.cast_unsigned();
        match code {
            80_877_103 => reader.end().map(|()| Self::Ssl),
            80_877_104 => reader.end().map(|()| Self::Gss),
            80_877_102 => {
                let (pid, key) = (reader.i32()?.cast_unsigned(), reader.i32()?.cast_unsigned());
                reader.end().map(|()| Self::Cancel(pid, key))
            }
            version if version >> 16 == 3 => {
                let minor = u16::try_from(version & 0xffff).unwrap_or(u16::MAX);
                Startup::read(reader, minor).map(Self::Start)
            }
            _ => Err(Close::Violation("protocol version")),
        }
    }
}

impl Startup {
    fn read(mut reader: Reader<'_>, minor: u16) -> Result<Self, Close> {
        let mut startup = Self { minor, ..Self::default() };
        loop {
            let name = reader.text()?;
            if name.is_empty() {
                break;
            }
            let value = reader.text()?;
            match name {
                "user" => value.clone_into(&mut startup.user),
                "database" => value.clone_into(&mut startup.database),
                // Refused rather than left out: the client would count on it.
                "options" if value.trim().is_empty() => {}
                "options" => return Err(Close::Login("startup_options")),
                "replication" if matches!(value, "false" | "off" | "no" | "0") => {}
                "replication" => return Err(Close::Login("replication")),
                "client_encoding" => {
                    let plain = value.trim_matches(['\'', '"']).to_ascii_lowercase();
                    if !matches!(plain.as_str(), "utf8" | "utf-8" | "unicode" | "auto") {
                        return Err(Close::Login("client_encoding"));
                    }
                }
                _ if name.starts_with("_pq_.") => startup.newer.push(name.to_owned()),
                _ if harmless(name) => startup.settings.push((name.to_owned(), value.to_owned())),
                _ => return Err(Close::Login("startup_setting")),
            }
        }
        reader.end()?;
        if startup.user.is_empty() {
            return Err(Close::Login("no_user"));
        }
        if startup.database.is_empty() {
            startup.database.clone_from(&startup.user);
        }
        Ok(startup)
    }
}

fn harmless(name: &str) -> bool {
    const SETTINGS: &[&str] = &[
        "application_name",
        "datestyle",
        "timezone",
        "extra_float_digits",
        "intervalstyle",
        "bytea_output",
        "jit",
        "client_min_messages",
        "geqo",
        "default_transaction_isolation",
        "default_transaction_read_only",
    ];
    SETTINGS.iter().any(|s| s.eq_ignore_ascii_case(name))
}
