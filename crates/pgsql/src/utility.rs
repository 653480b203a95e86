//! Statements that are not queries: those that a session needs, and the refusal of all others.

use crate::catalog::RelationKind;
use crate::judgement::{Access, Effect};
use crate::literal;
use crate::reach::Change;
use crate::refusal::{Reason, Refusal};
use crate::session::Session;
use crate::walker::{Done, Walker};
use pg_query::protobuf::{CopyStmt, TransactionStmtKind, TruncateStmt, VariableSetKind, VariableSetStmt};
use pg_query::{Node, NodeEnum};

impl Walker<'_> {
    /// A whole statement.
    pub fn statement(&mut self, node: &Node) -> Done {
        let Some(inner) = node.node.as_ref() else { return Err(Self::not_understood("empty".into())) };
        match inner {
            NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_) => self.query_node(node).map(|_| ()),
            // Planning folds constants and so calls functions: without ANALYZE it is judged alike.
            NodeEnum::ExplainStmt(explain) => match explain.query.as_deref() {
                Some(query) => self.deeper(|w| w.explained(query)),
                None => Err(Self::not_understood("EXPLAIN".into())),
            },
            NodeEnum::CopyStmt(copy) => self.copy(copy),
            NodeEnum::TruncateStmt(truncate) => self.truncate(truncate),
            NodeEnum::CallStmt(call) => match &call.funccall {
                Some(function) => self.procedure(function),
                None => Err(Self::not_understood("CALL".into())),
            },
            NodeEnum::PrepareStmt(prepare) => {
                let Some(query) = prepare.query.as_deref() else { return Err(Self::not_understood("PREPARE".into())) };
                self.explained(query)?;
                self.session(Session::Prepare(prepare.name.clone()))
            }
            NodeEnum::ExecuteStmt(execute) => {
                self.exprs(&execute.params)?;
                self.session(Session::Execute(execute.name.clone()))
            }
            NodeEnum::DeclareCursorStmt(declare) => {
                let Some(query) = declare.query.as_deref() else { return Err(Self::not_understood("DECLARE".into())) };
                self.query_node(query)?;
                self.session(Session::Declare(declare.portalname.clone()))
            }
            NodeEnum::FetchStmt(fetch) => self.session(Session::Fetch(fetch.portalname.clone())),
            _ => self.own_session(inner),
        }
    }

    fn explained(&mut self, query: &Node) -> Done {
        match &query.node {
            Some(NodeEnum::ExecuteStmt(_)) => self.statement(query),
            _ => self.query_node(query).map(|_| ()),
        }
    }

    #[allow(clippy::unnecessary_wraps)] // reads as the last word of each arm
    fn session(&mut self, session: Session) -> Done {
        self.out.effects.insert(Effect::Session);
        self.out.session = Some(session);
        Ok(())
    }

    /// What touches nothing but the session; and the end of the list.
    fn own_session(&mut self, node: &NodeEnum) -> Done {
        match node {
            NodeEnum::TransactionStmt(t) => match TransactionStmtKind::try_from(t.kind) {
                Ok(
                    TransactionStmtKind::TransStmtPrepare
                    | TransactionStmtKind::TransStmtCommitPrepared
                    | TransactionStmtKind::TransStmtRollbackPrepared,
                ) => Err(Refusal::new(Reason::TwoPhase, "")),
                Ok(TransactionStmtKind::Undefined) | Err(_) => Err(Self::not_understood("transaction".into())),
                Ok(_) => self.session(Session::Transaction),
            },
            NodeEnum::VariableSetStmt(set) => {
                Self::variable_set(set)?;
                self.session(Session::Setting)
            }
            NodeEnum::VariableShowStmt(_) | NodeEnum::ConstraintsSetStmt(_) => self.session(Session::Setting),
            NodeEnum::DeallocateStmt(d) => self.session(Session::Deallocate((!d.isall).then(|| d.name.clone()))),
            NodeEnum::ClosePortalStmt(c) => {
                self.session(Session::Close((!c.portalname.is_empty()).then(|| c.portalname.clone())))
            }
            NodeEnum::DiscardStmt(_) => self.session(Session::Discard),
            NodeEnum::UnlistenStmt(_) => self.session(Session::Unlisten),
            NodeEnum::DoStmt(_) => Err(Refusal::new(Reason::DoBlock, "")),
            NodeEnum::ListenStmt(_) | NodeEnum::NotifyStmt(_) => Err(Refusal::new(Reason::Notify, "")),
            NodeEnum::LockStmt(_)
            | NodeEnum::VacuumStmt(_)
            | NodeEnum::CheckPointStmt(_)
            | NodeEnum::LoadStmt(_)
            | NodeEnum::ClusterStmt(_)
            | NodeEnum::ReindexStmt(_)
            | NodeEnum::RefreshMatViewStmt(_)
            | NodeEnum::AlterSystemStmt(_) => Err(Refusal::new(Reason::Utility, name_of(node))),
            _ => Err(Refusal::new(Reason::Ddl, name_of(node))),
        }
    }

    fn variable_set(set: &VariableSetStmt) -> Done {
        match VariableSetKind::try_from(set.kind) {
            // The pins are the session's own defaults (they came with its start): this leads back to them.
            Ok(VariableSetKind::VarResetAll) => Ok(()),
            Ok(VariableSetKind::VarSetMulti) => match set.name.as_str() {
                "TRANSACTION" | "SESSION CHARACTERISTICS" => Ok(()),
                other => Err(Refusal::new(Reason::SettingNotListed, other)),
            },
            Ok(VariableSetKind::VarSetValue) => {
                let value = match set.args.as_slice() {
                    [one] => literal::text(one),
                    _ => None,
                };
                Self::setting(&set.name, value)
            }
            Ok(VariableSetKind::VarReset | VariableSetKind::VarSetDefault | VariableSetKind::VarSetCurrent) => {
                Self::setting(&set.name, None)
            }
            _ => Err(Self::not_understood("SET".into())),
        }
    }

    fn copy(&mut self, copy: &CopyStmt) -> Done {
        if copy.is_program {
            return Err(Refusal::new(Reason::CopyProgram, ""));
        }
        if !copy.filename.is_empty() {
            return Err(Refusal::new(Reason::CopyFile, ""));
        }
        if let Some(query) = copy.query.as_deref() {
            return self.query_node(query).map(|_| ());
        }
        let Some(range) = &copy.relation else { return Err(Self::not_understood("COPY".into())) };
        let relation = self.resolve(range)?;
        let mut columns: Vec<String> =
            copy.attlist.iter().filter_map(crate::names::string).map(str::to_owned).collect();
        if let Some(unknown) = columns.iter().find(|c| !relation.columns.contains(c)) {
            return Err(Refusal::new(Reason::UnknownColumn, unknown.clone()));
        }
        if columns.is_empty() {
            columns.clone_from(&relation.columns);
        }
        if copy.is_from {
            self.out.copies_in = true;
            self.change(relation, Change::Insert, &columns, range.inh)?;
            return self.scoped(|w| {
                w.add_relation(relation, None);
                w.opt(copy.where_clause.as_deref())
            });
        }
        self.open(relation, range.inh)?;
        self.touch(relation, Access::Select, columns.iter().map(String::as_str));
        Ok(())
    }

    fn truncate(&mut self, truncate: &TruncateStmt) -> Done {
        for node in &truncate.relations {
            let Some(NodeEnum::RangeVar(range)) = &node.node else {
                return Err(Self::not_understood("TRUNCATE".into()));
            };
            let relation = self.resolve(range)?;
            if relation.kind == RelationKind::View {
                return Err(Self::not_understood("TRUNCATE".into()));
            }
            self.change(relation, Change::Truncate, &[], range.inh)?;
            for oid in if truncate.restart_seqs { &relation.sequences[..] } else { &[] } {
                if let Some(sequence) = self.catalog.relation_by_oid(*oid) {
                    self.touch(sequence, Access::Update, []);
                }
            }
        }
        Ok(())
    }
}

/// The statement's kind, for the refusal's text.
fn name_of(node: &NodeEnum) -> String {
    let text = format!("{node:?}");
    text.split(['(', ' ']).next().unwrap_or_default().trim_end_matches("Stmt").to_owned()
}
