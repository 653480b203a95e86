//! Checks that race fences: whether any *allow* is let go after a fence has returned.
//!
//! `fence-race BUNDLE.json SPEC.json CHECKS`: the compiled bundle, one task's spec with `@ID@` for
//! its id, how many checks. Three threads: one checks tasks in turn and opens a new one for each
//! that is refused, one fences them at random, one is the sink: it settles each record a moment
//! later, as a store does, so that fences fall before, between and after evaluation and release.
//!
//! The sink's thread looks whether the fence has returned just before it lets the answer go. An
//! allow that leaves although it had is a violation; there may be none.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use flyball_decision::{Call, Done, NotTaken, Now, Plane, PlaneConfig, RecordDraft, Sink, Written};

/// Tasks that are live at a time.
const TASKS: usize = 64;
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

thread_local! {
    /// Whether the fence of the task had returned when the sink began to settle this record.
    static FENCED_BEFORE: Cell<bool> = const { Cell::new(false) };
}

struct Task {
    id: String,
    fenced: AtomicBool,
}

/// Settles records on a thread of its own, in order.
struct Later(Mutex<SyncSender<(String, Done)>>);

impl Sink for Later {
    fn submit(&self, draft: RecordDraft, done: Done) -> Result<(), NotTaken> {
        let task = draft.task.unwrap_or_default();
        let queue = self.0.lock().map_err(|_| NotTaken::Closed)?;
        queue.try_send((task, done)).map_err(|_| NotTaken::Full)
    }
}

type Table = Arc<RwLock<Vec<Arc<Task>>>>;

fn now() -> Now {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let mono = START.get_or_init(Instant::now).elapsed().as_millis();
    Now { wall_ms: i64::try_from(wall).unwrap_or(0), mono_ms: i64::try_from(mono).unwrap_or(0) }
}

/// A task id that no other of this run has.
fn id(number: u64) -> String {
    let mut text = [b'0'; 26];
    let mut rest = number;
    for place in text.iter_mut().rev() {
        *place = DIGITS[(rest % 32) as usize];
        rest /= 32;
    }
    format!("tsk_bench_{}", String::from_utf8_lossy(&text))
}

/// Good enough to spread fences over time (xorshift).
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

fn open(plane: &Plane, spec: &str, number: u64) -> Result<Arc<Task>, String> {
    let id = id(number);
    plane.open(spec.replace("@ID@", &id).as_bytes(), now()).map_err(|refusal| format!("{refusal:?}"))?;
    Ok(Arc::new(Task { id, fenced: AtomicBool::new(false) }))
}

fn settle(table: &Table, records: &Receiver<(String, Done)>) {
    for (task, done) in records.iter() {
        // Records of tasks that left the table are of fenced ones.
        let fenced = table.read().is_ok_and(|tasks| {
            tasks.iter().find(|one| one.id == task).is_none_or(|one| one.fenced.load(Ordering::SeqCst))
        });
        FENCED_BEFORE.set(fenced);
        done(Written::Durable);
    }
}

fn fence(plane: &Plane, table: &Table, stop: &AtomicBool, fences: &AtomicU64) {
    let mut random = 0x9E37_79B9_7F4A_7C15;
    while !stop.load(Ordering::Relaxed) {
        let which = (next(&mut random) % TASKS as u64) as usize;
        let Some(task) = table.read().ok().and_then(|tasks| tasks.get(which).cloned()) else { return };
        if plane.fence(&task.id) {
            fences.fetch_add(1, Ordering::Relaxed);
        }
        task.fenced.store(true, Ordering::SeqCst);
        let pause = Instant::now();
        let wait = u128::from(next(&mut random) % 60_000);
        while pause.elapsed().as_nanos() < wait {
            std::hint::spin_loop();
        }
    }
}

#[derive(Default)]
struct Counts {
    allowed: AtomicU64,
    overtaken: AtomicU64,
    refused: AtomicU64,
    violations: AtomicU64,
    answered: AtomicU64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().collect();
    let [_, bundle, spec, checks] = words.as_slice() else {
        return Err("usage: fence-race BUNDLE.json SPEC.json CHECKS".into());
    };
    let (bundle, spec, checks) = (std::fs::read(bundle)?, std::fs::read_to_string(spec)?, checks.parse::<u64>()?);
    let plane = Arc::new(Plane::new(PlaneConfig {
        cell: "bench".into(),
        node: "bench-1".into(),
        epoch: 1,
        deployment_key: [7; 32],
    }));
    plane.load(&bundle).map_err(|error| format!("{error:?}"))?;
    let mut opened = 0;
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        opened += 1;
        tasks.push(open(&plane, &spec, opened)?);
    }
    let table: Table = Arc::new(RwLock::new(tasks));
    let (sender, records) = sync_channel(256);
    let sink: Arc<dyn Sink> = Arc::new(Later(Mutex::new(sender)));
    let (stop, fences, counts) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(Counts::default()));
    let theirs = Arc::clone(&table);
    std::thread::spawn(move || settle(&theirs, &records));
    let fencer = {
        let (plane, table, stop, fences) =
            (Arc::clone(&plane), Arc::clone(&table), Arc::clone(&stop), Arc::clone(&fences));
        std::thread::spawn(move || fence(&plane, &table, &stop, &fences))
    };
    let began = Instant::now();
    for number in 0..checks {
        let at = (number % TASKS as u64) as usize;
        let Some(task) = table.read().ok().and_then(|tasks| tasks.get(at).cloned()) else { break };
        if task.fenced.load(Ordering::SeqCst) {
            // One check more of every fenced task, which must be refused; then a new one takes its place.
            ask(&plane, &sink, &task, number, &counts, true);
            opened += 1;
            let fresh = open(&plane, &spec, opened)?;
            plane.close(&task.id);
            if let Ok(mut tasks) = table.write() {
                tasks[at] = fresh;
            }
            continue;
        }
        ask(&plane, &sink, &task, number, &counts, false);
    }
    let deadline = Instant::now();
    while counts.answered.load(Ordering::SeqCst) < checks && deadline.elapsed().as_secs() < 30 {
        std::thread::yield_now();
    }
    let seconds = began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let _ = fencer.join();
    let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
    println!(
        "{}",
        serde_json::json!({
            "checks": of(&counts.answered), "fences": of(&fences), "allowed": of(&counts.allowed),
            "overtaken": of(&counts.overtaken), "refused": of(&counts.refused),
            "after_fence": of(&counts.violations), "seconds": seconds,
        })
    );
    Ok(())
}

/// One check. `fenced`: its fence had returned before it was asked.
fn ask(plane: &Arc<Plane>, sink: &Arc<dyn Sink>, task: &Task, number: u64, counts: &Arc<Counts>, fenced: bool) {
    let args = format!(r#"{{"order_id":"O-{number:09}"}}"#);
    let call = Call {
        task: &task.id,
        pep: "sdk",
        binding: "inproc",
        action: "safe.orders_read",
        resource_type: "shelf",
        resource_id: "orders",
        args: args.as_bytes(),
    };
    let counts = Arc::clone(counts);
    // A refusal may be answered here and now, without a record; the sink has not looked then.
    FENCED_BEFORE.set(fenced);
    let checked = plane.check(&call, now());
    plane.settle(sink, checked, now, move |verdict| {
        let after = fenced || FENCED_BEFORE.get();
        if verdict.allowed() {
            counts.allowed.fetch_add(1, Ordering::SeqCst);
            if after {
                counts.violations.fetch_add(1, Ordering::SeqCst);
            }
        } else if verdict.reasons.iter().any(|reason| reason.as_str() == "overtaken_by_fence") {
            counts.overtaken.fetch_add(1, Ordering::SeqCst);
        } else {
            counts.refused.fetch_add(1, Ordering::SeqCst);
        }
        counts.answered.fetch_add(1, Ordering::SeqCst);
    });
}
