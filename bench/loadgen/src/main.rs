//! Sends one prepared load to one server and prints what it measured as one JSON object.
//!
//! The plan (a JSON file, see `plan.rs`) names the address and, for each connection, the requests
//! that it sends in turn. One thread, so that it can be pinned to one core; closed loop, one request
//! in flight a connection. Beside it a paced background load may run, which is only counted.

mod beside;
mod http;
mod plan;
mod proc;

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::http::{Prepared, response};
use crate::plan::{Connection, Plan};

#[derive(Default)]
struct Tally {
    latencies_ns: Vec<u64>,
    allowed: u64,
    denied: u64,
    errors: u64,
    first_error: String,
}

impl Tally {
    fn fail(&mut self, text: String) {
        self.errors += 1;
        if self.first_error.is_empty() {
            self.first_error = text;
        }
    }
}

/// One connection's part, from the connection to the end of the window. `at` of `of` connections.
async fn run(plan: &'static Plan, which: &'static Connection, at: u64, window: (Instant, Instant)) -> Tally {
    let (from, until) = window;
    let mut tally = Tally { latencies_ns: Vec::with_capacity(1 << 17), ..Tally::default() };
    let mut opening: Vec<Prepared> = which
        .requests
        .iter()
        .filter(|one| !one.first.is_empty())
        .map(|one| Prepared::new(plan, one.headers.iter().chain(&one.first), &one.body))
        .collect();
    let mut requests: Vec<Prepared> =
        which.requests.iter().map(|one| Prepared::new(plan, one.headers.iter(), &one.body)).collect();
    let mut stream = match TcpStream::connect(&plan.addr).await {
        Ok(stream) => stream,
        Err(error) => {
            tally.fail(error.to_string());
            return tally;
        }
    };
    let _ = stream.set_nodelay(true);
    let step = plan.connections.len() as u64;
    let mut stamp = plan.stamp_from + at;
    let mut buffer = Vec::with_capacity(8192);
    let (mut turn, all) = (0usize, requests.len());
    loop {
        // All proofs first, each with its token's first request; then the requests in turn.
        let prepared =
            if turn < opening.len() { &mut opening[turn] } else { &mut requests[(turn - opening.len()) % all] };
        turn += 1;
        prepared.stamp(stamp);
        stamp += step;
        let sent = Instant::now();
        if sent >= until {
            return tally;
        }
        if let Err(error) = stream.write_all(&prepared.bytes).await {
            tally.fail(error.to_string());
            return tally;
        }
        let answer = match response(&mut stream, &mut buffer).await {
            Ok(answer) => answer,
            Err(error) => {
                tally.fail(error);
                return tally;
            }
        };
        let body = &buffer[answer.head..answer.end];
        let allowed = answer.status == 200 && http::find(body, plan.allow.as_bytes()).is_some();
        // What fails while warming up would fail later, too: it is kept.
        if !allowed {
            let text = format!("{} {}", answer.status, String::from_utf8_lossy(body));
            if answer.status == 200 {
                tally.denied += 1;
                if tally.first_error.is_empty() {
                    tally.first_error = text;
                }
            } else {
                tally.fail(text);
            }
        }
        if sent >= from {
            tally.latencies_ns.push(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
            tally.allowed += u64::from(allowed);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: flyball-loadgen PLAN.json")?;
    let plan: &'static Plan = Box::leak(Box::new(serde_json::from_slice(&std::fs::read(path)?)?));
    if plan.connections.iter().any(|one| one.requests.is_empty()) {
        return Err("a connection without requests".into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let report = runtime.block_on(local.run_until(measure(plan)));
    println!("{report}");
    Ok(())
}

async fn measure(plan: &'static Plan) -> serde_json::Value {
    let from = Instant::now() + Duration::from_secs_f64(plan.warm_s);
    let until = from + Duration::from_secs_f64(plan.seconds);
    let running: Vec<_> = plan
        .connections
        .iter()
        .zip(0u64..)
        .map(|(one, at)| tokio::task::spawn_local(run(plan, one, at, (from, until))))
        .collect();
    let beside = plan.beside.as_ref().map(|beside| tokio::task::spawn_local(beside::run(beside, until)));
    tokio::time::sleep_until(from.into()).await;
    let (own, servers, began) = (proc::cpu_s(None), proc::cpu_of(&plan.server_pids), Instant::now());
    tokio::time::sleep_until(until.into()).await;
    let wall = began.elapsed().as_secs_f64();
    let (own, servers) = (proc::cpu_s(None) - own, proc::cpu_of(&plan.server_pids) - servers);
    let mut tallies = Vec::new();
    for one in running {
        tallies.push(one.await.unwrap_or_default());
    }
    let beside = match beside {
        Some(task) => task.await.unwrap_or_default(),
        None => beside::Counts::default(),
    };
    let mut all: Vec<u64> = tallies.iter().flat_map(|one| one.latencies_ns.iter().copied()).collect();
    all.sort_unstable();
    let at = |share: f64| -> f64 {
        let index = ((all.len() as f64 - 1.0) * share).round().max(0.0) as usize;
        all.get(index).map_or(0.0, |ns| *ns as f64 / 1000.0)
    };
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    serde_json::json!({
        "requests": all.len(),
        "per_s": all.len() as f64 / wall,
        "p50_us": at(0.5), "p90_us": at(0.9), "p99_us": at(0.99), "p999_us": at(0.999),
        "allowed": sum(|one| one.allowed),
        "denied": sum(|one| one.denied),
        "errors": sum(|one| one.errors),
        "first_error": tallies.iter().map(|one| one.first_error.as_str()).find(|text| !text.is_empty()).unwrap_or(""),
        "generator_cpu": own / wall,
        "server_cpu_s": servers,
        "beside_ok": beside.ok, "beside_other": beside.other, "beside_error": beside.first_error,
        "seconds": wall,
    })
}
