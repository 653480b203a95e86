//! A catalog read from a live server at one moment.

use crate::catalog::{Catalog, Function, Relation};
use ahash::AHashMap;
use serde::Deserialize;
use thiserror::Error;

/// The query that reads a snapshot: one row, one text column, for [`Snapshot::read`]. Run it with
/// `search_path` set to nothing, so that view definitions name everything in full.
pub const SNAPSHOT_SQL: &str = include_str!("snapshot.sql");

/// The text was not what [`SNAPSHOT_SQL`] gives.
#[derive(Debug, Error)]
#[error("the catalog's snapshot could not be read: {0}")]
pub struct SnapshotError(#[from] serde_json::Error);

#[derive(Deserialize)]
struct Raw {
    database: String,
    relations: Vec<Relation>,
    functions: Vec<Function>,
    operators: Vec<(String, String, String)>,
    types: Vec<(String, String, String)>,
}

type Named<T> = AHashMap<String, T>;

/// One moment of a database's catalog.
#[derive(Debug, Clone)]
pub struct Snapshot {
    database: String,
    path: Vec<String>,
    relations: Vec<Relation>,
    by_oid: AHashMap<u32, usize>,
    by_name: Named<Named<usize>>,
    functions: Named<Named<Vec<Function>>>,
    operators: Named<Vec<(String, String)>>,
    types: Named<Vec<(String, String)>>,
}

impl Snapshot {
    /// Read what [`SNAPSHOT_SQL`] gave, for sessions whose search path is pinned to `path`.
    ///
    /// # Errors
    /// The text is not such a snapshot.
    pub fn read(json: &str, path: &[&str]) -> Result<Self, SnapshotError> {
        let raw: Raw = serde_json::from_str(json)?;
        let mut by_oid = AHashMap::with_capacity(raw.relations.len());
        let mut by_name: Named<Named<usize>> = AHashMap::new();
        for (at, relation) in raw.relations.iter().enumerate() {
            by_oid.insert(relation.oid, at);
            by_name.entry(relation.schema.clone()).or_default().insert(relation.name.clone(), at);
        }
        let mut functions: Named<Named<Vec<Function>>> = AHashMap::new();
        for function in raw.functions {
            let of = functions.entry(function.schema.clone()).or_default();
            of.entry(function.name.clone()).or_default().push(function);
        }
        let gather = |rows: Vec<(String, String, String)>| {
            let mut map: Named<Vec<(String, String)>> = AHashMap::new();
            for (key, schema, name) in rows {
                map.entry(key).or_default().push((schema, name));
            }
            map
        };
        Ok(Self {
            database: raw.database,
            path: path.iter().map(|&s| s.to_owned()).collect(),
            relations: raw.relations,
            by_oid,
            by_name,
            functions,
            operators: gather(raw.operators),
            types: gather(raw.types),
        })
    }

    /// All relations.
    pub fn relations(&self) -> &[Relation] {
        &self.relations
    }
}

impl Catalog for Snapshot {
    fn database(&self) -> &str {
        &self.database
    }

    fn search_path(&self) -> &[String] {
        &self.path
    }

    fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations.get(*self.by_name.get(schema)?.get(name)?)
    }

    fn relation_by_oid(&self, oid: u32) -> Option<&Relation> {
        self.relations.get(*self.by_oid.get(&oid)?)
    }

    fn functions(&self, schema: &str, name: &str) -> &[Function] {
        self.functions.get(schema).and_then(|of| of.get(name)).map_or(&[], Vec::as_slice)
    }

    fn operator_functions(&self, operator: &str) -> &[(String, String)] {
        self.operators.get(operator).map_or(&[], Vec::as_slice)
    }

    fn type_functions(&self, type_name: &str) -> &[(String, String)] {
        self.types.get(type_name).map_or(&[], Vec::as_slice)
    }
}
