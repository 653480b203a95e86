//! Which column a name means. Where it could be several, all count.

use crate::catalog::Relation;
use crate::judgement::{Access, TableName};
use crate::refusal::{Reason, Refusal};
use crate::walker::{Done, Item, Walker};
use pg_query::{Node, NodeEnum};

const SYSTEM: &[&str] = &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// What a name was found to be.
pub enum Found<'c> {
    /// Columns of relations; none where it is a subquery's column.
    Columns(Vec<(&'c Relation, &'c str)>),
    /// Whole rows of these.
    Rows(Vec<Item<'c>>),
    /// A function in the notation of a column, on rows of this.
    Call(Item<'c>, String),
    /// Nothing in scope.
    Nothing,
}

impl<'c> Item<'c> {
    /// The column's own name at its relation, or nothing for a subquery's; outer None where there is none.
    fn find(&self, column: &str) -> Option<Vec<(&'c Relation, &'c str)>> {
        if !self.members.is_empty() {
            let found: Vec<_> = self.members.iter().filter_map(|m| m.find(column)).collect();
            // A join's alias may rename: what is not found by name may be any of its columns.
            return if found.is_empty() { self.open.then(|| self.all()) } else { Some(found.concat()) };
        }
        let at = self.names.iter().position(|n| n == column);
        match self.relation {
            Some(relation) => match at.and_then(|at| relation.columns.get(at)) {
                Some(own) => Some(vec![(relation, own.as_str())]),
                None => SYSTEM.iter().find(|known| **known == column).map(|known| vec![(relation, *known)]),
            },
            None => at.map(|_| Vec::new()),
        }
    }

    /// All its columns.
    pub fn all(&self) -> Vec<(&'c Relation, &'c str)> {
        let own = self.relation.into_iter().flat_map(|r| r.columns.iter().map(move |c| (r, c.as_str())));
        own.chain(self.members.iter().flat_map(Item::all)).collect()
    }
}

impl<'c> Walker<'c> {
    /// What the fields of a column reference mean, from the innermost scope outwards.
    pub fn lookup(&self, fields: &[&str]) -> Found<'c> {
        match fields {
            [column] => self.lookup_column(column),
            [table, column] => self.lookup_in(|i| i.alias == *table, column),
            [schema, table, column] => {
                self.lookup_in(|i| i.alias == *table && i.schema.as_deref() == Some(schema), column)
            }
            [database, schema, table, column] if *database == self.catalog.database() => {
                self.lookup_in(|i| i.alias == *table && i.schema.as_deref() == Some(schema), column)
            }
            _ => Found::Nothing,
        }
    }

    fn lookup_column(&self, column: &str) -> Found<'c> {
        let mut open = false;
        for scope in self.scopes.iter().rev() {
            let visible = || scope.iter().filter(|i| !i.qualified);
            let hits: Vec<_> = visible().filter_map(|i| i.find(column)).collect();
            if !hits.is_empty() {
                return Found::Columns(hits.concat());
            }
            let rows: Vec<_> = scope.iter().filter(|i| i.alias == column).cloned().collect();
            if !rows.is_empty() {
                return Found::Rows(rows);
            }
            open |= visible().any(|i| i.open);
        }
        if open { Found::Columns(Vec::new()) } else { Found::Nothing }
    }

    fn lookup_in(&self, is: impl Fn(&Item<'c>) -> bool, column: &str) -> Found<'c> {
        for scope in self.scopes.iter().rev() {
            let Some(item) = scope.iter().find(|i| is(i)) else { continue };
            if let Some(found) = item.find(column) {
                return Found::Columns(found);
            }
            if item.open {
                return Found::Columns(Vec::new());
            }
            return Found::Call(item.clone(), column.to_owned());
        }
        Found::Nothing
    }

    /// Read a column reference.
    pub fn column_ref(&mut self, fields: &[Node]) -> Done {
        let mut names = Vec::with_capacity(fields.len());
        let mut star = false;
        for field in fields {
            match &field.node {
                Some(NodeEnum::String(s)) => names.push(s.sval.as_str()),
                Some(NodeEnum::AStar(_)) => star = true,
                _ => return Err(Self::not_understood("column reference".into())),
            }
        }
        if star {
            return self.star(&names);
        }
        match self.lookup(&names) {
            Found::Columns(columns) => self.read(columns),
            Found::Rows(items) => self.read(items.iter().flat_map(Item::all).collect()),
            Found::Call(item, function) => {
                self.read(item.all());
                return self.call_named(None, &function, 1);
            }
            Found::Nothing => return Err(Refusal::new(Reason::UnknownColumn, names.join("."))),
        }
        Ok(())
    }

    /// `*`, `t.*`: everything.
    fn star(&mut self, names: &[&str]) -> Done {
        let items: Vec<Item<'c>> = match names {
            [] => self.scopes.last().map(|s| s.iter().filter(|i| !i.qualified).cloned().collect()).unwrap_or_default(),
            [.., table] => {
                let scope = self.scopes.iter().rev().find_map(|s| s.iter().find(|i| i.alias == *table));
                match scope {
                    Some(item) => vec![item.clone()],
                    None => return Err(Refusal::new(Reason::UnknownRelation, names.join("."))),
                }
            }
        };
        self.read(items.iter().flat_map(Item::all).collect());
        Ok(())
    }

    pub fn read(&mut self, columns: Vec<(&'c Relation, &'c str)>) {
        for (relation, column) in columns {
            self.touch(relation, Access::Select, [column]);
        }
    }

    /// The columns that an expression is made of, outside of its subqueries, without reading them.
    pub fn columns_of(&self, node: &Node) -> Vec<(TableName, String)> {
        let mut found = Vec::new();
        self.gather_columns(node, &mut found, 8);
        found
    }

    fn gather_columns(&self, node: &Node, into: &mut Vec<(TableName, String)>, depth: usize) {
        if depth == 0 || into.len() > 64 {
            return;
        }
        let mut next = |n: &Node| self.gather_columns(n, into, depth - 1);
        match &node.node {
            Some(NodeEnum::ColumnRef(c)) => {
                let names: Vec<&str> = c.fields.iter().filter_map(string).collect();
                match self.lookup(&names) {
                    Found::Columns(columns) => {
                        into.extend(columns.into_iter().map(|(r, c)| (r.full_name(), c.to_owned())));
                    }
                    Found::Rows(items) => {
                        into.extend(items.iter().flat_map(Item::all).map(|(r, c)| (r.full_name(), c.to_owned())));
                    }
                    Found::Call(..) | Found::Nothing => {}
                }
            }
            Some(NodeEnum::TypeCast(c)) => c.arg.iter().for_each(|n| next(n)),
            Some(NodeEnum::CollateClause(c)) => c.arg.iter().for_each(|n| next(n)),
            Some(NodeEnum::FuncCall(c)) => c.args.iter().for_each(next),
            Some(NodeEnum::AExpr(e)) => e.lexpr.iter().chain(e.rexpr.iter()).for_each(|n| next(n)),
            Some(NodeEnum::CoalesceExpr(c)) => c.args.iter().for_each(next),
            Some(NodeEnum::RowExpr(r)) => r.args.iter().for_each(next),
            Some(NodeEnum::List(l)) => l.items.iter().for_each(next),
            Some(NodeEnum::AIndirection(i)) => i.arg.iter().for_each(|n| next(n)),
            _ => {}
        }
    }
}

/// A node's text, where it is a name.
pub fn string(node: &Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::String(s)) => Some(s.sval.as_str()),
        _ => None,
    }
}
