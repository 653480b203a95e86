//! What columns are given, and to what rows are confined: only what a statement says for certain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use flyball_pgsql::{Access, Given, Judgement, Policy, Snapshot, Source, TableName, judge};

fn judged(sql: &str) -> Judgement {
    let json = r#"{"database": "shop", "functions": [], "operators": [], "types": [], "relations": [
        {"oid": 16400, "schema": "public", "name": "refunds", "kind": "r", "columns": ["id", "order_id", "amount"]},
        {"oid": 16401, "schema": "public", "name": "orders", "kind": "r", "columns": ["id", "customer", "note"]}]}"#;
    let snapshot = Snapshot::read(json, &["public"]).unwrap();
    judge(sql, &snapshot, &Policy::default()).unwrap_or_else(|no| panic!("{sql}: {no}"))
}

fn table(name: &str) -> TableName {
    TableName::new("public", name)
}

fn number(text: &str) -> Given {
    Given::Value(Source::Number(text.into()))
}

/// The values of a column are literals, parameters, NULL; an expression, a default, a query's row is none.
#[test]
fn given_values() {
    let of = |sql: &str, access| judged(sql).given.get(&(table("refunds"), access, "amount".into())).cloned();
    let insert = |rest: &str| of(&format!("INSERT INTO refunds (order_id, amount) {rest}"), Access::Insert);
    let parameter = Given::Value(Source::Parameter(2));
    for (rest, expected) in [
        ("VALUES (1, 50.00)", vec![number("50.00")]),
        ("VALUES (1, -5)", vec![number("-5")]),
        ("VALUES ($1, $2)", vec![parameter.clone()]),
        ("VALUES ($1, $2::numeric)", vec![parameter.clone()]),
        ("VALUES (1, '50'::numeric)", vec![Given::Value(Source::Text("50".into()))]),
        ("VALUES (1, 5), (2, 6)", vec![number("5"), number("6")]),
        ("VALUES (1, NULL)", vec![Given::Null]),
        ("VALUES (1, DEFAULT)", vec![Given::Unknown]),
        ("VALUES (1, 5 * 100)", vec![Given::Unknown]),
        ("VALUES (1, 5.4::int)", vec![Given::Unknown]),
        ("VALUES (1, '12345'::varchar(2))", vec![Given::Unknown]),
        ("VALUES (1, (SELECT 5))", vec![Given::Unknown]),
        ("SELECT 1, 500", vec![Given::Unknown]),
        ("SELECT * FROM (VALUES (1, 500)) v", vec![Given::Unknown]),
    ] {
        assert_eq!(insert(rest).as_deref(), Some(expected.as_slice()), "{rest}");
    }
    assert_eq!(of("INSERT INTO refunds (order_id) VALUES (1)", Access::Insert), None, "it gets its default");
    assert_eq!(of("INSERT INTO refunds DEFAULT VALUES", Access::Insert), None);
    assert_eq!(of("UPDATE refunds SET amount = 5", Access::Update), Some(vec![number("5")]));
    assert_eq!(of("UPDATE refunds SET amount = amount + 5", Access::Update), Some(vec![Given::Unknown]));
    assert_eq!(of("UPDATE refunds SET (order_id, amount) = (1, 5)", Access::Update), Some(vec![Given::Unknown]));
    let conflict =
        "INSERT INTO refunds (id, amount) VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount";
    assert_eq!(of(conflict, Access::Insert), Some(vec![number("5")]));
    assert_eq!(of(conflict, Access::Update), Some(vec![Given::Unknown]));
    let twice =
        "WITH w AS (INSERT INTO refunds (amount) VALUES (500) RETURNING id) INSERT INTO refunds (amount) VALUES (1)";
    assert_eq!(of(twice, Access::Insert), Some(vec![number("500"), number("1")]), "each of them counts");
}

/// Rows are confined by what holds for all of them, where the table is met once.
#[test]
fn confined_rows() {
    let of = |sql: &str| judged(sql).confined.get(&(table("orders"), "id".into())).cloned();
    let one = Some(vec![Source::Number("1".into())]);
    for sql in [
        "SELECT note FROM orders WHERE id = 1",
        "SELECT note FROM orders WHERE 1 = id AND note <> ''",
        "SELECT note FROM orders o WHERE (o.id = 1 AND (true AND note = 'x'))",
        "SELECT note FROM (SELECT note FROM orders WHERE id = 1) s",
        "WITH w AS (SELECT note FROM orders WHERE id = 1) SELECT * FROM w, w v",
        "SELECT o.note FROM orders o JOIN refunds r ON r.order_id = o.id WHERE o.id = 1",
        "UPDATE orders SET note = '' WHERE id = 1",
        "DELETE FROM orders WHERE id = 1",
    ] {
        assert_eq!(of(sql), one, "{sql}");
    }
    assert_eq!(of("SELECT note FROM orders WHERE id = $1"), Some(vec![Source::Parameter(1)]));
    let two = Some(vec![Source::Number("1".into()), Source::Number("2".into())]);
    assert_eq!(of("SELECT note FROM orders WHERE id IN (1, 2)"), two);
    for sql in [
        "SELECT note FROM orders",
        "SELECT note FROM orders WHERE id = 1 OR true",
        "SELECT note FROM orders WHERE NOT id = 1",
        "SELECT note FROM orders WHERE id >= 1",
        "SELECT note FROM orders WHERE id <> 1",
        "SELECT note FROM orders WHERE id NOT IN (1)",
        "SELECT note FROM orders WHERE id BETWEEN 1 AND 1",
        "SELECT note FROM orders WHERE id = 1 + 0",
        "SELECT note FROM orders WHERE id = customer",
        "SELECT note FROM orders WHERE id + 0 = 1",
        "SELECT note FROM orders WHERE id = ANY (ARRAY[1])",
        "SELECT note FROM orders GROUP BY id, note HAVING id = 1",
        "SELECT a.note FROM orders a, orders b WHERE a.id = 1",
        "SELECT note FROM orders WHERE id = 1 UNION SELECT note FROM orders",
        "SELECT note FROM orders WHERE EXISTS (SELECT 1 FROM refunds r WHERE orders.id = 1)",
        "SELECT note, (SELECT r.amount FROM refunds r WHERE orders.id = 1) FROM orders",
        "SELECT o.note FROM orders o LEFT JOIN refunds r ON o.id = 1",
        "SELECT note FROM orders AS o (customer, id) WHERE id = 1",
        "DELETE FROM refunds USING orders WHERE refunds.id = 1",
    ] {
        assert_eq!(of(sql), None, "{sql}");
    }
}
