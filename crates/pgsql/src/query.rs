//! SELECT, VALUES, set operations, WITH.

use crate::names::string;
use crate::refusal::{Reason, Refusal};
use crate::walker::{Done, Output, Walker};
use ahash::AHashMap;
use pg_query::protobuf::{SelectStmt, WindowDef, WithClause};
use pg_query::{Node, NodeEnum};

impl Walker<'_> {
    /// Anything that gives rows: SELECT, VALUES, or a data-modifying statement in WITH.
    pub fn query_node(&mut self, node: &Node) -> Result<Output, Refusal> {
        match node.node.as_ref() {
            Some(NodeEnum::SelectStmt(select)) => self.select(select),
            Some(NodeEnum::InsertStmt(insert)) => self.insert(insert),
            Some(NodeEnum::UpdateStmt(update)) => self.update(update),
            Some(NodeEnum::DeleteStmt(delete)) => self.delete(delete),
            Some(NodeEnum::MergeStmt(merge)) => self.merge(merge),
            _ => Err(Self::not_understood("query".into())),
        }
    }

    pub fn select(&mut self, select: &SelectStmt) -> Result<Output, Refusal> {
        if let Some(into) = &select.into_clause {
            let name = into.rel.as_ref().map(|r| r.relname.clone()).unwrap_or_default();
            return Err(Refusal::new(Reason::Ddl, format!("SELECT INTO {name}")));
        }
        self.out.effects.insert(crate::judgement::Effect::Select);
        self.deeper(|w| w.with(select.with_clause.as_ref(), |w| w.scoped(|w| w.select_body(select))))
    }

    fn select_body(&mut self, select: &SelectStmt) -> Result<Output, Refusal> {
        let output = if let (Some(left), Some(right)) = (&select.larg, &select.rarg) {
            let output = self.select(left)?;
            self.select(right)?;
            output
        } else {
            self.open_from(&select.from_clause)?;
            for values in &select.values_lists {
                self.expr(values)?;
            }
            self.targets(&select.target_list)?;
            self.confine(select.where_clause.as_deref());
            self.opt(select.where_clause.as_deref())?;
            self.opt(select.having_clause.as_deref())?;
            let output = if select.values_lists.is_empty() {
                self.target_names(&select.target_list)
            } else {
                Self::values_names(select)
            };
            self.sorted(&select.group_clause, &output)?;
            self.sorted(&select.distinct_clause, &output)?;
            for window in &select.window_clause {
                if let Some(NodeEnum::WindowDef(window)) = &window.node {
                    self.window(window)?;
                }
            }
            output
        };
        self.sorted(&select.sort_clause, &output)?;
        self.opt(select.limit_offset.as_deref())?;
        self.opt(select.limit_count.as_deref())?;
        self.locking(&select.locking_clause)?;
        Ok(output)
    }

    /// A target list: each expression is read.
    pub fn targets(&mut self, targets: &[Node]) -> Done {
        for target in targets {
            match &target.node {
                Some(NodeEnum::ResTarget(target)) => self.opt(target.val.as_deref())?,
                _ => return Err(Self::not_understood("target list".into())),
            }
        }
        Ok(())
    }

    /// ORDER BY, GROUP BY, DISTINCT ON: a bare name may mean an output column.
    fn sorted(&mut self, nodes: &[Node], output: &Output) -> Done {
        for node in nodes {
            let (inner, operator) = match &node.node {
                Some(NodeEnum::SortBy(sort)) => (sort.node.as_deref(), &sort.use_op[..]),
                // DISTINCT without ON.
                None => continue,
                _ => (Some(node), &[][..]),
            };
            self.operator(operator)?;
            let Some(inner) = inner else { continue };
            if let Some(NodeEnum::ColumnRef(column)) = &inner.node
                && let [field] = column.fields.as_slice()
            {
                let is_output = string(field).is_some_and(|n| output.open || output.names.iter().any(|o| o == n));
                // It may be a column of a table as well, which then counts as read.
                match self.column_ref(&column.fields) {
                    Err(refusal) if refusal.reason == Reason::UnknownColumn && is_output => continue,
                    other => other?,
                }
                continue;
            }
            self.expr(inner)?;
        }
        Ok(())
    }

    pub fn window(&mut self, window: &WindowDef) -> Done {
        for node in &window.partition_clause {
            self.expr(node)?;
        }
        for node in &window.order_clause {
            self.expr(node)?;
        }
        self.opt(window.start_offset.as_deref())?;
        self.opt(window.end_offset.as_deref())
    }

    /// Do something with the CTEs of a WITH clause in sight.
    pub fn with<T>(
        &mut self,
        clause: Option<&WithClause>,
        then: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let Some(clause) = clause else { return then(self) };
        let mut first = AHashMap::new();
        if clause.recursive {
            // Each may name itself and those that follow.
            for cte in clause.ctes.iter().filter_map(cte) {
                first.insert(cte.ctename.clone(), Output::any());
            }
        }
        self.ctes.push(first);
        for node in &clause.ctes {
            let Some(cte) = cte(node) else { return Err(Self::not_understood("WITH".into())) };
            let Some(query) = cte.ctequery.as_deref() else { continue };
            let output = self.query_node(query)?;
            let mut output = output.renamed(cte.aliascolnames.iter().filter_map(string).map(str::to_owned));
            // SEARCH and CYCLE add columns.
            output.open |= cte.search_clause.is_some() || cte.cycle_clause.is_some();
            if let Some(last) = self.ctes.last_mut() {
                last.insert(cte.ctename.clone(), output);
            }
        }
        let done = then(self);
        self.ctes.pop();
        done
    }
}

fn cte(node: &Node) -> Option<&pg_query::protobuf::CommonTableExpr> {
    match &node.node {
        Some(NodeEnum::CommonTableExpr(cte)) => Some(cte),
        _ => None,
    }
}
