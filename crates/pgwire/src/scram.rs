//! SCRAM-SHA-256 (RFC 5802, RFC 7677), both sides, bound to the TLS connection where that can be. No I/O here.

use crate::close::Close;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// The mechanisms' names.
pub const PLAIN: &str = "SCRAM-SHA-256";
pub const PLUS: &str = "SCRAM-SHA-256-PLUS";
/// What a bound log-in begins with.
const BOUND: &str = "p=tls-server-end-point";

const BAD: Close = Close::Login("scram");
/// More than any server asks for; a lying one must not keep us busy.
const MOST_ITERATIONS: u32 = 1_000_000;

/// What a server keeps of a secret: enough to check it, not to use it.
#[derive(Clone)]
pub struct Verifier {
    salt: [u8; 16],
    iterations: u32,
    stored: [u8; 32],
    server: [u8; 32],
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

fn random<const N: usize>() -> Result<[u8; N], Close> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Close::Login("no randomness"))?;
    Ok(bytes)
}

fn nonce() -> Result<String, Close> {
    random::<18>().map(|b| STANDARD.encode(b))
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    tag.as_ref().try_into().unwrap_or_default()
}

fn sha(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

fn salted(secret: &str, salt: &[u8], iterations: u32) -> Result<[u8; 32], Close> {
    let rounds = NonZeroU32::new(iterations).ok_or(BAD)?;
    let mut out = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, secret.as_bytes(), &mut out);
    Ok(out)
}

/// Whether two keys are the same, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y)) == 0
}

fn field<'a>(part: Option<&'a str>, name: &str) -> Result<&'a str, Close> {
    part.and_then(|p| p.strip_prefix(name)).and_then(|p| p.strip_prefix('=')).ok_or(BAD)
}

impl Verifier {
    /// The verifier of a secret, with a salt of its own.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn of(secret: &str) -> Result<Self, Close> {
        let (salt, iterations) = (random()?, 4096);
        let salted = salted(secret, &salt, iterations)?;
        Ok(Self { salt, iterations, stored: sha(&mac(&salted, b"Client Key")), server: mac(&salted, b"Server Key") })
    }

    /// One that no secret fits: who does not exist learns no more than who does.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn of_nobody() -> Result<Self, Close> {
        Ok(Self { salt: random()?, iterations: 4096, stored: random()?, server: random()? })
    }
}

/// The server's side of one log-in.
pub struct ServerScram {
    verifier: Verifier,
    bare: String,
    first: String,
    nonce: String,
    header: Vec<u8>,
}

impl ServerScram {
    /// Take the client's first message; what to answer stands in `first()`. `end_point`: what it could bind to, and was
    /// offered to; `plus`: whether it chose to.
    pub fn begin(verifier: Verifier, client_first: &str, end_point: Option<&[u8]>, plus: bool) -> Result<Self, Close> {
        Self::begin_with(verifier, client_first, end_point, plus, &nonce()?)
    }

    fn begin_with(
        verifier: Verifier,
        client_first: &str,
        end_point: Option<&[u8]>,
        plus: bool,
        own: &str,
    ) -> Result<Self, Close> {
        let mut parts = client_first.splitn(3, ',');
        let (flag, authzid, bare) = (parts.next(), parts.next(), parts.next().ok_or(BAD)?);
        let bound = match (flag, plus) {
            (Some(BOUND), true) => Some(end_point.ok_or(BAD)?),
            (Some("n"), false) => None,
            // The client could bind and believes that we cannot: where we offered it, somebody between took it away.
            (Some("y"), false) if end_point.is_none() => None,
            (Some("y"), false) => return Err(Close::Login("channel_binding_downgraded")),
            _ => return Err(BAD),
        };
        if authzid != Some("") {
            return Err(BAD);
        }
        let mut fields = bare.split(',');
        field(fields.next(), "n")?;
        let theirs = field(fields.next(), "r")?;
        if theirs.is_empty() || theirs.len() > 256 {
            return Err(BAD);
        }
        let nonce = format!("{theirs}{own}");
        let first = format!("r={nonce},s={},i={}", STANDARD.encode(verifier.salt), verifier.iterations);
        let header = [flag.unwrap_or_default().as_bytes(), b",,", bound.unwrap_or_default()].concat();
        Ok(Self { verifier, bare: bare.to_owned(), first, nonce, header })
    }

    pub fn first(&self) -> &str {
        &self.first
    }

    /// Check the client's proof; the server's own signature where it holds.
    pub fn finish(&self, client_final: &str) -> Result<String, Close> {
        let (without, proof) = client_final.rsplit_once(",p=").ok_or(BAD)?;
        let mut fields = without.split(',');
        let header = STANDARD.decode(field(fields.next(), "c")?).map_err(|_| BAD)?;
        if header != self.header || field(fields.next(), "r")? != self.nonce {
            return Err(BAD);
        }
        let proof = STANDARD.decode(proof).map_err(|_| BAD)?;
        let message = format!("{},{},{without}", self.bare, self.first);
        let signature = mac(&self.verifier.stored, message.as_bytes());
        if proof.len() != 32 {
            return Err(BAD);
        }
        let key: Vec<u8> = proof.iter().zip(signature).map(|(p, s)| p ^ s).collect();
        if !same(&sha(&key), &self.verifier.stored) {
            return Err(Close::Login("password"));
        }
        Ok(format!("v={}", STANDARD.encode(mac(&self.verifier.server, message.as_bytes()))))
    }
}

/// The client's side of one log-in.
pub struct ClientScram {
    secret: Zeroizing<String>,
    header: &'static str,
    end_point: Vec<u8>,
    bare: String,
    expected: Option<[u8; 32]>,
}

impl ClientScram {
    /// `end_point` is what the connection could be bound to; nothing where it is no TLS, or no hash is defined. `offered`: whether
    /// the server says that it can bind. Where it does not, it is told that we could.
    pub fn new(secret: &str, end_point: Option<&[u8]>, offered: bool) -> Result<Self, Close> {
        let (header, end_point) = match end_point {
            Some(end_point) if offered => (BOUND, end_point.to_vec()),
            Some(_) => ("y", Vec::new()),
            None => ("n", Vec::new()),
        };
        // PostgreSQL takes the role from the startup message, not from here.
        let bare = format!("n=,r={}", nonce()?);
        Ok(Self { secret: Zeroizing::new(secret.to_owned()), header, end_point, bare, expected: None })
    }

    /// The mechanism that it speaks.
    pub fn mechanism(&self) -> &'static str {
        if self.header == BOUND { PLUS } else { PLAIN }
    }

    pub fn first(&self) -> String {
        format!("{},,{}", self.header, self.bare)
    }

    /// The proof, for the server's first message.
    pub fn prove(&mut self, server_first: &str) -> Result<String, Close> {
        const LIES: Close = Close::Upstream("scram");
        let mut fields = server_first.split(',');
        let nonce = field(fields.next(), "r").map_err(|_| LIES)?;
        let salt = STANDARD.decode(field(fields.next(), "s").map_err(|_| LIES)?).map_err(|_| LIES)?;
        let iterations: u32 = field(fields.next(), "i").ok().and_then(|i| i.parse().ok()).ok_or(LIES)?;
        let own = self.bare.split_once("r=").map(|p| p.1).unwrap_or_default();
        if !nonce.starts_with(own) || nonce.len() == own.len() || iterations > MOST_ITERATIONS {
            return Err(LIES);
        }
        let salted = salted(&self.secret, &salt, iterations)?;
        let client = mac(&salted, b"Client Key");
        let binding = [self.header.as_bytes(), b",,", &self.end_point].concat();
        let without = format!("c={},r={nonce}", STANDARD.encode(binding));
        let message = format!("{},{server_first},{without}", self.bare);
        let signature = mac(&sha(&client), message.as_bytes());
        let proof: Vec<u8> = client.iter().zip(signature).map(|(k, s)| k ^ s).collect();
        self.expected = Some(mac(&mac(&salted, b"Server Key"), message.as_bytes()));
        Ok(format!("{without},p={}", STANDARD.encode(proof)))
    }

    /// Whether the server knows the secret too: one that lies is found out here.
    pub fn verify(&self, server_final: &str) -> Result<(), Close> {
        let said = server_final.strip_prefix("v=").and_then(|v| STANDARD.decode(v).ok()).unwrap_or_default();
        match self.expected {
            Some(expected) if same(&said, &expected) => Ok(()),
            _ => Err(Close::Upstream("server signature")),
        }
    }
}
