//! The committed lists, judged by the catalog of a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/shapes.rs"]
mod shapes;
mod support;

use flyball_pgsql::{Access, Effect, How, Judgement, Policy, Snapshot, Source, Via, judge};
use shapes::judged_alike;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use support::Cluster;

/// The snapshot of the lists' database, and what psql's backslash commands ask of it.
fn live() -> &'static (Snapshot, Vec<String>) {
    static LIVE: OnceLock<(Snapshot, Vec<String>)> = OnceLock::new();
    LIVE.get_or_init(|| {
        let cluster = Cluster::start();
        cluster.sql(include_str!("corpus/schema.sql"));
        let snapshot = Snapshot::read(&cluster.snapshot("postgres"), &["app", "public"]).unwrap();
        (snapshot, backslash_queries(&cluster))
    })
}

/// The queries behind psql's commands, as psql itself shows them.
fn backslash_queries(cluster: &Cluster) -> Vec<String> {
    let commands = [
        "\\d",
        "\\d app.orders",
        "\\d+ app.orders",
        "\\d app.open_orders",
        "\\d+ app.open_orders",
        "\\d app.events",
        "\\d+ app.events_2025",
        "\\d app.audited",
        "\\d app.docs",
        "\\d app.ruled",
        "\\dt",
        "\\dt+",
        "\\dv",
        "\\dm",
        "\\di",
        "\\ds",
        "\\df app.*",
        "\\df+ app.*",
        "\\dn",
        "\\dn+",
        "\\du",
        "\\l",
        "\\l+",
        "\\dp",
        "\\z",
        "\\dT",
        "\\dD",
        "\\dx",
        "\\dy",
        "\\dF",
        "\\dc",
        "\\dC",
        "\\dd",
        "\\dE",
        "\\det",
        "\\dew",
        "\\des",
        "\\dL",
        "\\do app.*",
        "\\dO",
        "\\dRp",
        "\\drds",
        "\\ddp",
        "\\da",
        "\\sf app.touch",
        "\\sv app.rich",
        "\\conninfo",
        "\\dconfig",
        "\\dP",
        "\\dX",
        "\\dA",
    ];
    let mut psql = cluster.tool("psql");
    psql.args(["-X", "-E", "-f", "-"]);
    let output = support::feed(psql, &commands.join("\n"));
    let text = String::from_utf8(output.stdout).unwrap();
    let text = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let mut queries = Vec::new();
    let mut inside: Option<String> = None;
    for line in text.lines() {
        if line.contains("*** QUERY ***") || line.contains("* QUERY *") {
            inside = Some(String::new());
        } else if line.starts_with("/****") || line.starts_with("*****") {
            if let Some(query) = inside.take() {
                queries.push(query);
            }
        } else if let Some(query) = &mut inside {
            query.push_str(line);
            query.push('\n');
        } else if let Some(rest) = line.strip_prefix("/******** QUERY") {
            let _ = rest;
            inside = Some(String::new());
        }
    }
    queries
}

fn wide() -> Policy {
    Policy { catalog: true, triggers: BTreeSet::from(["app.touch".to_owned()]), ..Policy::default() }
}

fn judged(sql: &str) -> Judgement {
    judge(sql, &live().0, &wide()).unwrap_or_else(|r| panic!("{r}: {sql}"))
}

/// Every statement of the list of what must pass passes.
#[test]
fn must_allow() {
    let list = include_str!("corpus/allow.sql");
    let statements = list.lines().filter(|l| !l.starts_with("--") && !l.trim().is_empty());
    let refused: Vec<String> =
        statements.filter_map(|s| judge(s, &live().0, &wide()).err().map(|r| format!("{r}: {s}"))).collect();
    assert!(refused.is_empty(), "{} refused:\n{}", refused.len(), refused.join("\n"));
}

/// Every query that psql's backslash commands send passes under a policy that opens the catalogs.
#[test]
fn psql_looks_around() {
    let (snapshot, queries) = live();
    assert!(queries.len() > 60, "only {} queries seen", queries.len());
    let refused: Vec<String> =
        queries.iter().filter_map(|s| judge(s, snapshot, &wide()).err().map(|r| format!("{r}: {s}"))).collect();
    assert!(refused.is_empty(), "{} of {} refused:\n{}", refused.len(), queries.len(), refused.join("\n"));
}

/// Every statement of the list of what must not pass is refused, for the reason that stands beside it.
#[test]
fn must_deny() {
    let list = include_str!("corpus/deny.tsv");
    let mut wrong = Vec::new();
    for line in list.lines() {
        let (reason, sql) = line.split_once('\t').unwrap();
        match judge(sql, &live().0, &wide()) {
            Err(refusal) if refusal.reason.code() == reason => {}
            Err(refusal) => wrong.push(format!("{refusal} and not {reason}: {sql}")),
            Ok(_) => wrong.push(format!("ALLOWED: {sql}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each of them does what its shape says; none that is refused has a shape that is let through.
#[test]
fn shapes_of_the_lists() {
    let (snapshot, queries) = live();
    let denied = include_str!("corpus/deny.tsv").lines().filter_map(|line| line.split_once('\t')).map(|(_, sql)| sql);
    let all = include_str!("corpus/allow.sql").lines().chain(queries.iter().map(String::as_str)).chain(denied);
    let alike = all.filter(|sql| judged_alike(sql, snapshot, &wide())).count();
    assert!(alike > 60, "{alike} have a shape");
}

/// Without the policy's word the catalogs are closed.
#[test]
fn catalog_is_closed_by_default() {
    let refusal = judge("SELECT relname FROM pg_class", &live().0, &Policy::default()).unwrap_err();
    assert_eq!(refusal.reason.code(), "catalog");
}

/// A view's tables and their columns count as read, with the view named as the way.
#[test]
fn views_are_expanded() {
    let j = judged("SELECT name FROM app.rich");
    assert_eq!(j.columns("app", "customers", Access::Select), BTreeSet::from(["id", "name"]));
    assert!(
        j.tables
            .keys()
            .any(|t| t.table.name == "customers" && matches!(&t.via, Via::View(v) if v.name == "open_orders"))
    );
}

/// A write within WITH counts as a write.
#[test]
fn cte_writes_are_writes() {
    let j = judged("WITH gone AS (DELETE FROM app.lines RETURNING sku) SELECT * FROM gone");
    assert_eq!(j.effect(), Effect::Delete);
    assert!(j.touches("app", "lines", Access::Delete));
}

/// Columns are resolved in their scope: what an inner query names is not taken for an outer table's.
#[test]
fn columns_in_scopes() {
    let j =
        judged("SELECT name FROM app.customers c WHERE EXISTS (SELECT 1 FROM app.orders o WHERE o.customer_id = c.id)");
    assert_eq!(j.columns("app", "customers", Access::Select), BTreeSet::from(["id", "name"]));
    assert_eq!(j.columns("app", "orders", Access::Select), BTreeSet::from(["customer_id"]));
    // A whole row, a star and a join's alias are all columns.
    for sql in [
        "SELECT c FROM app.customers c",
        "SELECT * FROM app.customers",
        "SELECT row_to_json(c) FROM app.customers c",
        "SELECT j.* FROM (app.customers c JOIN app.lines l ON l.order_id = c.id) AS j",
        "SELECT x.secret FROM app.customers AS x",
        "SELECT count(c) FROM app.customers c",
    ] {
        assert!(judged(sql).columns("app", "customers", Access::Select).contains("secret"), "{sql}");
    }
    // A CTE hides a table only where it is in sight; renamed columns lead to their own names.
    assert!(judged("WITH lines AS (SELECT * FROM app.lines) SELECT * FROM lines").touches(
        "app",
        "lines",
        Access::Select
    ));
    assert!(
        judged("SELECT t.d FROM app.customers AS t(a, b, c, d)")
            .columns("app", "customers", Access::Select)
            .contains("secret")
    );
}

/// Values are named with the columns they are compared with or given to.
#[test]
fn values_meet_columns() {
    let seen = |sql: &str| -> Vec<(Source, Vec<String>, How)> {
        let plain = |j: Judgement| {
            j.values.into_iter().map(|v| (v.source, v.columns.into_iter().map(|c| c.1).collect(), v.how))
        };
        plain(judged(sql)).collect()
    };
    let one = |s: &str| vec![s.to_owned()];
    assert_eq!(
        seen("SELECT 1 FROM app.customers WHERE email = $1")[1],
        (Source::Parameter(1), one("email"), How::Compared("=".into()))
    );
    assert_eq!(seen("SELECT id FROM app.customers WHERE lower(email) = lower('A')")[0].1, one("email"));
    assert_eq!(
        seen("SELECT id FROM app.customers WHERE id IN (7, 8)")[1],
        (Source::Number("8".into()), one("id"), How::Compared("IN".into()))
    );
    assert_eq!(
        seen("UPDATE app.orders SET note = 'x' WHERE id = 3"),
        vec![
            (Source::Text("x".into()), one("note"), How::Assigned),
            (Source::Number("3".into()), one("id"), How::Compared("=".into()))
        ]
    );
    assert_eq!(
        seen("INSERT INTO app.lines (sku, qty) VALUES ($1, $2)")[1],
        (Source::Parameter(2), one("qty"), How::Assigned)
    );
    assert_eq!(judged("SELECT id FROM app.orders LIMIT $3").parameters, 3);
}

/// What keys, partitions, policies, triggers and sequences reach is named.
#[test]
fn reach_is_named() {
    let j = judged("DELETE FROM app.customers WHERE id = 1");
    assert!(j.touches("app", "orders", Access::Delete), "ON DELETE CASCADE");
    assert!(j.touches("app", "lines", Access::Update), "ON DELETE SET NULL behind it");
    assert!(judged("INSERT INTO app.orders (customer_id) VALUES (1)").touches("app", "customers", Access::Select));
    assert!(judged("INSERT INTO app.orders (customer_id) VALUES (1)").touches("app", "orders_id_seq", Access::Update));
    assert!(judged("SELECT * FROM app.events").touches("app", "events_2026", Access::Select));
    let docs = judged("SELECT body FROM app.docs");
    assert!(docs.touches("app", "members", Access::Select) && !docs.row_security.is_empty());
    assert_eq!(
        judged("INSERT INTO app.audited VALUES (1, 'x')").triggers,
        BTreeSet::from(["app.audited.audit".to_owned()])
    );
    assert!(judged("UPDATE app.names SET name = 'x'").touches("app", "customers", Access::Update), "through a view");
}
