//! INSERT, UPDATE, DELETE, MERGE.

use crate::catalog::{Relation, RelationKind};
use crate::judgement::{Access, How};
use crate::reach::Change;
use crate::refusal::{Reason, Refusal};
use crate::walker::{Done, Item, Output, Pair, Walker};
use pg_query::protobuf::{
    DeleteStmt, InsertStmt, MergeStmt, MergeWhenClause, OnConflictClause, RangeVar, ReturningClause, SelectStmt,
    UpdateStmt,
};
use pg_query::{Node, NodeEnum};

impl<'c> Walker<'c> {
    fn target(&mut self, range: Option<&RangeVar>) -> Result<(&'c Relation, bool), Refusal> {
        let Some(range) = range else { return Err(Self::not_understood("target".into())) };
        Ok((self.resolve(range)?, range.inh))
    }

    #[allow(clippy::unnecessary_wraps)] // what `paired` takes
    fn assigned(relation: &Relation, column: &str) -> Option<Pair> {
        Some(Pair { columns: vec![(relation.full_name(), column.to_owned())], how: How::Assigned })
    }

    pub fn insert(&mut self, insert: &InsertStmt) -> Result<Output, Refusal> {
        self.deeper(|w| w.with(insert.with_clause.as_ref(), |w| w.scoped(|w| w.insert_body(insert))))
    }

    fn insert_body(&mut self, insert: &InsertStmt) -> Result<Output, Refusal> {
        let (relation, inherit) = self.target(insert.relation.as_ref())?;
        let mut columns = Vec::new();
        for column in &insert.cols {
            let Some(NodeEnum::ResTarget(target)) = &column.node else {
                return Err(Self::not_understood("INSERT columns".into()));
            };
            Self::has_column(relation, &target.name)?;
            columns.push(target.name.clone());
            self.indirection(&target.indirection)?;
        }
        if columns.is_empty() {
            columns.clone_from(&relation.columns);
        }
        self.change(relation, Change::Insert, &columns, inherit)?;
        if let Some(source) = insert.select_stmt.as_deref() {
            match source.node.as_ref() {
                Some(NodeEnum::SelectStmt(select)) => self.insert_source(relation, &columns, select)?,
                _ => return Err(Self::not_understood("INSERT source".into())),
            }
        }
        self.add_relation(relation, insert.relation.as_ref().and_then(|r| r.alias.as_ref()));
        if let Some(conflict) = &insert.on_conflict_clause {
            self.on_conflict(relation, conflict, inherit)?;
        }
        self.returning(relation, insert.returning_clause.as_ref())
    }

    /// Constants of VALUES and of a SELECT's target list are given to columns by position.
    fn insert_source(&mut self, relation: &Relation, columns: &[String], select: &SelectStmt) -> Done {
        if select.values_lists.is_empty() || select.with_clause.is_some() || !select.sort_clause.is_empty() {
            let start = self.out.values.len();
            self.select(select)?;
            for column in columns {
                self.gives(relation, Access::Insert, column, None);
            }
            // Those that met no column of their own are what the target list gives.
            let given: Vec<_> = columns.iter().map(|c| (relation.full_name(), c.clone())).collect();
            for value in self.out.values.iter_mut().skip(start).filter(|v| v.columns.is_empty() && v.how == How::Free) {
                value.columns.clone_from(&given);
                value.how = How::Assigned;
            }
            return Ok(());
        }
        for row in &select.values_lists {
            let Some(NodeEnum::List(row)) = &row.node else { return Err(Self::not_understood("VALUES".into())) };
            for (at, column) in columns.iter().enumerate() {
                self.gives(relation, Access::Insert, column, row.items.get(at));
            }
            for (at, value) in row.items.iter().enumerate() {
                let pair = columns.get(at).and_then(|c| Self::assigned(relation, c));
                self.paired(pair, |w| w.expr(value))?;
            }
        }
        self.opt(select.limit_count.as_deref())?;
        self.opt(select.limit_offset.as_deref())
    }

    fn on_conflict(&mut self, relation: &'c Relation, conflict: &OnConflictClause, inherit: bool) -> Done {
        // Finding the conflict reads the key; DO UPDATE needs it in full.
        if let Some(infer) = &conflict.infer {
            for element in &infer.index_elems {
                if let Some(NodeEnum::IndexElem(element)) = &element.node {
                    if !element.name.is_empty() {
                        Self::has_column(relation, &element.name)?;
                        self.touch(relation, Access::Select, [element.name.as_str()]);
                    }
                    self.opt(element.expr.as_deref())?;
                }
            }
            self.opt(infer.where_clause.as_deref())?;
        }
        self.add_item(Item {
            alias: "excluded".into(),
            schema: None,
            relation: None,
            names: relation.columns.as_slice().into(),
            open: true,
            qualified: true,
            members: Vec::new(),
        });
        if !conflict.target_list.is_empty() {
            let columns = self.set(relation, &conflict.target_list)?;
            self.change(relation, Change::Update, &columns, inherit)?;
        }
        self.opt(conflict.where_clause.as_deref())
    }

    /// The columns of SET; their expressions are read.
    fn set(&mut self, relation: &'c Relation, targets: &[Node]) -> Result<Vec<String>, Refusal> {
        let mut columns = Vec::new();
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = &target.node else {
                return Err(Self::not_understood("SET".into()));
            };
            Self::has_column(relation, &target.name)?;
            columns.push(target.name.clone());
            self.indirection(&target.indirection)?;
            // A part of a column is not the column.
            let whole = target.val.as_deref().filter(|_| target.indirection.is_empty());
            self.gives(relation, Access::Update, &target.name, whole);
            self.paired(Self::assigned(relation, &target.name), |w| w.opt(target.val.as_deref()))?;
        }
        Ok(columns)
    }

    fn indirection(&mut self, steps: &[Node]) -> Done {
        for step in steps {
            if !matches!(&step.node, Some(NodeEnum::String(_) | NodeEnum::AStar(_))) {
                self.expr(step)?;
            }
        }
        Ok(())
    }

    fn has_column(relation: &Relation, column: &str) -> Done {
        if relation.columns.iter().any(|c| c == column) {
            return Ok(());
        }
        Err(Refusal::new(Reason::UnknownColumn, format!("{}.{column}", relation.full_name())))
    }

    pub fn update(&mut self, update: &UpdateStmt) -> Result<Output, Refusal> {
        self.deeper(|w| w.with(update.with_clause.as_ref(), |w| w.scoped(|w| w.update_body(update))))
    }

    fn update_body(&mut self, update: &UpdateStmt) -> Result<Output, Refusal> {
        let (relation, inherit) = self.target(update.relation.as_ref())?;
        self.add_relation(relation, update.relation.as_ref().and_then(|r| r.alias.as_ref()));
        self.open_from(&update.from_clause)?;
        let columns = self.set(relation, &update.target_list)?;
        self.change(relation, Change::Update, &columns, inherit)?;
        self.confine(update.where_clause.as_deref());
        self.opt(update.where_clause.as_deref())?;
        self.returning(relation, update.returning_clause.as_ref())
    }

    pub fn delete(&mut self, delete: &DeleteStmt) -> Result<Output, Refusal> {
        self.deeper(|w| w.with(delete.with_clause.as_ref(), |w| w.scoped(|w| w.delete_body(delete))))
    }

    fn delete_body(&mut self, delete: &DeleteStmt) -> Result<Output, Refusal> {
        let (relation, inherit) = self.target(delete.relation.as_ref())?;
        self.add_relation(relation, delete.relation.as_ref().and_then(|r| r.alias.as_ref()));
        self.open_from(&delete.using_clause)?;
        self.change(relation, Change::Delete, &[], inherit)?;
        self.confine(delete.where_clause.as_deref());
        self.opt(delete.where_clause.as_deref())?;
        self.returning(relation, delete.returning_clause.as_ref())
    }

    pub fn merge(&mut self, merge: &MergeStmt) -> Result<Output, Refusal> {
        self.deeper(|w| w.with(merge.with_clause.as_ref(), |w| w.scoped(|w| w.merge_body(merge))))
    }

    fn merge_body(&mut self, merge: &MergeStmt) -> Result<Output, Refusal> {
        let (relation, inherit) = self.target(merge.relation.as_ref())?;
        if relation.kind == RelationKind::View {
            self.open(relation, inherit)?;
        }
        if let Some(source) = merge.source_relation.as_deref() {
            self.open_item(source)?;
        }
        self.add_relation(relation, merge.relation.as_ref().and_then(|r| r.alias.as_ref()));
        self.touch(relation, Access::Select, []);
        self.opt(merge.join_condition.as_deref())?;
        for clause in &merge.merge_when_clauses {
            let Some(NodeEnum::MergeWhenClause(clause)) = &clause.node else {
                return Err(Self::not_understood("MERGE".into()));
            };
            self.merge_when(relation, clause, inherit)?;
        }
        self.returning(relation, merge.returning_clause.as_ref())
    }

    fn merge_when(&mut self, relation: &'c Relation, clause: &MergeWhenClause, inherit: bool) -> Done {
        use pg_query::protobuf::CmdType;
        self.opt(clause.condition.as_deref())?;
        match CmdType::try_from(clause.command_type) {
            Ok(CmdType::CmdInsert) => {
                let mut columns = Vec::new();
                for target in &clause.target_list {
                    if let Some(NodeEnum::ResTarget(target)) = &target.node {
                        Self::has_column(relation, &target.name)?;
                        columns.push(target.name.clone());
                    }
                }
                if columns.is_empty() {
                    columns.clone_from(&relation.columns);
                }
                for (at, column) in columns.iter().enumerate() {
                    self.gives(relation, Access::Insert, column, clause.values.get(at));
                }
                for (at, value) in clause.values.iter().enumerate() {
                    let pair = columns.get(at).and_then(|c| Self::assigned(relation, c));
                    self.paired(pair, |w| w.expr(value))?;
                }
                self.change(relation, Change::Insert, &columns, inherit)
            }
            Ok(CmdType::CmdUpdate) => {
                let columns = self.set(relation, &clause.target_list)?;
                self.change(relation, Change::Update, &columns, inherit)
            }
            Ok(CmdType::CmdDelete) => self.change(relation, Change::Delete, &[], inherit),
            Ok(CmdType::CmdNothing) => Ok(()),
            _ => Err(Self::not_understood("MERGE action".into())),
        }
    }

    /// RETURNING reads; `old` and `new`, or what they are renamed to, name rows of the target.
    fn returning(&mut self, relation: &'c Relation, clause: Option<&ReturningClause>) -> Result<Output, Refusal> {
        let Some(clause) = clause else { return Ok(Output::default()) };
        let renamed = clause.options.iter().filter_map(|o| match &o.node {
            Some(NodeEnum::ReturningOption(option)) => Some(option.value.clone()),
            _ => None,
        });
        for alias in ["old".to_owned(), "new".to_owned()].into_iter().chain(renamed) {
            self.add_item(Item {
                alias,
                schema: None,
                relation: Some(relation),
                names: relation.columns.as_slice().into(),
                open: false,
                qualified: true,
                members: Vec::new(),
            });
        }
        self.targets(&clause.exprs)?;
        Ok(self.target_names(&clause.exprs))
    }
}
