//! What the columns of a subquery are called.

use crate::names::string;
use crate::walker::{Output, Walker};
use pg_query::protobuf::{Alias, SelectStmt};
use pg_query::{Node, NodeEnum};

impl Walker<'_> {
    /// The names of a target list, as they are seen from outside. Needs the scope of its query.
    pub fn target_names(&self, targets: &[Node]) -> Output {
        let mut out = Output::default();
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = &target.node else { continue };
            if !target.name.is_empty() {
                out.names.push(target.name.clone());
                continue;
            }
            #[allow(clippy::single_match_else)]
            match target.val.as_deref().and_then(|v| v.node.as_ref()) {
                Some(NodeEnum::ColumnRef(c)) => match c.fields.last().map(|f| (string(f), c.fields.len())) {
                    Some((Some(name), _)) => out.names.push(name.to_owned()),
                    Some((None, fields)) => self.star_names(c.fields.get(fields.wrapping_sub(2)), &mut out),
                    None => out.open = true,
                },
                // PostgreSQL names expressions by rules of its own: any name may be one of these.
                _ => {
                    out.names.push(String::new());
                    out.open = true;
                }
            }
        }
        out
    }

    fn star_names(&self, table: Option<&Node>, out: &mut Output) {
        let Some(scope) = self.scopes.last() else { return };
        let table = table.and_then(string);
        for item in scope.iter().filter(|i| table.map_or(!i.qualified, |t| i.alias == t)) {
            out.names.extend(item.names.iter().cloned());
            out.open |= item.open;
        }
    }

    /// `VALUES` gives `column1` and on.
    pub fn values_names(select: &SelectStmt) -> Output {
        let width = match select.values_lists.first().and_then(|n| n.node.as_ref()) {
            Some(NodeEnum::List(list)) => list.items.len(),
            _ => 0,
        };
        Output { names: (1..=width).map(|n| format!("column{n}")).collect(), open: false }
    }
}

impl Output {
    /// Anything may be in it.
    pub const fn any() -> Self {
        Self { names: Vec::new(), open: true }
    }

    /// Rename the first columns as an alias says.
    pub fn renamed(mut self, names: impl IntoIterator<Item = String>) -> Self {
        for (at, name) in names.into_iter().enumerate() {
            match self.names.get_mut(at) {
                Some(slot) => *slot = name,
                None => self.names.push(name),
            }
        }
        self
    }
}

/// The column names of an alias.
pub fn alias_columns(alias: Option<&Alias>) -> Vec<String> {
    alias.map(|a| a.colnames.iter().filter_map(string).map(str::to_owned).collect()).unwrap_or_default()
}
