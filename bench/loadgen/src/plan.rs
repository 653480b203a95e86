//! What is to be sent.

use serde::Deserialize;

/// The whole plan.
#[derive(Deserialize)]
pub struct Plan {
    pub addr: String,
    pub path: String,
    /// Seconds that are measured, after `warm_s` that are not.
    pub seconds: f64,
    pub warm_s: f64,
    pub connections: Vec<Connection>,
    /// What an allowing answer contains.
    pub allow: String,
    /// This text in a body becomes a number of as many digits that no other request of this run has.
    #[serde(default)]
    pub stamp: String,
    /// The first of those numbers.
    #[serde(default)]
    pub stamp_from: u64,
    /// Processes whose CPU time in the window is reported.
    #[serde(default)]
    pub server_pids: Vec<u32>,
    /// A paced load beside it, counted and not measured.
    #[serde(default)]
    pub beside: Option<Beside>,
}

/// What one connection sends, round and round.
#[derive(Deserialize)]
pub struct Connection {
    pub requests: Vec<Request>,
}

/// One request.
#[derive(Deserialize)]
pub struct Request {
    /// Sent besides `headers` once, before all others: the proof of a token.
    #[serde(default)]
    pub first: Vec<String>,
    pub headers: Vec<String>,
    pub body: String,
}

/// Whole requests, each sent once, `per_s` of them a second over `connections` connections.
#[derive(Deserialize)]
pub struct Beside {
    pub addr: String,
    pub per_s: f64,
    pub connections: usize,
    pub requests: Vec<String>,
}
