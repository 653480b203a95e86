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
