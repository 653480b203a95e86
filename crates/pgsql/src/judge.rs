//! From a statement's text to its judgement.

use crate::catalog::Catalog;
use crate::judgement::{Effect, Judgement};
use crate::policy::Policy;
use crate::refusal::{Reason, Refusal};
use crate::session::Session;
use crate::walker::Walker;
use pg_query::Node;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a statement does.
///
/// # Errors
/// It is refused: what is not understood, not found or not on a list is never let through.
pub fn judge(sql: &str, catalog: &dyn Catalog, policy: &Policy) -> Result<Judgement, Refusal> {
    let statements = parse(sql, policy.limits.bytes)?;
    match statements.as_slice() {
        // The server answers an empty string itself.
        [] => Ok(Judgement { effects: [Effect::Session].into(), ..Judgement::default() }),
        [one] => judge_one(one, catalog, policy),
        many => judge_resets(many, catalog, policy),
    }
}

fn judge_one(node: &Node, catalog: &dyn Catalog, policy: &Policy) -> Result<Judgement, Refusal> {
    let mut walker = Walker::new(catalog, policy);
    walker.statement(node)?;
    walker.settle_confined();
    Ok(walker.out)
}

/// Pools of drivers reset a session by one string of several statements: let through where each of
/// them only leads the session back to its start.
fn judge_resets(nodes: &[Node], catalog: &dyn Catalog, policy: &Policy) -> Result<Judgement, Refusal> {
    let refused = || Refusal::new(Reason::MultipleStatements, "");
    for node in nodes.iter().take(16) {
        let one = judge_one(node, catalog, policy).map_err(|_| refused())?;
        let unlocks = one.tables.is_empty()
            && one.values.is_empty()
            && one.functions.iter().eq(["pg_catalog.pg_advisory_unlock_all"]);
        let resets = matches!(one.session, Some(Session::Close(None) | Session::Unlisten | Session::Deallocate(None)))
            || matches!(&node.node, Some(pg_query::NodeEnum::VariableSetStmt(s))
                if s.kind == pg_query::protobuf::VariableSetKind::VarResetAll as i32);
        if !unlocks && !resets {
            return Err(refused());
        }
    }
    if nodes.len() > 16 {
        return Err(refused());
    }
    Ok(Judgement {
        effects: [Effect::Session].into(),
        session: Some(Session::Discard),
        statements: nodes.len(),
        ..Judgement::default()
    })
}

/// One statement's tree.
pub fn parse_one(sql: &str, bytes: usize) -> Result<Node, Refusal> {
    let mut all = parse(sql, bytes)?;
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => Err(Refusal::new(Reason::NotUnderstood, "")),
    }
}

fn parse(sql: &str, bytes: usize) -> Result<Vec<Node>, Refusal> {
    if sql.len() > bytes {
        return Err(Refusal::new(Reason::TooLong, format!("{} bytes", sql.len())));
    }
    // The crate gathers a summary on the way and asserts as it does: what it cannot take is not understood.
    let parsed = catch_unwind(AssertUnwindSafe(|| pg_query::parse(sql, 0)));
    match parsed {
        Ok(Ok(result)) => {
            let nodes = result.protobuf.stmts.into_iter().map(|s| s.stmt.map(|n| *n));
            nodes.collect::<Option<Vec<_>>>().ok_or_else(|| Refusal::new(Reason::NotUnderstood, ""))
        }
        Ok(Err(pg_query::Error::Decode(_))) => Err(Refusal::new(Reason::TooComplex, "")),
        // The message may quote the statement: only that it is wrong is told.
        Ok(Err(_)) => Err(Refusal::new(Reason::SyntaxError, "")),
        Err(_) => Err(Refusal::new(Reason::NotUnderstood, "")),
    }
}
