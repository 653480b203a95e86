//! A statement's shape does what the statement does, whatever its constants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/shapes.rs"]
mod shapes;

use flyball_pgsql::{Judgement, Policy, Session, Shape, Snapshot, Source, judge};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use shapes::{judged_alike, reads_alike};
use std::path::Path;

fn snapshot() -> Snapshot {
    let json = r#"{"database":"d","relations":[
        {"oid":1,"schema":"app","name":"t","kind":"r","columns":["a","b","c"]},
        {"oid":2,"schema":"app","name":"v","kind":"v","columns":["a"],"definition":"SELECT t.a FROM app.t WHERE (t.b = 5)"},
        {"oid":3,"schema":"app","name":"Ü","kind":"r","columns":["a","b"]}],
        "functions":[],"operators":[],"types":[]}"#;
    Snapshot::read(json, &["app"]).unwrap()
}

fn number(text: &str) -> Source {
    Source::Number(text.into())
}

fn text(text: &str) -> Source {
    Source::Text(text.into())
}

/// Constants that a comparison compares with are left out, wherever a client puts its spaces.
#[test]
fn constants_of_comparisons() {
    for (sql, shape, literals) in [
        ("SELECT a FROM t WHERE a = 5", "SELECT a FROM t WHERE a = $1", vec![number("5")]),
        ("select a from t where a=5;", "select a from t where a=$1;", vec![number("5")]),
        (
            "SELECT a FROM t WHERE (a >= 0 AND b<>'x') ; ",
            "SELECT a FROM t WHERE (a >= $1 AND b<>$2) ; ",
            vec![number("0"), text("x")],
        ),
        (
            "UPDATE t SET a = '', b =\n7 WHERE c != 999999999",
            "UPDATE t SET a = $1, b =\n$2 WHERE c != $3",
            vec![text(""), number("7"), number("999999999")],
        ),
        (
            r#"SELECT "t"."a" FROM "Ü" t WHERE "t"."a" = 'ü'"#,
            r#"SELECT "t"."a" FROM "Ü" t WHERE "t"."a" = $1"#,
            vec![text("ü")],
        ),
        // What stands elsewhere stays.
        ("SELECT 1, 'x' FROM t WHERE a = 5 LIMIT 3", "SELECT 1, 'x' FROM t WHERE a = $1 LIMIT 3", vec![number("5")]),
        (
            "DELETE FROM t WHERE a = 5 AND b = 1.5 AND c LIKE 'it''s%'",
            "DELETE FROM t WHERE a = $1 AND b = 1.5 AND c LIKE 'it''s%'",
            vec![number("5")],
        ),
    ] {
        let found = Shape::of(sql).unwrap_or_else(|| panic!("no shape: {sql}"));
        assert_eq!((found.sql.as_str(), found.literals), (shape, literals), "{sql}");
        assert!(reads_alike(sql), "{sql}");
    }
}

/// What is not surely read alike has no shape.
#[test]
fn no_shape() {
    for sql in [
        "",
        "SELECT a FROM t",
        "SELECT a FROM t WHERE a = $1 AND b = 5",
        "SELECT a FROM t WHERE a = 5 -- and b = 6",
        "SELECT a FROM t WHERE /* */ a = 5",
        "SELECT a FROM t WHERE a =-- \n 5",
        r"SELECT a FROM t WHERE a = E'\'' AND b = 5",
        r"SELECT a FROM t WHERE a = 'x\y'",
        "SELECT a FROM t WHERE a = 'x'\n'y' AND b = 5",
        "SELECT a FROM t WHERE a = $$x$$ AND b = 5",
        "SELECT a FROM t WHERE a = 'x AND b = 5",
        "SELECT a FROM t WHERE a = 5; DELETE FROM t WHERE a = 5",
        // Not directly behind a comparison, or no whole number that is read back as it is written.
        "SELECT a FROM t WHERE a = -5",
        "SELECT a FROM t WHERE a = 05",
        "SELECT a FROM t WHERE a = 9999999999",
        "SELECT a FROM t WHERE a = 5.0",
        "SELECT a FROM t WHERE a = 5e3",
        "SELECT a FROM t WHERE a = 5::int",
        "SELECT a FROM t WHERE a = date '2026-01-01'",
        "SELECT a FROM t WHERE a @> 5",
        "SELECT f(a => 5) FROM t",
        "SELECT a FROM t ORDER BY 1 LIMIT 5",
        // What changes its session, or runs later, is judged as it stands.
        "SET work_mem = 5",
        "PREPARE p AS SELECT a FROM t WHERE a = 5",
        "EXPLAIN SELECT a FROM t WHERE a = 5",
    ] {
        assert_eq!(Shape::of(sql), None, "{sql}");
    }
}

/// The shape has room for more constants than it leaves out; the others stay.
#[test]
fn many_constants() {
    let sql = format!("SELECT a FROM t WHERE {}", vec!["a = 5"; 70].join(" OR "));
    assert_eq!(Shape::of(&sql).unwrap().literals.len(), 64);
    assert!(judged_alike(&sql, &snapshot(), &Policy::default()));
}

/// A shape whose judgement says less of it than it must is not used.
#[test]
fn what_does_not_fit() {
    let shape = Shape::of("SELECT a FROM t WHERE a = 5").unwrap();
    let of = |sql: &str| judge(sql, &snapshot(), &Policy::default()).unwrap();
    assert!(shape.fits(&of(&shape.sql)));
    for other in ["SELECT a FROM t", "SELECT a FROM t WHERE a = $1 AND b = $2", "BEGIN", ""] {
        assert!(!shape.fits(&of(other)), "{other}");
    }
    let but = |change: fn(&mut Judgement)| {
        let mut changed = of(&shape.sql);
        change(&mut changed);
        shape.fits(&changed)
    };
    assert!(!but(|judgement| judgement.session = Some(Session::Discard)));
    assert!(!but(|judgement| judgement.copies_in = true));
    assert!(!but(|judgement| judgement.statements = 2));
}

/// Every piece of PostgreSQL's own suite that lies here is read as its shape is.
#[test]
fn regression_suite() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regress/sql");
    let (mut pieces, mut shaped) = (0, 0);
    for file in std::fs::read_dir(folder).unwrap() {
        let all = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for piece in all.split(';') {
            // A comment before a statement hides it.
            let lines: Vec<&str> = piece.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
            pieces += 1;
            shaped += usize::from(reads_alike(&lines.join("\n")));
        }
    }
    assert!(shaped > 200, "{shaped} of {pieces} have a shape");
}

/// Mostly one of the usual, at times one of the rare.
fn mostly(usual: &'static [&'static str], rare: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![8 => prop::sample::select(usual), 1 => prop::sample::select(rare)].prop_map(str::to_owned)
}

fn literal() -> impl Strategy<Value = String> {
    const OTHERS: &[&str] =
        &["-1", "007", "1.5", "'it''s'", "$1", "NULL", "true", "E'x'", "'a'::text", "'5' ", "b", "(5)", "4000000000"];
    prop_oneof![
        4 => (0_u32..1_000_000_000).prop_map(|n| n.to_string()),
        4 => "'[a-zü \"$-]{0,6}'",
        1 => prop::sample::select(OTHERS).prop_map(str::to_owned),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let column = mostly(&["a", "b", "t.a", "t.b", "\"c\""], &["5", "v.a", "lower(c)", "a::text"]);
    let operator =
        mostly(&["=", "<", ">", "<=", ">=", "<>", "!="], &["@>", " LIKE ", "=>", "~", "-", " IS DISTINCT FROM "]);
    let space = || mostly(&["", " ", "\n", "  "], &["/**/", "--\n"]);
    (column, space(), operator, space(), literal(), space()).prop_map(|(column, one, operator, two, literal, three)| {
        format!("{column}{one}{operator}{two}{literal}{three}")
    })
}

fn statement() -> impl Strategy<Value = String> {
    let start = prop::sample::select(vec![
        "SELECT a FROM t WHERE ",
        "SELECT a, 'x' AS note, 7 FROM t WHERE ",
        "select t.a from t, v where c = 'x' and ",
        "UPDATE t SET b = 5 WHERE ",
        "UPDATE t SET b = 5, c = 'x' WHERE ",
        "DELETE FROM t WHERE ",
        "SELECT t.a FROM t JOIN v USING (a) WHERE ",
        "SELECT (SELECT b FROM t WHERE a = 1 LIMIT 1) FROM t WHERE ",
        "SELECT a, ",
        "SELECT a FROM t GROUP BY a HAVING ",
    ]);
    let word = mostly(&[" AND ", " OR "], &[", ", " AND NOT "]);
    let joined = prop::collection::vec((condition(), word), 1..4);
    let end = mostly(&["", ";", " LIMIT 5", " RETURNING a", " ORDER BY 1"], &["; SELECT 1", ")", " FOR UPDATE"]);
    (start, joined, end).prop_map(|(start, joined, end)| {
        let mut sql = start.to_owned();
        for (at, (condition, word)) in joined.iter().enumerate() {
            sql.push_str(if at == 0 { "" } else { word });
            sql.push_str(condition);
        }
        sql + &end
    })
}

/// Pieces that a lexer could take for something else when they stand side by side.
fn pieces() -> impl Strategy<Value = String> {
    let pieces = vec![
        "a", "5", "0", "x'", "'", "''", "\"", "\"\"", "=", "<", ">", "!", "-", "+", "/", "*", "--", "/*", "*/", "$",
        "$1", "$$", "\\", ";", "(", ")", "[", "]", ",", ".", ":", "::", " ", "\n", "\t", "\r", "\x0b", "\x0c", "E'",
        "U&'", "U&\"", "N'", "B'", "ü", "\u{a0}", "@", "e5", "_", "= 5", "= 'a'", "='a' ", "{", "}", "%", "~", "|",
        "?",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..14).prop_map(|all| format!("SELECT a = 5 {}", all.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    /// Statements with constants in every place.
    #[test]
    fn statements(sql in statement()) {
        judged_alike(&sql, &snapshot(), &Policy::default());
    }

    /// What is no statement at all.
    #[test]
    fn anything(sql in pieces()) {
        reads_alike(&sql);
    }
}

/// The generator makes statements that this is about: else the property says nothing.
#[test]
fn the_generator_makes_shapes() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let made = (0..500).map(|_| statement().new_tree(&mut runner).unwrap().current());
    let alike = made.filter(|sql| judged_alike(sql, &snapshot(), &Policy::default())).count();
    assert!(alike > 50, "{alike} of 500");
}
