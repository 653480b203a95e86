//! A paced load beside the measured one.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::http::response;
use crate::plan::Beside;

/// What became of it.
#[derive(Default)]
pub struct Counts {
    pub ok: u64,
    pub other: u64,
    pub first_error: String,
}

/// Send at the given pace until `until`, or until there is nothing left to send.
pub async fn run(plan: &'static Beside, until: Instant) -> Counts {
    let connections = plan.connections.max(1);
    let start = Instant::now();
    let lanes: Vec<_> =
        (0..connections).map(|at| tokio::task::spawn_local(lane(plan, at, connections, start, until))).collect();
    let mut all = Counts::default();
    for one in lanes {
        let counts = one.await.unwrap_or_default();
        all.ok += counts.ok;
        all.other += counts.other;
        if all.first_error.is_empty() {
            all.first_error = counts.first_error;
        }
    }
    all
}

async fn lane(plan: &'static Beside, at: usize, step: usize, start: Instant, until: Instant) -> Counts {
    let mut counts = Counts::default();
    let mut buffer = Vec::with_capacity(8192);
    let mut stream: Option<TcpStream> = None;
    for turn in (at..plan.requests.len()).step_by(step) {
        let due = start + Duration::from_secs_f64(turn as f64 / plan.per_s);
        if due >= until {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        match send(plan, &plan.requests[turn], &mut stream, &mut buffer).await {
            Ok(status) if (200..300).contains(&status) => counts.ok += 1,
            outcome => {
                counts.other += 1;
                if counts.first_error.is_empty() {
                    counts.first_error = match outcome {
                        Ok(status) => format!("{status} {}", String::from_utf8_lossy(&buffer)),
                        Err(error) => error,
                    };
                }
            }
        }
    }
    counts
}

async fn send(
    plan: &Beside,
    request: &str,
    stream: &mut Option<TcpStream>,
    buffer: &mut Vec<u8>,
) -> Result<u16, String> {
    if stream.is_none() {
        *stream = Some(TcpStream::connect(&plan.addr).await.map_err(|error| error.to_string())?);
    }
    let Some(open) = stream.as_mut() else { return Err("no connection".into()) };
    if let Err(error) = open.write_all(request.as_bytes()).await {
        *stream = None;
        return Err(error.to_string());
    }
    match response(open, buffer).await {
        Ok(answer) => Ok(answer.status),
        Err(error) => {
            *stream = None;
            Err(error)
        }
    }
}
