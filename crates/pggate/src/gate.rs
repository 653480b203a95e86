//! The decisions of one session's statements.

use std::sync::Arc;
use std::time::Instant;

use flyball_decision::Room;
use flyball_gateway::{Allowed, Answer, Ask as Call, Meter, Session};
use flyball_pgsql::Refusal;
use flyball_pgwire::{Allowance, Ask, Decision, Gate, Judged, Later};

use crate::args::Bound;
use crate::asks::{CATALOG, Question, questions};
use crate::catalogs::Database;
use crate::door::{PgKit, Target};

/// Tables and ways that one statement may touch: more would be one decision of many records.
const MOST: usize = 64;

pub(crate) struct TaskGate {
    kit: Arc<PgKit>,
    task: Arc<str>,
    database: Arc<Database>,
}

impl TaskGate {
    pub(crate) fn new<V>(kit: &Arc<PgKit>, session: &Session<V, Target>) -> Self {
        let database = Arc::clone(&session.upstream.database);
        Self { kit: Arc::clone(kit), task: Arc::clone(&session.task), database }
    }

    async fn decided(&self, ask: Ask<'_>) -> Decision {
        // Between its Parse and now the definitions may have changed.
        let judged = match self.database.in_force(ask.judged).await {
            Ok(judged) => judged,
            Err(no) => return denied(no.reason.code(), no.what, no.reason == flyball_pgsql::Reason::CatalogStale),
        };
        if !ask.runs {
            return Decision::Allow(Arc::new(Unbounded));
        }
        let bound = Bound { literals: judged.literals(), params: ask.params, types: ask.types };
        let asked = questions(judged.judgement(), &self.database.target, bound, |action| self.kit.form(action));
        if asked.is_empty() {
            return Decision::Allow(Arc::new(Unbounded));
        }
        if asked.len() > MOST {
            return denied("statement_too_complex", String::new(), false);
        }
        // A driver that looks at the catalog by itself is no deviation of the task's.
        if asked.iter().any(|one| one.action == CATALOG) && !self.kit.has_rule(&self.task, CATALOG) {
            return denied("catalog", "the profile has no rule for sql.catalog".to_owned(), false);
        }
        let calls: Vec<Call<'_>> = asked.iter().map(Question::ask).collect();
        match self.kit.decide(&self.task, &calls).await {
            Answer::Allowed(allowed) => Decision::Allow(Arc::new(self.returns(allowed))),
            Answer::Refused(verdict) => {
                let reason = verdict.reasons.first().copied();
                Decision::Deny {
                    id: verdict.decision,
                    reason: reason.map_or("denied", flyball_decision::Reason::as_str).to_owned(),
                    detail: verdict.approval.map(|reference| format!("approval {reference}")).unwrap_or_default(),
                    fault: reason.is_some_and(flyball_decision::Reason::our_fault),
                }
            }
        }
    }

    fn returns(&self, allowed: Allowed) -> Returns {
        let meters = |of: fn(&Room) -> Option<flyball_decision::Counted>| {
            let mut counted: Vec<_> = allowed.rooms.iter().filter_map(of).collect();
            counted.sort_unstable_by_key(|one| one.slot);
            counted.dedup_by_key(|one| one.slot);
            counted.into_iter().map(|one| self.kit.meter(&self.task, one)).collect::<Vec<Meter>>()
        };
        let (rows, bytes) = (meters(|room| room.rows), meters(|room| room.bytes));
        let (kit, task) = (Arc::clone(&self.kit), Arc::clone(&self.task));
        Returns { kit, task, decisions: allowed.decisions, rows, bytes, began: Instant::now() }
    }
}

fn denied(reason: &str, detail: String, fault: bool) -> Decision {
    Decision::Deny { id: String::new(), reason: reason.to_owned(), detail, fault }
}

impl Gate for TaskGate {
    fn judge<'a>(&'a self, sql: &'a str) -> Later<'a, Result<Judged, Refusal>> {
        Box::pin(self.database.judge(sql))
    }

    fn decide<'a>(&'a self, ask: Ask<'a>) -> Later<'a, Decision> {
        Box::pin(self.decided(ask))
    }
}

/// A statement that touches nothing but its session, and numbers that it makes itself.
struct Unbounded;

impl Allowance for Unbounded {
    fn row(&self, _: u64) -> bool {
        true
    }

    fn returned(&self, _: u64, _: u64, _: bool) {}
}

/// What comes back of a statement that was decided: counted against the budgets, then reported.
struct Returns {
    kit: Arc<PgKit>,
    task: Arc<str>,
    decisions: Vec<String>,
    rows: Vec<Meter>,
    bytes: Vec<Meter>,
    began: Instant,
}

impl Allowance for Returns {
    fn row(&self, bytes: u64) -> bool {
        // Every one of them counts, also where an earlier one is spent.
        let mut fits = true;
        for (meters, amount) in [(&self.rows, 1), (&self.bytes, bytes)] {
            for meter in meters {
                fits &= meter.take(amount);
            }
        }
        fits
    }

    fn returned(&self, rows: u64, bytes: u64, _completed: bool) {
        let ms = self.began.elapsed().as_millis();
        let meta = format!("{{\"bytes\":{bytes},\"ms\":{ms},\"rows\":{rows}}}");
        for decision in &self.decisions {
            self.kit.report_later(&self.task, decision, b"[]", meta.as_bytes());
        }
    }
}
