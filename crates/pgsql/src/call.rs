//! Functions: which are called, and which of them may be.

use crate::builtins;
use crate::catalog::{Function, Volatility};
use crate::judgement::{Access, Effect, How};
use crate::literal;
use crate::names::string;
use crate::refusal::{Reason, Refusal};
use crate::walker::{Done, Pair, Walker};
use pg_query::protobuf::FuncCall;
use pg_query::{Node, NodeEnum};

impl Walker<'_> {
    /// A call with its arguments.
    pub fn func_call(&mut self, call: &FuncCall) -> Done {
        let names: Vec<&str> = call.funcname.iter().filter_map(string).collect();
        let (schema, name) = match names.as_slice() {
            [name] => (None, *name),
            [schema, name] => (Some(*schema), *name),
            [database, schema, name] if *database == self.catalog.database() => (Some(*schema), *name),
            _ => return Err(Refusal::new(Reason::CrossDatabase, names.join("."))),
        };
        // Ordered-set aggregates take what stands in WITHIN GROUP as arguments too.
        let within = if call.agg_within_group { call.agg_order.len() } else { 0 };
        self.call_special(name, &call.args)?;
        self.call_named(schema, name, call.args.len() + within)?;
        let pair = match &self.pair {
            Some(pair) if !pair.columns.is_empty() => Some(pair.clone()),
            _ => Some(Pair { columns: Vec::new(), how: How::Argument(name.to_owned()) }),
        };
        self.paired(pair, |w| w.exprs(&call.args))?;
        self.exprs(&call.agg_order)?;
        self.opt(call.agg_filter.as_deref())?;
        if let Some(window) = &call.over {
            self.window(window)?;
        }
        Ok(())
    }

    /// Every function that the name could mean with that many arguments must be allowed.
    pub fn call_named(&mut self, schema: Option<&str>, name: &str, args: usize) -> Done {
        let catalog = self.catalog;
        let path = self.path();
        let mut found = false;
        let schemas = match schema {
            Some(one) => vec![one],
            None => std::iter::once("pg_catalog").chain(path.iter().map(String::as_str)).collect(),
        };
        for schema in schemas {
            for function in catalog.functions(schema, name) {
                if (function.least..=function.most).contains(&args) {
                    found = true;
                    self.function(function)?;
                }
            }
        }
        if found {
            return Ok(());
        }
        if builtins::reaches_out(name) {
            return Err(Refusal::new(Reason::Dblink, name));
        }
        Err(Refusal::new(Reason::UnknownFunction, name))
    }

    /// A function that runs without being named: of a default, a check, an operator, a cast.
    pub fn function_by_name(&mut self, schema: &str, name: &str) -> Done {
        for function in self.catalog.functions(schema, name) {
            self.function(function)?;
        }
        Ok(())
    }

    /// The functions behind an operator that is not PostgreSQL's own.
    pub fn operator(&mut self, name: &[Node]) -> Done {
        let Some(operator) = name.last().and_then(string) else { return Ok(()) };
        for (schema, name) in self.catalog.operator_functions(operator) {
            self.function_by_name(schema, name)?;
        }
        Ok(())
    }

    /// The functions of a type's casts and of a domain's checks.
    pub fn type_name(&mut self, names: &[Node]) -> Done {
        let Some(name) = names.last().and_then(string) else { return Ok(()) };
        for (schema, name) in self.catalog.type_functions(name) {
            self.function_by_name(schema, name)?;
        }
        Ok(())
    }

    fn function(&mut self, function: &Function) -> Done {
        let full = format!("{}.{}", function.schema, function.name);
        let name = function.name.as_str();
        if !self.policy.functions.contains(&full) {
            let refuse = |reason| Err(Refusal::new(reason, full.clone()));
            if builtins::reaches_out(name) {
                return refuse(Reason::Dblink);
            }
            if builtins::large_object(name) && (function.builtin || function.extension) {
                return refuse(Reason::LargeObject);
            }
            let volatile = function.volatility == Volatility::Volatile;
            match (function.builtin, function.extension) {
                (true, _) if builtins::forbidden(name) => return refuse(Reason::FunctionForbidden),
                // Moving a sequence is noted as a change of the sequence; a setting is looked at by name.
                (true, _) if matches!(name, "nextval" | "set_config") => {}
                (true, _) if volatile && !builtins::harmless_volatile(name) => return refuse(Reason::FunctionWrites),
                (true, _) => {}
                (_, true) if !volatile => {}
                _ if volatile => return refuse(Reason::FunctionWrites),
                _ => return refuse(Reason::FunctionNotListed),
            }
        }
        if function.kind == "p" {
            self.out.effects.insert(Effect::Call);
        }
        self.out.functions.insert(full);
        Ok(())
    }

    /// `nextval` and `set_config` are judged by what their first argument names.
    fn call_special(&mut self, name: &str, args: &[Node]) -> Done {
        match name {
            "nextval" => {
                let text = args.first().and_then(literal::text);
                let parts = text.and_then(literal::qualified_name).unwrap_or_default();
                let found = match parts.as_slice() {
                    [name] => self.resolve_name("", name),
                    [schema, name] => self.resolve_name(schema, name),
                    _ => None,
                };
                let Some(sequence) = found else { return Err(Refusal::new(Reason::UnknownRelation, "nextval")) };
                self.touch(sequence, Access::Update, []);
                Ok(())
            }
            "currval" | "pg_sequence_last_value" => {
                let text = args.first().and_then(literal::text);
                let parts = text.and_then(literal::qualified_name).unwrap_or_default();
                let found = match parts.as_slice() {
                    [name] => self.resolve_name("", name),
                    [schema, name] => self.resolve_name(schema, name),
                    _ => None,
                };
                if let Some(sequence) = found {
                    self.touch(sequence, Access::Select, []);
                }
                Ok(())
            }
            "set_config" => {
                let setting = args.first().and_then(literal::text);
                let value = args.get(1).and_then(literal::text);
                match setting {
                    None => Err(Refusal::new(Reason::SettingNotListed, "set_config")),
                    Some(setting) => Self::setting(setting, value),
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether a setting may be set to this value.
    pub fn setting(name: &str, value: Option<&str>) -> Done {
        if builtins::pinned(name) {
            if value.is_some_and(|v| builtins::keeps_pin(name, v)) {
                return Ok(());
            }
            return Err(Refusal::new(Reason::PinnedSetting, name.to_ascii_lowercase()));
        }
        if builtins::harmless_setting(name) {
            return Ok(());
        }
        Err(Refusal::new(Reason::SettingNotListed, name.to_ascii_lowercase()))
    }

    /// `CALL`: a procedure from the policy's list.
    pub fn procedure(&mut self, call: &FuncCall) -> Done {
        let listed = {
            let names: Vec<&str> = call.funcname.iter().filter_map(string).collect();
            names.last().map(|n| (*n).to_owned())
        };
        self.func_call(call)?;
        if !self.out.effects.contains(&Effect::Call) {
            return Err(Refusal::new(Reason::UnknownFunction, listed.unwrap_or_default()));
        }
        Ok(())
    }

    /// A function in FROM; `ROWS FROM` gives several.
    pub fn range_functions(&mut self, functions: &[Node]) -> Done {
        for function in functions {
            let Some(NodeEnum::List(pair)) = &function.node else {
                return Err(Self::not_understood("function in FROM".into()));
            };
            self.opt(pair.items.first())?;
        }
        Ok(())
    }
}
