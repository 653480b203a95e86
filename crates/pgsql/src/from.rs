//! FROM: tables, subqueries, functions, joins.

use crate::builtins;
use crate::catalog::Relation;
use crate::judgement::Access;
use crate::names::string;
use crate::output::alias_columns;
use crate::refusal::{Reason, Refusal};
use crate::walker::{Done, Item, Output, Walker};
use pg_query::protobuf::{Alias, JoinExpr, RangeVar};
use pg_query::{Node, NodeEnum};
use std::borrow::Cow;

impl<'c> Walker<'c> {
    /// Add the items of a FROM clause to the current scope.
    pub fn open_from(&mut self, nodes: &[Node]) -> Done {
        nodes.iter().try_for_each(|n| self.open_item(n))
    }

    pub fn open_item(&mut self, node: &Node) -> Done {
        self.deeper(|w| w.open_item_inner(node))
    }

    fn open_item_inner(&mut self, node: &Node) -> Done {
        match node.node.as_ref() {
            Some(NodeEnum::RangeVar(range)) => self.range_var(range),
            Some(NodeEnum::JoinExpr(join)) => self.join(join),
            Some(NodeEnum::RangeSubselect(sub)) => {
                let Some(query) = sub.subquery.as_deref() else { return Ok(()) };
                let output = self.beside(sub.lateral, |w| w.query_node(query))?;
                self.add_derived(sub.alias.as_ref(), output);
                Ok(())
            }
            Some(NodeEnum::RangeFunction(function)) => {
                self.range_functions(&function.functions)?;
                let alias = function.alias.as_ref();
                let mut output = Output::any();
                for column in &function.coldeflist {
                    if let Some(NodeEnum::ColumnDef(def)) = &column.node {
                        output.names.push(def.colname.clone());
                        if let Some(type_name) = &def.type_name {
                            self.type_name(&type_name.names)?;
                        }
                    }
                }
                self.add_derived(alias, output);
                Ok(())
            }
            Some(NodeEnum::RangeTableSample(sample)) => {
                let method = sample.method.last().and_then(string).unwrap_or_default();
                if !matches!(method, "bernoulli" | "system") {
                    return Err(Refusal::new(Reason::FunctionNotListed, method));
                }
                if let Some(relation) = sample.relation.as_deref() {
                    self.open_item(relation)?;
                }
                self.exprs(&sample.args)?;
                self.opt(sample.repeatable.as_deref())
            }
            Some(NodeEnum::RangeTableFunc(table)) => {
                self.opt(table.docexpr.as_deref())?;
                self.opt(table.rowexpr.as_deref())?;
                self.exprs(&table.namespaces)?;
                for column in &table.columns {
                    if let Some(NodeEnum::RangeTableFuncCol(column)) = &column.node {
                        self.opt(column.colexpr.as_deref())?;
                        self.opt(column.coldefexpr.as_deref())?;
                    }
                }
                self.add_derived(table.alias.as_ref(), Output::any());
                Ok(())
            }
            Some(NodeEnum::JsonTable(table)) => {
                if let Some(item) = &table.context_item {
                    self.json_value(item)?;
                }
                self.exprs(&table.passing)?;
                self.json_columns(&table.columns)?;
                self.add_derived(table.alias.as_ref(), Output::any());
                Ok(())
            }
            _ => Err(Self::not_understood("FROM item".into())),
        }
    }

    /// A table, a view or a CTE.
    fn range_var(&mut self, range: &RangeVar) -> Done {
        if range.schemaname.is_empty()
            && range.catalogname.is_empty()
            && let Some(output) = self.ctes.iter().rev().find_map(|c| c.get(&range.relname))
        {
            let output = output.clone();
            let alias = range.alias.clone().unwrap_or_else(|| named(&range.relname));
            self.add_derived(Some(&alias), output);
            return Ok(());
        }
        let relation = self.resolve(range)?;
        self.open(relation, range.inh)?;
        self.add_relation(relation, range.alias.as_ref());
        Ok(())
    }

    /// Put a relation into the current scope.
    pub fn add_relation(&mut self, relation: &'c Relation, alias: Option<&Alias>) {
        let renamed = alias_columns(alias);
        let names = if renamed.is_empty() {
            Cow::Borrowed(relation.columns.as_slice())
        } else {
            Cow::Owned(Output { names: relation.columns.clone(), open: false }.renamed(renamed).names)
        };
        *self.met.entry(relation.full_name()).or_default() += 1;
        self.add_item(Item {
            alias: alias.map_or_else(|| relation.name.clone(), |a| a.aliasname.clone()),
            schema: alias.is_none().then(|| relation.schema.clone()),
            relation: Some(relation),
            names,
            // Columns of the catalogs differ from version to version, and are no one's data.
            open: builtins::catalog_schema(&relation.schema),
            qualified: false,
            members: Vec::new(),
        });
    }

    pub fn add_derived(&mut self, alias: Option<&Alias>, output: Output) {
        let output = output.renamed(alias_columns(alias));
        self.add_item(Item {
            alias: alias.map(|a| a.aliasname.clone()).unwrap_or_default(),
            schema: None,
            relation: None,
            names: output.names.into(),
            open: output.open,
            qualified: false,
            members: Vec::new(),
        });
    }

    /// Only what is LATERAL sees what stands beside it.
    fn beside<T>(&mut self, lateral: bool, then: impl FnOnce(&mut Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        if lateral {
            return then(self);
        }
        let hidden = self.scopes.last_mut().map(std::mem::take);
        let done = then(self);
        if let (Some(scope), Some(hidden)) = (self.scopes.last_mut(), hidden) {
            *scope = hidden;
        }
        done
    }

    fn join(&mut self, join: &JoinExpr) -> Done {
        let start = self.scopes.last().map_or(0, Vec::len);
        for side in [join.larg.as_deref(), join.rarg.as_deref()].into_iter().flatten() {
            self.open_item(side)?;
        }
        let Some(scope) = self.scopes.last_mut() else { return Ok(()) };
        // A condition sees the two sides, and what is outside; not what stands before the join.
        let own = scope.split_off(start.min(scope.len()));
        let before = std::mem::replace(scope, own);
        let using: Vec<&str> = join.using_clause.iter().filter_map(string).collect();
        let done = self.join_columns(&using, join.is_natural).and_then(|()| self.opt(join.quals.as_deref()));
        let own = self.scopes.last_mut().map(|s| std::mem::replace(s, before)).unwrap_or_default();
        if let Some(alias) = &join.alias {
            // Under an alias only the whole is seen.
            let names = own.iter().flat_map(|i| i.names.iter().cloned()).collect();
            let renamed = !alias.colnames.is_empty();
            let open = renamed || own.iter().any(|i| i.open);
            self.add_item(Item {
                alias: alias.aliasname.clone(),
                schema: None,
                relation: None,
                names,
                open,
                qualified: false,
                members: own,
            });
        } else {
            if let Some(alias) = &join.join_using_alias {
                self.add_item(Item {
                    alias: alias.aliasname.clone(),
                    schema: None,
                    relation: None,
                    names: using.iter().map(|&n| n.to_owned()).collect(),
                    open: false,
                    qualified: true,
                    members: own.clone(),
                });
            }
            for item in own {
                self.add_item(item);
            }
        }
        done
    }

    #[allow(clippy::unnecessary_wraps)]
    fn join_columns(&mut self, using: &[&str], natural: bool) -> Done {
        let items = self.scopes.last().cloned().unwrap_or_default();
        for item in items {
            let columns = item.all();
            let wanted = columns.into_iter().zip(item.names.iter().chain(std::iter::repeat(&item.alias)));
            let wanted: Vec<_> =
                wanted.filter(|(_, seen)| natural || using.contains(&seen.as_str())).map(|(c, _)| c).collect();
            // A join under an alias may have renamed them: all of it then.
            let wanted = if !item.members.is_empty() && (natural || !using.is_empty()) { item.all() } else { wanted };
            self.read(wanted);
        }
        Ok(())
    }

    #[allow(clippy::unnecessary_wraps)]
    /// `FOR UPDATE` and the like lock rows of the tables named, or of all.
    pub fn locking(&mut self, clauses: &[Node]) -> Done {
        if clauses.is_empty() {
            return Ok(());
        }
        let items = self.scopes.last().cloned().unwrap_or_default();
        for relation in items.iter().filter_map(|i| i.relation) {
            self.touch(relation, Access::Lock, []);
        }
        Ok(())
    }
}

fn named(name: &str) -> Alias {
    Alias { aliasname: name.to_owned(), colnames: Vec::new() }
}
