//! What policies see of a call, beside who, what and on what. Only those parts are made that one looks at.

use crate::call::Call;
use crate::cedar;
use crate::instances::names;
use crate::intent::{LabelSet, Program};
use crate::needs::Needs;
use crate::profile::Rule;
use crate::program::Args;
use crate::story::Story;
use crate::task::{Live, Task};

fn labels(program: &Program, story: Option<&Story>, set: LabelSet) -> cedar_policy_core::ast::Value {
    cedar_policy_core::ast::Value::set(names(program, story, set).map(cedar::text_value), None)
}

/// A call within a rule, as it is shown.
pub(crate) struct Shown<'a> {
    pub(crate) task: &'a Task,
    pub(crate) live: &'a Live,
    pub(crate) rule: &'a Rule,
    pub(crate) call: &'a Call<'a>,
    pub(crate) args: &'a Args<'a>,
    pub(crate) origins: &'a [(&'a str, LabelSet)],
}

impl Shown<'_> {
    /// The parts that are needed; `None` where Cedar cannot hold one.
    pub(crate) fn context(&self, needs: Needs) -> Option<cedar_policy::Context> {
        let Self { task, live, rule, call, args, origins } = self;
        let (program, story) = (&task.profile.program, live.story.as_deref());
        let mut parts = Vec::with_capacity(5);
        if needs.has(Needs::ARGS) {
            parts.push(("args", cedar::record(args.iter().map(|(name, value)| (*name, value)))?));
        }
        if needs.has(Needs::INTENT) {
            let intent = [("rule", cedar::text_value(&rule.id)), ("within", cedar::bool_value(true))];
            parts.push(("intent", cedar::members(intent)));
        }
        if needs.has(Needs::ORIGINS) {
            let origins = origins.iter().map(|(name, set)| (*name, labels(program, story, *set)));
            parts.push(("origins", cedar::record_of(origins)));
        }
        if needs.has(Needs::PEP) {
            parts.push(("pep", cedar::text_value(call.pep)));
        }
        if needs.has(Needs::TASK) {
            let inputs = task.profile.inputs.iter().zip(&task.inputs);
            let inputs = inputs.filter_map(|((name, _), input)| Some((name.as_ref(), &input.as_ref()?.value)));
            let seen = if needs.has(Needs::LABELS) { live.labels.all } else { LabelSet::default() };
            let members = [
                ("id", cedar::text_value(call.task)),
                ("inputs", cedar::record(inputs)?),
                ("labels", labels(program, story, seen)),
                ("owner", cedar::text_value(&task.agent.owner)),
                ("profile", cedar::text_value(&task.profile.name)),
            ];
            parts.push(("task", cedar::members(members)));
        }
        Some(cedar::context(parts))
    }
}
