//! What a read or a write reaches beyond the table it names: functions, triggers, keys, policies.

use crate::builtins;
use crate::catalog::{Relation, RelationKind};
use crate::judgement::{Access, TableName, Via};
use crate::refusal::{Reason, Refusal};
use crate::walker::{Done, Walker};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// How many tables a chain of foreign keys may reach.
const CHAIN: usize = 200;

/// What changes in the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Insert,
    Update,
    Delete,
    Truncate,
}

impl Change {
    /// `pg_rewrite.ev_type`.
    const fn event(self) -> &'static str {
        match self {
            Self::Update => "2",
            Self::Insert => "3",
            Self::Delete => "4",
            Self::Truncate => "",
        }
    }

    /// The bit of `pg_trigger.tgtype`.
    const fn bit(self) -> u32 {
        match self {
            Self::Insert => 4,
            Self::Delete => 8,
            Self::Update => 16,
            Self::Truncate => 32,
        }
    }

    /// What it is in the children of a relation. A row of a partitioned table that is changed may move: it is deleted
    /// in one partition and inserted in another, with all that hangs on either.
    fn in_children_of(self, relation: &Relation) -> &'static [Self] {
        match self {
            Self::Update if relation.kind == RelationKind::Partitioned => &[Self::Update, Self::Delete, Self::Insert],
            Self::Update => &[Self::Update],
            Self::Insert => &[Self::Insert],
            Self::Delete => &[Self::Delete],
            Self::Truncate => &[Self::Truncate],
        }
    }

    pub const fn access(self) -> Access {
        match self {
            Self::Insert => Access::Insert,
            Self::Update => Access::Update,
            Self::Delete => Access::Delete,
            Self::Truncate => Access::Truncate,
        }
    }
}

impl<'c> Walker<'c> {
    /// Row security and what its policies read; functions of the table's own expressions.
    pub fn reach_of_reading(&mut self, relation: &'c Relation) -> Done {
        for (schema, name) in &relation.functions {
            self.function_by_name(schema, name)?;
        }
        if relation.row_security {
            for oid in &relation.policy_reads {
                let Some(read) = self.catalog.relation_by_oid(*oid) else { continue };
                let via = Via::RowSecurity(relation.full_name());
                if read.kind == RelationKind::View && !self.views.contains(&read.oid) {
                    self.expand(read)?;
                }
                self.touch_via(read, Access::Select, via, read.columns.iter().map(String::as_str));
            }
        }
        Ok(())
    }

    /// Open a relation for a change. `columns` are those given or changed.
    pub fn change(&mut self, relation: &'c Relation, change: Change, columns: &[String], inherit: bool) -> Done {
        if builtins::catalog_schema(&relation.schema) {
            return Err(Refusal::new(Reason::Catalog, relation.full_name().to_string()));
        }
        self.kind_allowed(relation)?;
        if relation.rules.iter().any(|r| r.event == change.event()) {
            return Err(Refusal::new(Reason::Rule, relation.full_name().to_string()));
        }
        let access = change.access();
        match relation.kind {
            RelationKind::Table | RelationKind::Partitioned | RelationKind::Foreign => {}
            RelationKind::View => return self.change_view(relation, change, columns),
            _ => return Err(Self::not_understood(relation.full_name().to_string())),
        }
        self.touch(relation, access, columns.iter().map(String::as_str));
        self.reach_of_reading(relation)?;
        self.fire(relation, change)?;
        for oid in if matches!(change, Change::Insert | Change::Update) { &relation.sequences[..] } else { &[] } {
            if let Some(sequence) = self.catalog.relation_by_oid(*oid) {
                self.touch_via(sequence, Access::Update, Via::Default(relation.full_name()), []);
            }
        }
        self.keys(relation, change, columns, &mut BTreeSet::new())?;
        if inherit || relation.kind == RelationKind::Partitioned {
            let each = |w: &mut Self, child: &'c Relation, via: Via| {
                w.kind_allowed(child)?;
                w.reach_of_reading(child)?;
                for way in change.in_children_of(relation) {
                    w.touch_via(child, way.access(), via.clone(), columns.iter().map(String::as_str));
                    w.fire(child, *way)?;
                    w.keys(child, *way, columns, &mut BTreeSet::new())?;
                }
                Ok(())
            };
            self.descend(relation, &each)?;
        }
        Ok(())
    }

    /// A change of a view is one of its tables; or its triggers stand in for it.
    fn change_view(&mut self, view: &'c Relation, change: Change, columns: &[String]) -> Done {
        self.touch(view, change.access(), columns.iter().map(String::as_str));
        if view.triggers.iter().any(|t| t.instead() && t.bits & change.bit() != 0) {
            self.fire(view, change)?;
            return self.expand(view);
        }
        self.expand(view)?;
        // Which of its tables takes the change is the server's rule (the one in FROM); all are named.
        let mine = Via::View(view.full_name());
        let under: Vec<TableName> = self
            .out
            .tables
            .keys()
            .filter(|t| t.via == mine && (t.access == Access::Select) && t.table != view.full_name())
            .map(|t| t.table.clone())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        self.views.push(view.oid);
        let via = std::mem::replace(&mut self.via, mine);
        let mut done = Ok(());
        for table in under {
            let Some(relation) = self.catalog.relation(&table.schema, &table.name) else { continue };
            if builtins::catalog_schema(&relation.schema) || self.views.contains(&relation.oid) {
                continue;
            }
            done = self.deeper(|w| w.change(relation, change, &relation.columns, true));
            if done.is_err() {
                break;
            }
        }
        self.via = via;
        self.views.pop();
        done
    }

    /// The triggers that a change fires: each is named, and its function is on the policy's list.
    fn fire(&mut self, relation: &Relation, change: Change) -> Done {
        for trigger in relation.triggers.iter().filter(|t| t.bits & change.bit() != 0) {
            let (schema, name) = &trigger.function;
            let function = format!("{schema}.{name}");
            let shown = format!("{}.{}", relation.full_name(), trigger.name);
            let builtin = schema == "pg_catalog"
                && matches!(name.as_str(), "suppress_redundant_updates_trigger" | "tsvector_update_trigger");
            if !builtin && !self.policy.triggers.contains(&function) {
                return Err(Refusal::new(Reason::TriggerNotListed, shown));
            }
            self.out.triggers.insert(shown);
            self.out.functions.insert(function);
        }
        Ok(())
    }

    /// What foreign keys read, and what their actions change.
    fn keys(&mut self, relation: &'c Relation, change: Change, columns: &[String], seen: &mut BTreeSet<u32>) -> Done {
        if !seen.insert(relation.oid) {
            return Ok(());
        }
        if seen.len() > CHAIN {
            return Err(Refusal::new(Reason::TooComplex, relation.full_name().to_string()));
        }
        let via = Via::ForeignKey(relation.full_name());
        if matches!(change, Change::Insert | Change::Update) {
            for key in &relation.references {
                if let Some(other) = self.catalog.relation_by_oid(key.other) {
                    self.key_reads(other, &via, &key.other_columns)?;
                }
            }
        }
        if change == Change::Insert {
            return Ok(());
        }
        for key in &relation.referenced {
            let Some(other) = self.catalog.relation_by_oid(key.other) else { continue };
            if change == Change::Update && !key.columns.iter().any(|c| columns.contains(c)) {
                continue;
            }
            self.key_reads(other, &via, &key.other_columns)?;
            let action = if change == Change::Update { &key.on_update } else { &key.on_delete };
            let follow = match (action.as_str(), change) {
                (_, Change::Truncate) => Some(Change::Truncate),
                ("c", Change::Delete) => Some(Change::Delete),
                ("c", Change::Update) | ("n" | "d", _) => Some(Change::Update),
                _ => None,
            };
            let Some(follow) = follow else { continue };
            let changed = if follow == Change::Update { key.other_columns.clone() } else { Vec::new() };
            if other.rules.iter().any(|r| r.event == follow.event()) {
                return Err(Refusal::new(Reason::Rule, other.full_name().to_string()));
            }
            self.touch_via(other, follow.access(), via.clone(), changed.iter().map(String::as_str));
            self.reach_of_reading(other)?;
            self.fire(other, follow)?;
            let leaves = RefCell::new(Vec::new());
            let children = |w: &mut Self, child: &'c Relation, _: Via| {
                leaves.borrow_mut().push(child);
                for way in follow.in_children_of(other) {
                    w.touch_via(child, way.access(), via.clone(), changed.iter().map(String::as_str));
                    w.fire(child, *way)?;
                }
                Ok(())
            };
            self.descend(other, &children)?;
            self.keys(other, follow, &changed, seen)?;
            if follow.in_children_of(other).len() > 1 {
                for leaf in leaves.into_inner() {
                    self.keys(leaf, Change::Delete, &changed, seen)?;
                }
            }
        }
        Ok(())
    }

    fn key_reads(&mut self, other: &'c Relation, via: &Via, columns: &[String]) -> Done {
        self.touch_via(other, Access::Select, via.clone(), columns.iter().map(String::as_str));
        let children = |w: &mut Self, child: &'c Relation, _: Via| {
            w.touch_via(child, Access::Select, via.clone(), columns.iter().map(String::as_str));
            Ok(())
        };
        self.descend(other, &children)
    }
}
