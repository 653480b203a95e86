//! `check-cost BUNDLE.json SPEC.json CALLS.json CHECKS`: what one check costs in the plane alone, on
//! one thread, with a sink that takes everything. For a profiler (callgrind counts the same
//! instructions on a busy machine as on a quiet one), and for a quick look: prints µs a check.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use flyball_decision::{Call, Done, NotTaken, Now, Plane, PlaneConfig, RecordDraft, Sink, Written};
use serde::Deserialize;

const TASKS: u64 = 1024;
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

#[derive(Deserialize)]
struct Asked {
    action: String,
    resource: String,
    args: String,
}

struct Nowhere;

impl Sink for Nowhere {
    fn submit(&self, draft: RecordDraft, done: Done) -> Result<(), NotTaken> {
        drop(draft);
        done(Written::Durable);
        Ok(())
    }
}

fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Now { wall_ms: i64::try_from(wall).unwrap_or(0), mono_ms: 1 }
}

fn id(number: u64) -> String {
    let mut text = [b'0'; 26];
    let mut rest = number;
    for place in text.iter_mut().rev() {
        *place = DIGITS[(rest % 32) as usize];
        rest /= 32;
    }
    format!("tsk_bench_{}", String::from_utf8_lossy(&text))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().collect();
    let [_, bundle, spec, calls, checks] = words.as_slice() else {
        return Err("usage: check-cost BUNDLE.json SPEC.json CALLS.json CHECKS".into());
    };
    let (bundle, spec) = (std::fs::read(bundle)?, std::fs::read_to_string(spec)?);
    let calls: Vec<Asked> = serde_json::from_slice(&std::fs::read(calls)?)?;
    let checks = checks.parse::<u64>()?;
    let plane = Arc::new(Plane::new(PlaneConfig {
        cell: "bench".into(),
        node: "bench-1".into(),
        epoch: 1,
        deployment_key: [7; 32],
    }));
    plane.load(&bundle).map_err(|error| format!("{error:?}"))?;
    let tasks: Vec<String> = (1..=TASKS).map(id).collect();
    for task in &tasks {
        plane.open(spec.replace("@ID@", task).as_bytes(), now()).map_err(|refusal| format!("{refusal:?}"))?;
    }
    let sink: Arc<dyn Sink> = Arc::new(Nowhere);
    let began = Instant::now();
    for number in 0..checks {
        let (task, asked) = (&tasks[(number % TASKS) as usize], &calls[(number % calls.len() as u64) as usize]);
        let args = asked.args.replace("0#######0", &format!("{number:09}"));
        let call = Call {
            task,
            pep: "sdk",
            binding: "inproc",
            action: &asked.action,
            resource_type: "shelf",
            resource_id: &asked.resource,
            args: args.as_bytes(),
        };
        plane.settle(&sink, plane.check(&call, now()), now, |verdict| {
            assert!(verdict.allowed(), "{:?}", verdict.reasons);
        });
    }
    println!("{:.2}", began.elapsed().as_secs_f64() * 1e6 / checks as f64);
    Ok(())
}
