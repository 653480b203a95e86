//! Expressions.

use crate::judgement::{How, Source};
use crate::literal;
use crate::names::string;
use crate::walker::{Done, Pair, Walker};
use pg_query::protobuf::{AExpr, AExprKind};
use pg_query::{Node, NodeEnum};

impl Walker<'_> {
    pub fn exprs(&mut self, nodes: &[Node]) -> Done {
        nodes.iter().try_for_each(|n| self.expr(n))
    }

    pub fn opt(&mut self, node: Option<&Node>) -> Done {
        node.map_or(Ok(()), |n| self.expr(n))
    }

    pub fn expr(&mut self, node: &Node) -> Done {
        self.deeper(|w| w.expr_inner(node))
    }

    fn expr_inner(&mut self, node: &Node) -> Done {
        let Some(inner) = node.node.as_ref() else { return Ok(()) };
        match inner {
            NodeEnum::AConst(constant) => {
                if let Some(source) = literal::source(constant) {
                    self.value(source);
                }
                Ok(())
            }
            NodeEnum::ParamRef(param) => {
                let number = u32::try_from(param.number).unwrap_or(0);
                self.out.parameters = self.out.parameters.max(number);
                self.value(Source::Parameter(number));
                Ok(())
            }
            NodeEnum::ColumnRef(column) => self.column_ref(&column.fields),
            NodeEnum::AExpr(e) => self.a_expr(e),
            NodeEnum::BoolExpr(e) => self.exprs(&e.args),
            NodeEnum::FuncCall(call) => self.func_call(call),
            NodeEnum::TypeCast(cast) => {
                if let Some(type_name) = &cast.type_name {
                    self.type_name(&type_name.names)?;
                }
                self.opt(cast.arg.as_deref())
            }
            NodeEnum::SubLink(link) => {
                self.operator(&link.oper_name)?;
                self.opt(link.testexpr.as_deref())?;
                match link.subselect.as_deref() {
                    Some(query) => self.paired(None, |w| w.query_node(query)).map(|_| ()),
                    None => Ok(()),
                }
            }
            NodeEnum::CaseExpr(case) => {
                self.opt(case.arg.as_deref())?;
                self.exprs(&case.args)?;
                self.opt(case.defresult.as_deref())
            }
            NodeEnum::CaseWhen(when) => {
                self.opt(when.expr.as_deref())?;
                self.opt(when.result.as_deref())
            }
            NodeEnum::AIndirection(e) => {
                self.opt(e.arg.as_deref())?;
                for step in &e.indirection {
                    match &step.node {
                        // A field of a row; or a function in that notation, where there is one.
                        Some(NodeEnum::String(s)) => self.field(&s.sval)?,
                        Some(NodeEnum::AStar(_)) => {}
                        _ => self.expr(step)?,
                    }
                }
                Ok(())
            }
            NodeEnum::AIndices(e) => {
                self.opt(e.lidx.as_deref())?;
                self.opt(e.uidx.as_deref())
            }
            NodeEnum::AArrayExpr(e) => self.exprs(&e.elements),
            NodeEnum::RowExpr(e) => self.exprs(&e.args),
            NodeEnum::List(list) => self.exprs(&list.items),
            NodeEnum::CoalesceExpr(e) => self.exprs(&e.args),
            NodeEnum::MinMaxExpr(e) => self.exprs(&e.args),
            NodeEnum::NullTest(e) => self.opt(e.arg.as_deref()),
            NodeEnum::BooleanTest(e) => self.opt(e.arg.as_deref()),
            NodeEnum::CollateClause(e) => self.opt(e.arg.as_deref()),
            NodeEnum::NamedArgExpr(e) => self.opt(e.arg.as_deref()),
            NodeEnum::GroupingFunc(e) => self.exprs(&e.args),
            NodeEnum::GroupingSet(e) => self.exprs(&e.content),
            NodeEnum::MultiAssignRef(e) => self.opt(e.source.as_deref()),
            NodeEnum::SortBy(e) => {
                self.operator(&e.use_op)?;
                self.opt(e.node.as_deref())
            }
            NodeEnum::SqlvalueFunction(_)
            | NodeEnum::SetToDefault(_)
            | NodeEnum::MergeSupportFunc(_)
            | NodeEnum::AStar(_) => Ok(()),
            _ => self.special(inner),
        }
    }

    /// A function may stand where a row's field does.
    fn field(&mut self, name: &str) -> Done {
        let catalog = self.catalog;
        let path = self.path();
        for schema in path {
            for function in catalog.functions(schema, name) {
                if !function.extension && function.least <= 1 && function.most >= 1 {
                    self.function_by_name(&function.schema, name)?;
                }
            }
        }
        Ok(())
    }

    /// An operator: what stands on one side is compared with the columns on the other.
    fn a_expr(&mut self, e: &AExpr) -> Done {
        self.operator(&e.name)?;
        let name = match AExprKind::try_from(e.kind) {
            Ok(AExprKind::AexprIn) => "IN".to_owned(),
            Ok(AExprKind::AexprBetween | AExprKind::AexprBetweenSym) => "BETWEEN".to_owned(),
            Ok(AExprKind::AexprNotBetween | AExprKind::AexprNotBetweenSym) => "NOT BETWEEN".to_owned(),
            Ok(AExprKind::AexprDistinct) => "IS DISTINCT FROM".to_owned(),
            Ok(AExprKind::AexprNotDistinct) => "IS NOT DISTINCT FROM".to_owned(),
            _ => e.name.last().and_then(string).unwrap_or_default().to_owned(),
        };
        let left = e.lexpr.as_deref().map(|n| self.columns_of(n)).unwrap_or_default();
        let right = e.rexpr.as_deref().map(|n| self.columns_of(n)).unwrap_or_default();
        let outer = self.pair.clone();
        let of = |columns: Vec<_>| {
            if columns.is_empty() { outer.clone() } else { Some(Pair { columns, how: How::Compared(name.clone()) }) }
        };
        // Within an assignment the assignment is what counts: `SET total = total + $1`.
        let assigned = matches!(&outer, Some(p) if p.how == How::Assigned);
        let (for_left, for_right) = if assigned { (outer.clone(), outer.clone()) } else { (of(right), of(left)) };
        self.paired(for_left, |w| w.opt(e.lexpr.as_deref()))?;
        self.paired(for_right, |w| w.opt(e.rexpr.as_deref()))
    }
}
