//! Nothing that a client writes makes the judge panic, or work without bound.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_pgsql::{Policy, Reason, Snapshot, judge};
use proptest::prelude::*;

fn snapshot() -> Snapshot {
    let json = r#"{"database":"d","relations":[
        {"oid":1,"schema":"app","name":"t","kind":"r","columns":["a","b"]},
        {"oid":2,"schema":"app","name":"v","kind":"v","columns":["a"],"definition":"SELECT a FROM app.w"},
        {"oid":3,"schema":"app","name":"w","kind":"v","columns":["a"],"definition":"SELECT a FROM app.v"}],
        "functions":[],"operators":[],"types":[]}"#;
    Snapshot::read(json, &["app"]).unwrap()
}

/// Text beyond the bound is not parsed at all.
#[test]
fn long_statements() {
    let sql = format!("SELECT '{}'", "x".repeat(70_000));
    assert_eq!(judge(&sql, &snapshot(), &Policy::default()).unwrap_err().reason, Reason::TooLong);
}

/// Deep statements of the longest allowed length are refused, on a thread with a small stack too.
#[test]
fn deep_statements() {
    let deep = |open: &str, close: &str| {
        let times = 60_000 / (open.len() + close.len());
        format!("SELECT {}1{}", open.repeat(times), close.repeat(times))
    };
    let statements = [
        deep("NOT ", ""),
        deep("- ", ""),
        deep("(", ")"),
        deep("(SELECT ", ")"),
        deep("a.f(", ")"),
        deep("1+", ""),
        deep("ARRAY[", "]"),
        deep("CASE WHEN ", " THEN 1 END"),
        deep("1 UNION SELECT ", ""),
        deep("", "::int"),
        format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(3000), ") x".repeat(3000)),
        format!("SELECT {}", "1,".repeat(25_000) + "1"),
    ];
    let run = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    run.spawn(move || {
        for sql in statements {
            let _ = judge(&sql, &snapshot(), &Policy::default());
        }
    })
    .unwrap()
    .join()
    .expect("no overflow, no panic");
}

/// Views that name each other end.
#[test]
fn circular_views() {
    assert!(judge("SELECT a FROM v", &snapshot(), &Policy::default()).is_ok());
}

fn fragment() -> impl Strategy<Value = String> {
    let words = "SELECT INSERT INTO UPDATE SET DELETE FROM WHERE WITH AS ( ) , ; t v a b * . 1 'x' $1 = < + :: int \
                 UNION ALL VALUES RETURNING ON CONFLICT DO NOTHING JOIN LATERAL USING ORDER BY GROUP LIMIT CASE WHEN \
                 THEN END NOT EXISTS IN ANY ARRAY [ ] EXPLAIN COPY TO STDOUT MERGE MATCHED EXECUTE PREPARE DROP TABLE";
    let words: Vec<&'static str> = words.split_whitespace().collect();
    prop::collection::vec(prop::sample::select(words), 0..40).prop_map(|w| w.join(" "))
}

proptest! {
    /// Arbitrary words of SQL in any order.
    #[test]
    fn words_in_any_order(sql in fragment()) {
        let _ = judge(&sql, &snapshot(), &Policy { catalog: true, ..Policy::default() });
    }

    /// Arbitrary text.
    #[test]
    fn any_text(sql in "\\PC{0,200}") {
        let _ = judge(&sql, &snapshot(), &Policy::default());
    }
}
