//! Racing checks against fences: `cargo run --release -p flyball-decision --example race [checks]`.
//! Prints JSON; exits with 1 if any check was allowed after its task's fence had returned.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../tests/common/race.rs"]
mod race;

fn main() {
    let checks = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let seen = race::race(checks, 3);
    println!(
        "{{\"checks\":{},\"fences\":{},\"allowed_before\":{},\"allowed_after\":{},\"overtaken\":{}}}",
        seen.checks, seen.fences, seen.before, seen.after, seen.overtaken
    );
    std::process::exit(i32::from(seen.after > 0));
}
