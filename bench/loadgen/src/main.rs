//! Sends one prepared load to one server and prints what it measured as one JSON object.
//!
//! The plan (a JSON file) names the address and, for each connection, the requests that it sends in
//! turn: headers, body, and headers for the first time only (the DPoP proof of a token, say).
//! One thread, so that it can be pinned to one core; closed loop, one request in flight a connection.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Deserialize)]
struct Plan {
    addr: String,
    path: String,
    /// Seconds that are measured, after `warm_s` that are not.
    seconds: f64,
    warm_s: f64,
    connections: Vec<Connection>,
    /// What an allowing answer contains.
    allow: String,
}

#[derive(Deserialize)]
struct Connection {
    requests: Vec<Request>,
}

#[derive(Deserialize)]
struct Request {
    /// Sent besides `headers` in the first round only.
    #[serde(default)]
    first: Vec<String>,
    headers: Vec<String>,
    body: String,
}

#[derive(Default)]
struct Tally {
    latencies_ns: Vec<u64>,
    allowed: u64,
    denied: u64,
    errors: u64,
    first_error: String,
}

fn bytes_of(plan: &Plan, headers: &[&String], body: &str) -> Vec<u8> {
    let mut text = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        plan.path,
        plan.addr,
        body.len()
    );
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

/// Reads one response into `buffer`; returns (status, start of body, end), or an error's text.
async fn response(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(u16, usize, usize), String> {
    buffer.clear();
    let (mut head, mut length) = (0, 0);
    loop {
        if head == 0 {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                head = at + 4;
                let text = String::from_utf8_lossy(&buffer[..at]).to_ascii_lowercase();
                length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:"))
                    .and_then(|value| value.trim().parse().ok())
                    .ok_or("an answer without a length")?;
            }
        }
        if head > 0 && buffer.len() >= head + length {
            let status = std::str::from_utf8(buffer.get(9..12).ok_or("a short answer")?)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or("no status")?;
            return Ok((status, head, head + length));
        }
        let read = stream.read_buf(buffer).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the server closed the connection".into());
        }
    }
}

async fn run(plan: &'static Plan, which: &'static Connection, from: Instant, until: Instant) -> Tally {
    let mut tally = Tally { latencies_ns: Vec::with_capacity(1 << 16), ..Tally::default() };
    let opening: Vec<Vec<u8>> = which
        .requests
        .iter()
        .map(|one| bytes_of(plan, &one.headers.iter().chain(&one.first).collect::<Vec<_>>(), &one.body))
        .collect();
    let requests: Vec<Vec<u8>> = which
        .requests
        .iter()
        .map(|one| bytes_of(plan, &one.headers.iter().collect::<Vec<_>>(), &one.body))
        .collect();
    let mut stream = match TcpStream::connect(&plan.addr).await {
        Ok(stream) => stream,
        Err(error) => {
            tally.errors += 1;
            tally.first_error = error.to_string();
            return tally;
        }
    };
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(8192);
    let mut turn = 0usize;
    loop {
        let bytes = if turn < opening.len() { &opening[turn] } else { &requests[turn % requests.len()] };
        turn += 1;
        let sent = Instant::now();
        if sent >= until {
            return tally;
        }
        if let Err(error) = stream.write_all(bytes).await {
            tally.errors += 1;
            tally.first_error = error.to_string();
            return tally;
        }
        match response(&mut stream, &mut buffer).await {
            Ok((status, head, end)) => {
                if sent < from {
                    continue;
                }
                tally.latencies_ns.push(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
                let body = String::from_utf8_lossy(&buffer[head..end]);
                if status != 200 {
                    tally.errors += 1;
                    if tally.first_error.is_empty() {
                        tally.first_error = format!("{status} {body}");
                    }
                } else if body.contains(&plan.allow) {
                    tally.allowed += 1;
                } else {
                    tally.denied += 1;
                    if tally.first_error.is_empty() {
                        tally.first_error = format!("denied: {body}");
                    }
                }
            }
            Err(error) => {
                tally.errors += 1;
                tally.first_error = error;
                return tally;
            }
        }
    }
}

/// CPU seconds of this process so far, user and system (clock ticks of `/proc/self/stat`, 100 a second).
fn cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: flyball-loadgen PLAN.json")?;
    let plan: &'static Plan = Box::leak(Box::new(serde_json::from_slice(&std::fs::read(path)?)?));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (tallies, cpu, wall) = runtime.block_on(async {
        let from = Instant::now() + Duration::from_secs_f64(plan.warm_s);
        let until = from + Duration::from_secs_f64(plan.seconds);
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async move {
                let running: Vec<_> =
                    plan.connections.iter().map(|one| tokio::task::spawn_local(run(plan, one, from, until))).collect();
                tokio::time::sleep_until(from.into()).await;
                let (cpu_before, wall_before) = (cpu_s(), Instant::now());
                let mut tallies = Vec::new();
                for one in running {
                    tallies.push(one.await.unwrap_or_default());
                }
                (tallies, cpu_s() - cpu_before, wall_before.elapsed().as_secs_f64())
            })
            .await
    });
    let mut all: Vec<u64> = tallies.iter().flat_map(|one| one.latencies_ns.iter().copied()).collect();
    all.sort_unstable();
    let at = |share: f64| -> f64 {
        let index = ((all.len() as f64 - 1.0) * share).round().max(0.0) as usize;
        all.get(index).map_or(0.0, |ns| *ns as f64 / 1000.0)
    };
    println!(
        "{}",
        serde_json::json!({
            "requests": all.len(),
            "per_s": all.len() as f64 / wall,
            "p50_us": at(0.5), "p90_us": at(0.9), "p99_us": at(0.99), "p999_us": at(0.999),
            "allowed": tallies.iter().map(|one| one.allowed).sum::<u64>(),
            "denied": tallies.iter().map(|one| one.denied).sum::<u64>(),
            "errors": tallies.iter().map(|one| one.errors).sum::<u64>(),
            "first_error": tallies.iter().map(|one| one.first_error.as_str()).find(|text| !text.is_empty()).unwrap_or(""),
            "generator_cpu": cpu / wall,
            "seconds": wall,
        })
    );
    Ok(())
}
