//! A judgement as questions: one for each table and way in which a statement touches it.

use std::collections::{BTreeMap, BTreeSet};

use flyball_decision::Form;
use flyball_gateway::Ask;
use flyball_pgsql::{Access, Effect, Given, Judgement, TableName, Touch, Via};

use crate::args::{Bound, json};

/// Reads of the system's catalogs: one action for all of them.
pub(crate) const CATALOG: &str = "sql.catalog";
/// Procedures.
const CALL: &str = "sql.call";
/// The argument that names the columns touched.
const COLUMNS: &str = "columns";
/// In an UPDATE a column may be given a value, or confine the rows: what confines goes by the name behind this.
const ROW: &str = "row_";

/// One question, owned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) action: &'static str,
    pub(crate) resource_type: String,
    pub(crate) resource: String,
    pub(crate) args: String,
}

impl Question {
    pub(crate) fn ask(&self) -> Ask<'_> {
        Ask {
            action: self.action,
            resource_type: &self.resource_type,
            resource_id: &self.resource,
            args: self.args.as_bytes(),
        }
    }
}

/// The action of a way of touching.
const fn action(access: Access) -> &'static str {
    match access {
        Access::Select => "sql.select",
        Access::Insert => "sql.insert",
        Access::Update => "sql.update",
        Access::Delete => "sql.delete",
        Access::Truncate => "sql.truncate",
        Access::Lock => "sql.lock",
    }
}

/// Whether a touch is asked about. What the server does by itself to keep its own promises is not: a foreign key that
/// is looked up, a row-security policy that is read, a sequence that a default moves. Nor are partitions and children,
/// since the table that stands for them is.
fn asked(touch: &Touch) -> bool {
    match &touch.via {
        Via::Direct | Via::View(_) => true,
        Via::ForeignKey(_) => !matches!(touch.access, Access::Select | Access::Lock),
        Via::Parent(_) | Via::RowSecurity(_) | Via::Default(_) => false,
    }
}

#[derive(Default)]
struct Touched {
    columns: BTreeSet<String>,
    /// On a way that the text does not show whole: its values are not those of the text.
    around: bool,
}

/// The questions of a statement; none where it touches nothing but its own session. `form` says how an action is asked
/// about in the bundle in force.
pub(crate) fn questions(
    judgement: &Judgement,
    target: &str,
    bound: Bound<'_>,
    form: impl Fn(&str) -> Option<Form>,
) -> Vec<Question> {
    let mut tables: BTreeMap<(Access, &TableName), Touched> = BTreeMap::new();
    let mut catalog = false;
    for (touch, columns) in judgement.tables.iter().filter(|(touch, _)| asked(touch)) {
        if matches!(touch.table.schema.as_str(), "pg_catalog" | "information_schema") {
            catalog = true;
            continue;
        }
        let one = tables.entry((touch.access, &touch.table)).or_default();
        one.columns.extend(columns.iter().cloned());
        one.around |= touch.via != Via::Direct;
    }
    let question = |action: &'static str, resource: String, args: Vec<(String, String)>, form: Option<Form>| {
        let body: Vec<String> = args.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
        let resource_type = form.map_or_else(|| "table".to_owned(), |form| form.resource_type);
        Question { action, resource_type, resource, args: format!("{{{}}}", body.join(",")) }
    };
    let mut out = Vec::with_capacity(tables.len());
    for ((access, table), touched) in tables {
        let form = form(action(access));
        let args = form.as_ref().map_or_else(Vec::new, |form| args(judgement, form, access, table, &touched, bound));
        out.push(question(action(access), format!("{target}.{table}"), args, form));
    }
    if catalog {
        out.push(question(CATALOG, format!("{target}.pg_catalog"), Vec::new(), form(CATALOG)));
    }
    if judgement.effects.contains(&Effect::Call) {
        for function in judgement.functions.iter().filter(|name| !name.starts_with("pg_catalog.")) {
            out.push(question(CALL, format!("{target}.{function}"), Vec::new(), form(CALL)));
        }
    }
    out
}

fn args(
    judgement: &Judgement,
    form: &Form,
    access: Access,
    table: &TableName,
    touched: &Touched,
    bound: Bound<'_>,
) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (name, kind) in &form.args {
        if name == COLUMNS && *kind == "strings" {
            let columns: Vec<&String> = touched.columns.iter().collect();
            out.extend(serde_json::to_string(&columns).ok().map(|json| (name.clone(), json)));
            continue;
        }
        if touched.around {
            continue;
        }
        let given = |column: &str| judgement.given.get(&(table.clone(), access, column.to_owned())).cloned();
        let confined = |column: &str| -> Option<Vec<Given>> {
            let values = judgement.confined.get(&(table.clone(), column.to_owned()))?;
            Some(values.iter().cloned().map(Given::Value).collect())
        };
        let values = match access {
            Access::Insert => given(name),
            Access::Update => name.strip_prefix(ROW).and_then(confined).or_else(|| given(name)),
            Access::Select | Access::Delete | Access::Lock => confined(name),
            Access::Truncate => None,
        };
        let value = values.and_then(|values| json(kind, &values, bound));
        out.extend(value.map(|value| (name.clone(), value)));
    }
    out
}

fn quoted(name: &str) -> String {
    serde_json::to_string(name).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on fails")]
mod tests {
    use super::{Question, questions};
    use crate::args::Bound;
    use flyball_decision::Form;
    use flyball_pgsql::{Judgement, Policy, Shape, Snapshot, Source, judge};
    use flyball_pgwire::Params;

    const CATALOG: &str = r#"{"database": "shop", "functions": [], "operators": [], "types": [], "relations": [
        {"oid": 16400, "schema": "public", "name": "refunds", "kind": "r", "columns": ["id", "order_id", "amount"],
         "sequences": [16403], "references": [{"other": 16401, "columns": ["order_id"], "other_columns": ["id"],
         "on_delete": "a", "on_update": "a"}]},
        {"oid": 16401, "schema": "public", "name": "orders", "kind": "r", "columns": ["id", "note"],
         "referenced": [{"other": 16402, "columns": ["id"], "other_columns": ["order_id"],
         "on_delete": "c", "on_update": "a"}]},
        {"oid": 16402, "schema": "public", "name": "lines", "kind": "r", "columns": ["order_id"]},
        {"oid": 16403, "schema": "public", "name": "refunds_id_seq", "kind": "S", "columns": ["last_value"]},
        {"oid": 16404, "schema": "public", "name": "notes", "kind": "v", "columns": ["note"],
         "definition": "SELECT orders.note FROM public.orders"},
        {"oid": 1259, "schema": "pg_catalog", "name": "pg_class", "kind": "r", "columns": ["relname"]},
        {"oid": 2615, "schema": "pg_catalog", "name": "pg_namespace", "kind": "r", "columns": ["nspname"]}]}"#;

    fn form(action: &str) -> Option<Form> {
        let args = match action {
            "sql.select" => vec![("columns".to_owned(), "strings"), ("id".to_owned(), "long")],
            "sql.insert" => vec![("amount".to_owned(), "decimal"), ("columns".to_owned(), "strings")],
            "sql.update" => vec![("amount".to_owned(), "decimal"), ("row_id".to_owned(), "string")],
            _ => return None,
        };
        Some(Form { resource_type: "table".to_owned(), args })
    }

    fn asked(sql: &str) -> Vec<String> {
        let snapshot = Snapshot::read(CATALOG, &["public"]).unwrap();
        let policy = Policy { catalog: true, ..Policy::default() };
        let judgement = judge(sql, &snapshot, &policy).unwrap_or_else(|no| panic!("{sql}: {no}"));
        shown(&judgement, &[])
    }

    fn shown(judgement: &Judgement, literals: &[Source]) -> Vec<String> {
        let none = Params::default();
        let all = questions(judgement, "orders", Bound { literals, params: &none, types: &[] }, form);
        all.iter().map(|Question { action, resource, args, .. }| format!("{action} {resource} {args}")).collect()
    }

    /// Asked by a statement's shape it is the same question.
    #[test]
    fn what_its_shape_asks() {
        let snapshot = Snapshot::read(CATALOG, &["public"]).unwrap();
        for sql in ["SELECT note FROM orders WHERE id = 7", "UPDATE refunds SET amount = 3 WHERE id = '9'"] {
            let shape = Shape::of(sql).unwrap();
            let judgement = judge(&shape.sql, &snapshot, &Policy::default()).unwrap();
            assert_eq!(shown(&judgement, &shape.literals), asked(sql), "{sql}");
        }
    }

    /// One question for each table and way, with the columns, and the values that the text says for certain.
    #[test]
    fn what_a_statement_asks() {
        for (sql, expected) in [
            ("SELECT 1", &[][..]),
            (
                "SELECT note FROM orders WHERE id = 7",
                &[r#"sql.select orders.public.orders {"columns":["id","note"],"id":7}"#],
            ),
            (
                "SELECT note FROM orders WHERE id = '07'",
                &[r#"sql.select orders.public.orders {"columns":["id","note"]}"#],
            ),
            (
                "SELECT note FROM notes",
                &[
                    r#"sql.select orders.public.notes {"columns":["note"]}"#,
                    r#"sql.select orders.public.orders {"columns":["note"]}"#,
                ],
            ),
            // Neither the sequence of its default nor the foreign key's look at orders.
            (
                "INSERT INTO refunds (order_id, amount) VALUES (1, 5.25)",
                &[r#"sql.insert orders.public.refunds {"amount":5.25,"columns":["amount","order_id"]}"#],
            ),
            (
                "INSERT INTO refunds (amount) VALUES (1), (2)",
                &[r#"sql.insert orders.public.refunds {"columns":["amount"]}"#],
            ),
            (
                "UPDATE refunds SET amount = 3 WHERE id = 9",
                &[
                    r#"sql.select orders.public.refunds {"columns":["id"],"id":9}"#,
                    r#"sql.update orders.public.refunds {"amount":3,"row_id":"9"}"#,
                ],
            ),
            // What goes with it by cascade is asked for too.
            ("DELETE FROM orders", &["sql.delete orders.public.lines {}", "sql.delete orders.public.orders {}"]),
            ("SELECT relname FROM pg_catalog.pg_class, pg_catalog.pg_namespace", &["sql.catalog orders.pg_catalog {}"]),
        ] {
            assert_eq!(asked(sql), expected, "{sql}");
        }
    }
}
