//! Relations: found, opened for reading with all that they stand for.

use crate::builtins;
use crate::catalog::{Relation, RelationKind};
use crate::judgement::{Access, Via};
use crate::refusal::{Reason, Refusal};
use crate::walker::{Done, Walker};
use pg_query::protobuf::RangeVar;

/// How far partitions, views and keys are followed before a statement is too complex.
const REACH: usize = 2_000;

impl<'c> Walker<'c> {
    /// The relation that a name means. CTEs are looked up before.
    pub fn resolve(&self, range: &RangeVar) -> Result<&'c Relation, Refusal> {
        if !range.catalogname.is_empty() && range.catalogname != self.catalog.database() {
            return Err(Refusal::new(Reason::CrossDatabase, range.catalogname.clone()));
        }
        if range.schemaname.starts_with("pg_temp") || range.schemaname.starts_with("pg_toast") {
            return Err(Refusal::new(Reason::TemporaryTable, range.relname.clone()));
        }
        let found = self.resolve_name(&range.schemaname, &range.relname);
        found.ok_or_else(|| Refusal::new(Reason::UnknownRelation, shown(&range.schemaname, &range.relname)))
    }

    pub fn resolve_name(&self, schema: &str, name: &str) -> Option<&'c Relation> {
        let catalog = self.catalog;
        if !schema.is_empty() {
            return catalog.relation(schema, name);
        }
        let path = self.path();
        catalog.relation("pg_catalog", name).or_else(|| path.iter().find_map(|s| catalog.relation(s, name)))
    }

    /// The search path here: a view's definition names everything in full.
    pub fn path(&self) -> &'c [String] {
        if self.views.is_empty() { self.catalog.search_path() } else { &[] }
    }

    /// Whether the catalogs may be touched, where it is one of theirs.
    fn check_catalog(&self, relation: &Relation) -> Done {
        if !builtins::catalog_schema(&relation.schema) {
            return Ok(());
        }
        if builtins::secret_relation(&relation.name) {
            return Err(Refusal::new(Reason::CatalogSecret, relation.name.clone()));
        }
        if self.policy.catalog || !self.views.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(Reason::Catalog, relation.full_name().to_string()))
    }

    /// Open a relation for reading: its own name, its children, its view's tables, its policies.
    pub fn open(&mut self, relation: &'c Relation, inherit: bool) -> Done {
        self.check_catalog(relation)?;
        self.touch(relation, Access::Select, []);
        self.kind_allowed(relation)?;
        self.reach_of_reading(relation)?;
        if inherit {
            let reading = |w: &mut Self, child: &'c Relation, via: Via| {
                w.kind_allowed(child)?;
                w.touch_via(child, Access::Select, via, []);
                Ok(())
            };
            self.descend(relation, &reading)?;
        }
        if relation.kind == RelationKind::View && !builtins::catalog_schema(&relation.schema) {
            self.expand(relation)?;
        }
        Ok(())
    }

    pub fn kind_allowed(&self, relation: &Relation) -> Done {
        match relation.kind {
            RelationKind::Foreign if !self.policy.foreign_tables => {
                Err(Refusal::new(Reason::ForeignTable, relation.full_name().to_string()))
            }
            RelationKind::Other => Err(Self::not_understood(relation.full_name().to_string())),
            _ => Ok(()),
        }
    }

    /// Every partition and child, all the way down.
    pub fn descend(&mut self, relation: &'c Relation, then: &dyn Fn(&mut Self, &'c Relation, Via) -> Done) -> Done {
        let mut open: Vec<u32> = relation.children.clone();
        let mut seen = Vec::new();
        while let Some(oid) = open.pop() {
            if seen.contains(&oid) {
                continue;
            }
            seen.push(oid);
            if seen.len() > REACH {
                return Err(Refusal::new(Reason::TooComplex, relation.full_name().to_string()));
            }
            let Some(child) = self.catalog.relation_by_oid(oid) else { continue };
            then(self, child, Via::Parent(relation.full_name()))?;
            open.extend_from_slice(&child.children);
        }
        Ok(())
    }

    /// Read a view's definition: what it touches, the statement touches.
    pub fn expand(&mut self, view: &'c Relation) -> Done {
        if self.views.contains(&view.oid) {
            return Ok(());
        }
        let Some(definition) = &view.definition else {
            return Err(Self::not_understood(format!("view {}", view.full_name())));
        };
        let parsed = crate::judge::parse_one(definition, usize::MAX)?;
        let scopes = std::mem::take(&mut self.scopes);
        let ctes = std::mem::take(&mut self.ctes);
        let pair = self.pair.take();
        let via = std::mem::replace(&mut self.via, Via::View(view.full_name()));
        let values = self.out.values.len();
        self.views.push(view.oid);
        let done = self.deeper(|w| w.query_node(&parsed));
        self.views.pop();
        // The view's own literals are its author's, not the caller's.
        self.out.values.truncate(values);
        (self.scopes, self.ctes, self.pair, self.via) = (scopes, ctes, pair, via);
        done.map(|_| ())
    }
}

pub fn shown(schema: &str, name: &str) -> String {
    if schema.is_empty() { name.to_owned() } else { format!("{schema}.{name}") }
}
