//! One reading of one statement: the scopes, the bounds, and what was found so far.

use crate::catalog::{Catalog, Relation};
use crate::judgement::{Access, Effect, How, Judgement, Source, TableName, Touch, Value, Via};
use crate::policy::Policy;
use crate::refusal::{Reason, Refusal};
use ahash::AHashMap;
use std::borrow::Cow;

pub type Done = Result<(), Refusal>;

/// Something in a FROM clause.
#[derive(Debug, Clone)]
pub struct Item<'c> {
    /// The name it goes by; empty where it has none.
    pub alias: String,
    /// Its schema, where it can be named with it.
    pub schema: Option<String>,
    /// The relation behind it; none for subqueries, functions, CTEs.
    pub relation: Option<&'c Relation>,
    /// The names of its columns, as they are seen here; in the relation's order.
    pub names: Cow<'c, [String]>,
    /// Whether it may have columns beyond `names`.
    pub open: bool,
    /// Whether only a qualified name finds it (`excluded`, `old`, `new`, a join's alias).
    pub qualified: bool,
    /// A join's alias stands for these.
    pub members: Vec<Item<'c>>,
}

/// The columns of a subquery or CTE.
#[derive(Debug, Clone, Default)]
pub struct Output {
    pub names: Vec<String>,
    pub open: bool,
}

/// What a value that is met next belongs to.
#[derive(Debug, Clone)]
pub struct Pair {
    pub columns: Vec<(TableName, String)>,
    pub how: How,
}

pub struct Walker<'c> {
    pub catalog: &'c dyn Catalog,
    pub policy: &'c Policy,
    pub out: Judgement,
    pub scopes: Vec<Vec<Item<'c>>>,
    pub ctes: Vec<AHashMap<String, Output>>,
    pub pair: Option<Pair>,
    /// On which way relations are reached now.
    pub via: Via,
    /// Views being read, outermost first.
    pub views: Vec<u32>,
    /// How often each relation was met, as itself or behind something else.
    pub met: AHashMap<TableName, usize>,
    depth: usize,
    nodes: usize,
}

impl<'c> Walker<'c> {
    pub fn new(catalog: &'c dyn Catalog, policy: &'c Policy) -> Self {
        Self {
            catalog,
            policy,
            out: Judgement { statements: 1, ..Judgement::default() },
            scopes: Vec::new(),
            ctes: Vec::new(),
            pair: None,
            via: Via::Direct,
            views: Vec::new(),
            met: AHashMap::new(),
            depth: 0,
            nodes: 0,
        }
    }

    /// Go one level deeper, within the bounds.
    pub fn deeper<T>(&mut self, then: impl FnOnce(&mut Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        self.depth += 1;
        self.nodes += 1;
        if self.depth > self.policy.limits.depth || self.nodes > self.policy.limits.nodes {
            return Err(Refusal::new(Reason::TooComplex, ""));
        }
        let done = then(self);
        self.depth -= 1;
        done
    }

    /// Do something in a scope of its own.
    pub fn scoped<T>(&mut self, then: impl FnOnce(&mut Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        self.scopes.push(Vec::new());
        let done = then(self);
        self.scopes.pop();
        done
    }

    /// Values met meanwhile belong to `pair`.
    pub fn paired<T>(
        &mut self,
        pair: Option<Pair>,
        then: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let before = std::mem::replace(&mut self.pair, pair);
        let done = then(self);
        self.pair = before;
        done
    }

    pub fn add_item(&mut self, item: Item<'c>) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(item);
        }
    }

    /// Note that a table is touched.
    pub fn touch<'n>(&mut self, relation: &Relation, access: Access, columns: impl IntoIterator<Item = &'n str>) {
        let via = self.via.clone();
        self.touch_via(relation, access, via, columns);
    }

    pub fn touch_via<'n>(
        &mut self,
        relation: &Relation,
        access: Access,
        via: Via,
        columns: impl IntoIterator<Item = &'n str>,
    ) {
        let effect = match access {
            Access::Select | Access::Lock => Effect::Select,
            Access::Insert => Effect::Insert,
            Access::Update => Effect::Update,
            Access::Delete | Access::Truncate => Effect::Delete,
        };
        self.out.effects.insert(effect);
        if relation.row_security {
            self.out.row_security.insert(relation.full_name());
        }
        let key = Touch { table: relation.full_name(), access, via };
        let known = self.out.tables.entry(key).or_default();
        for column in columns {
            if !known.contains(column) {
                known.insert(column.to_owned());
            }
        }
    }

    /// Note a value.
    pub fn value(&mut self, source: Source) {
        let (columns, how) = match &self.pair {
            Some(pair) => (pair.columns.clone(), pair.how.clone()),
            None => (Vec::new(), How::Free),
        };
        self.out.values.push(Value { source, columns, how });
    }

    pub const fn not_understood(what: String) -> Refusal {
        Refusal { reason: Reason::NotUnderstood, what }
    }
}
