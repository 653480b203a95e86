//! Literals as values.

use crate::judgement::Source;
use pg_query::protobuf::{AConst, a_const::Val};
use pg_query::{Node, NodeEnum};

/// The value of a constant; none for NULL.
pub fn source(constant: &AConst) -> Option<Source> {
    if constant.isnull {
        return None;
    }
    Some(match constant.val.as_ref()? {
        Val::Ival(i) => Source::Number(i.ival.to_string()),
        Val::Fval(f) => Source::Number(f.fval.clone()),
        Val::Boolval(b) => Source::Boolean(b.boolval),
        Val::Sval(s) => Source::Text(s.sval.clone()),
        Val::Bsval(b) => Source::Text(b.bsval.clone()),
    })
}

/// The text of a node that is a string constant, with casts around it or none.
pub fn text(node: &Node) -> Option<&str> {
    match node.node.as_ref()? {
        NodeEnum::AConst(c) => match c.val.as_ref()? {
            Val::Sval(s) if !c.isnull => Some(s.sval.as_str()),
            _ => None,
        },
        NodeEnum::TypeCast(c) => text(c.arg.as_deref()?),
        _ => None,
    }
}

/// The parts of a name written in a string, as `regclass` reads it.
pub fn qualified_name(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '.' => parts.push(String::new()),
            '"' => loop {
                match chars.next()? {
                    '"' if chars.peek() == Some(&'"') => {
                        chars.next();
                        parts.last_mut()?.push('"');
                    }
                    '"' => break,
                    other => parts.last_mut()?.push(other),
                }
            },
            c if c.is_alphanumeric() || c == '_' || c == '$' => parts.last_mut()?.extend(c.to_lowercase()),
            _ => return None,
        }
    }
    (parts.len() <= 2 && parts.iter().all(|p| !p.is_empty())).then_some(parts)
}
