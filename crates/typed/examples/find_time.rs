//! Prints how long it takes to look for every kind of value in a request and in a mail.

use std::hint::black_box;
use std::time::Instant;

use flyball_typed::{Kind, find, words};

const TEXT: &str = "Hi Ann, please schedule a one-hour meeting with bob.lee@example.com and carol@example.org on May 15th, 2024 \
at 10:00, from the 10th to the 12th of June if that fails, or next Monday at 6 PM. The bill #4711 in 'march report.pdf' \
is $1,234.56; pay it to DE89 3704 0044 0532 0130 00 and see https://example.com/a/b?c=d or call +1 (555) 123-4567. \
It must not cost more than 100 euros. Kind regards, and thanks for all the help that you gave us in the last weeks. ";

fn main() {
    for size in [1_024, 10_240] {
        let text: String = TEXT.chars().cycle().take(size).collect();
        println!("{size} bytes");
        for kind in Kind::ALL {
            time(kind.as_str(), || {
                let mut count = 0;
                find(kind, black_box(&text), &mut |readings| count += readings.len());
                count
            });
        }
        time("words", || words(black_box(&text)).map(|word| word.len()).sum());
    }
}

/// The median of many runs.
fn time(name: &str, mut run: impl FnMut() -> usize) {
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..501 {
        let start = Instant::now();
        found = black_box(run());
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    println!("  {name:<10} {:>8.1} us   {found} readings", median.as_secs_f64() * 1e6);
}
