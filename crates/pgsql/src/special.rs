//! SQL/JSON and XML: forms with a syntax of their own.

use crate::walker::{Done, Walker};
use pg_query::protobuf::{JsonAggConstructor, JsonBehavior, JsonKeyValue, JsonOutput, JsonValueExpr};
use pg_query::{Node, NodeEnum};

impl Walker<'_> {
    pub fn special(&mut self, node: &NodeEnum) -> Done {
        match node {
            NodeEnum::XmlExpr(e) => {
                for named in &e.named_args {
                    match &named.node {
                        Some(NodeEnum::ResTarget(target)) => self.opt(target.val.as_deref())?,
                        _ => self.expr(named)?,
                    }
                }
                self.exprs(&e.args)
            }
            NodeEnum::XmlSerialize(e) => self.opt(e.expr.as_deref()),
            NodeEnum::ResTarget(target) => self.opt(target.val.as_deref()),
            NodeEnum::JsonFuncExpr(e) => {
                if let Some(item) = &e.context_item {
                    self.json_value(item)?;
                }
                self.opt(e.pathspec.as_deref())?;
                self.exprs(&e.passing)?;
                self.json_output(e.output.as_ref())?;
                self.behavior(e.on_empty.as_deref())?;
                self.behavior(e.on_error.as_deref())
            }
            NodeEnum::JsonValueExpr(e) => self.json_value(e),
            NodeEnum::JsonArgument(e) => e.val.as_deref().map_or(Ok(()), |v| self.json_value(v)),
            NodeEnum::JsonKeyValue(e) => self.key_value(e),
            NodeEnum::JsonObjectConstructor(e) => {
                self.json_output(e.output.as_ref())?;
                self.exprs(&e.exprs)
            }
            NodeEnum::JsonArrayConstructor(e) => {
                self.json_output(e.output.as_ref())?;
                self.exprs(&e.exprs)
            }
            NodeEnum::JsonArrayQueryConstructor(e) => {
                self.json_output(e.output.as_ref())?;
                match e.query.as_deref() {
                    Some(query) => self.query_node(query).map(|_| ()),
                    None => Ok(()),
                }
            }
            NodeEnum::JsonObjectAgg(e) => {
                self.aggregate(e.constructor.as_deref())?;
                e.arg.as_deref().map_or(Ok(()), |a| self.key_value(a))
            }
            NodeEnum::JsonArrayAgg(e) => {
                self.aggregate(e.constructor.as_deref())?;
                e.arg.as_deref().map_or(Ok(()), |a| self.json_value(a))
            }
            NodeEnum::JsonParseExpr(e) => {
                self.json_output(e.output.as_ref())?;
                e.expr.as_deref().map_or(Ok(()), |v| self.json_value(v))
            }
            NodeEnum::JsonScalarExpr(e) => {
                self.json_output(e.output.as_ref())?;
                self.opt(e.expr.as_deref())
            }
            NodeEnum::JsonSerializeExpr(e) => {
                self.json_output(e.output.as_ref())?;
                e.expr.as_deref().map_or(Ok(()), |v| self.json_value(v))
            }
            NodeEnum::JsonIsPredicate(e) => self.opt(e.expr.as_deref()),
            other => {
                let name = format!("{other:?}");
                let name = name.split(['(', ' ']).next().unwrap_or_default();
                Err(Self::not_understood(name.to_owned()))
            }
        }
    }

    pub fn json_value(&mut self, value: &JsonValueExpr) -> Done {
        self.opt(value.raw_expr.as_deref())?;
        self.opt(value.formatted_expr.as_deref())
    }

    pub fn json_columns(&mut self, columns: &[Node]) -> Done {
        for column in columns {
            let Some(NodeEnum::JsonTableColumn(column)) = &column.node else {
                return Err(Self::not_understood("JSON_TABLE column".into()));
            };
            if let Some(type_name) = &column.type_name {
                self.type_name(&type_name.names)?;
            }
            self.behavior(column.on_empty.as_deref())?;
            self.behavior(column.on_error.as_deref())?;
            self.deeper(|w| w.json_columns(&column.columns))?;
        }
        Ok(())
    }

    fn key_value(&mut self, pair: &JsonKeyValue) -> Done {
        self.opt(pair.key.as_deref())?;
        pair.value.as_deref().map_or(Ok(()), |v| self.json_value(v))
    }

    fn behavior(&mut self, behavior: Option<&JsonBehavior>) -> Done {
        behavior.map_or(Ok(()), |b| self.opt(b.expr.as_deref()))
    }

    fn json_output(&mut self, output: Option<&JsonOutput>) -> Done {
        let names = output.and_then(|o| o.type_name.as_ref()).map(|t| &t.names[..]);
        names.map_or(Ok(()), |n| self.type_name(n))
    }

    fn aggregate(&mut self, aggregate: Option<&JsonAggConstructor>) -> Done {
        let Some(aggregate) = aggregate else { return Ok(()) };
        self.json_output(aggregate.output.as_ref())?;
        self.opt(aggregate.agg_filter.as_deref())?;
        self.exprs(&aggregate.agg_order)?;
        aggregate.over.as_deref().map_or(Ok(()), |w| self.window(w))
    }
}
