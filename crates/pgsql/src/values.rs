//! What columns are given, and to what the rows touched are confined: only what the text says for certain.

use crate::catalog::Relation;
use crate::judgement::{Access, Given, Source, TableName};
use crate::literal;
use crate::names::string;
use crate::walker::Walker;
use pg_query::protobuf::{AExprKind, BoolExprType, TypeName};
use pg_query::{Node, NodeEnum};

/// Types whose casts of a text leave its meaning as it is.
const PLAIN: &[&str] = &["text", "varchar", "numeric", "int2", "int4", "int8", "bool", "uuid", "date", "json"];

/// Conditions that one clause may hold its rows by.
const MOST: usize = 64;

impl Walker<'_> {
    /// A column is given what this node says; nothing, where it is given something that no node says.
    pub fn gives(&mut self, relation: &Relation, access: Access, column: &str, node: Option<&Node>) {
        let given = node.map_or(Given::Unknown, given);
        self.out.given.entry((relation.full_name(), access, column.to_owned())).or_default().push(given);
    }

    /// Note what the conditions of the current scope confine its rows to. Whether that holds is known at the end.
    pub fn confine(&mut self, condition: Option<&Node>) {
        let mut left: Vec<&Node> = condition.into_iter().collect();
        let mut seen = 0;
        while let Some(node) = left.pop() {
            seen += 1;
            if seen > MOST {
                return;
            }
            match &node.node {
                Some(NodeEnum::BoolExpr(all)) if all.boolop == BoolExprType::AndExpr as i32 => left.extend(&all.args),
                Some(NodeEnum::AExpr(e)) => {
                    let (Some(one), Some(other)) = (e.lexpr.as_deref(), e.rexpr.as_deref()) else { continue };
                    // A schema in the operator's name could make it another one.
                    let equals = e.name.len() == 1 && e.name.first().and_then(string) == Some("=");
                    let kind = AExprKind::try_from(e.kind);
                    if kind == Ok(AExprKind::AexprOp) && equals {
                        let by = |column: &Node, value: &Node| Some((self.own_column(column)?, vec![exact(value)?]));
                        if let Some(found) = by(one, other).or_else(|| by(other, one)) {
                            self.note_confined(found);
                        }
                    } else if kind == Ok(AExprKind::AexprIn)
                        && equals
                        && let Some(NodeEnum::List(list)) = &other.node
                        && let Some(values) = list.items.iter().map(exact).collect::<Option<Vec<_>>>()
                        && let Some(column) = self.own_column(one)
                    {
                        self.note_confined((column, values));
                    }
                }
                _ => {}
            }
        }
    }

    fn note_confined(&mut self, (key, values): ((TableName, String), Vec<Source>)) {
        // Two conditions on one column both hold; the first says enough.
        self.out.confined.entry(key).or_insert(values);
    }

    /// The column of a relation of the innermost scope, where the node is one and can be no other.
    fn own_column(&self, node: &Node) -> Option<(TableName, String)> {
        if !matches!(&node.node, Some(NodeEnum::ColumnRef(_))) {
            return None;
        }
        let mut columns = self.columns_of(node);
        let (table, column) = columns.pop().filter(|_| columns.is_empty())?;
        let here = |relation: &Relation| relation.full_name() == table;
        let own = self.scopes.last()?.iter().any(|item| item.members.is_empty() && item.relation.is_some_and(here));
        own.then_some((table, column))
    }

    /// A table that was met again elsewhere is touched there without these conditions.
    pub fn settle_confined(&mut self) {
        let met = &self.met;
        self.out.confined.retain(|(table, _), _| met.get(table) == Some(&1));
    }
}

fn given(node: &Node) -> Given {
    match &node.node {
        Some(NodeEnum::AConst(constant)) if constant.isnull => Given::Null,
        _ => exact(node).map_or(Given::Unknown, Given::Value),
    }
}

/// A constant or a parameter, with no more around it than a cast that leaves it what it is.
fn exact(node: &Node) -> Option<Source> {
    match node.node.as_ref()? {
        NodeEnum::AConst(constant) => literal::source(constant),
        NodeEnum::ParamRef(param) => {
            u32::try_from(param.number).ok().filter(|number| *number > 0).map(Source::Parameter)
        }
        NodeEnum::TypeCast(cast) => {
            let plain = plain(cast.type_name.as_ref()?);
            let inner = exact(cast.arg.as_deref()?)?;
            // A number may be rounded by its cast; a text is read, or refused.
            (plain && !matches!(inner, Source::Number(_))).then_some(inner)
        }
        _ => None,
    }
}

fn plain(name: &TypeName) -> bool {
    let words: Vec<&str> = name.names.iter().filter_map(string).collect();
    let [.., last] = words.as_slice() else { return false };
    let ours = words.len() == 1 || words.first() == Some(&"pg_catalog");
    // `-1` is no modifier at all: `varchar(3)` would cut.
    ours && PLAIN.contains(last) && name.typmods.is_empty() && name.array_bounds.is_empty() && !name.setof
}
