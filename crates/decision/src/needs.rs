//! Which parts of the context a policy looks at, so that only those are built.

use cedar_policy::Policy;
use serde_json::Value;

/// Parts of the context, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs(u8);

impl Needs {
    /// `context.intent`.
    pub(crate) const INTENT: Self = Self(1);
    /// `context.task`.
    pub(crate) const TASK: Self = Self(2);
    /// `context.args`.
    pub(crate) const ARGS: Self = Self(4);
    /// `context.pep`.
    pub(crate) const PEP: Self = Self(8);
    /// `context.origins`.
    pub(crate) const ORIGINS: Self = Self(16);
    /// `context.task.labels`.
    pub(crate) const LABELS: Self = Self(32);
    /// Everything.
    pub(crate) const ALL: Self = Self(63);

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a part is needed.
    pub(crate) const fn has(self, part: Self) -> bool {
        self.0 & part.0 != 0
    }

    /// Whether nothing but the intent is needed.
    pub(crate) const fn only_intent(self) -> bool {
        self.0 & !Self::INTENT.0 == 0
    }

    /// What a policy looks at; everything, where that cannot be told.
    pub(crate) fn of(policy: &Policy) -> Self {
        policy.to_json().map_or(Self::ALL, |json| json.get("conditions").map_or(Self::ALL, walk))
    }

    fn named(part: &str) -> Self {
        match part {
            "intent" => Self::INTENT,
            "task" => Self::TASK.and(Self::LABELS),
            "args" => Self::ARGS,
            "pep" => Self::PEP,
            "origins" => Self::ORIGINS,
            _ => Self::ALL,
        }
    }
}

/// Walk an expression in Cedar's JSON form. `context` counts as a part only directly under `.` or
/// `has`; anywhere else the whole context is looked at. So does `context.task`, for its labels.
fn walk(value: &Value) -> Needs {
    match value {
        Value::Array(items) => items.iter().fold(Needs::default(), |needs, item| needs.and(walk(item))),
        Value::Object(members) => {
            if members.get("Var").and_then(Value::as_str) == Some("context") {
                return Needs::ALL;
            }
            members.iter().fold(Needs::default(), |needs, (operator, inner)| {
                if operator != "." && operator != "has" {
                    return needs.and(walk(inner));
                }
                if let Some(member) = task_part(inner) {
                    let labels = if member == "labels" { Needs::LABELS } else { Needs::default() };
                    return needs.and(Needs::TASK).and(labels);
                }
                needs.and(context_part(inner).map_or_else(|| walk(inner), Needs::named))
            })
        }
        _ => Needs::default(),
    }
}

/// The attribute of `context.task.attr` or `context.task has attr`.
fn task_part(inner: &Value) -> Option<&str> {
    let task = inner.get("left")?.get(".")?;
    (context_part(task)? == "task").then(|| attribute(inner)).flatten()
}

/// The attribute of `context.attr` or `context has attr`.
fn context_part(inner: &Value) -> Option<&str> {
    if inner.get("left")?.get("Var")?.as_str()? != "context" {
        return None;
    }
    attribute(inner)
}

fn attribute(inner: &Value) -> Option<&str> {
    let attr = inner.get("attr")?;
    attr.as_str().or_else(|| attr.as_array()?.first()?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(condition: &str) -> Needs {
        let text = format!("permit(principal, action, resource) when {{ {condition} }};");
        Needs::of(&Policy::parse(None, text).unwrap())
    }

    #[test]
    fn only_what_is_looked_at() {
        assert_eq!(needs("true"), Needs::default());
        assert_eq!(needs("context.intent.rule == \"r\" && context.intent.within"), Needs::INTENT);
        assert_eq!(needs("context.args has amount && context.args.amount > 1"), Needs::ARGS);
        assert_eq!(needs("context has args.amount && context.pep == \"p\""), Needs::ARGS.and(Needs::PEP));
        assert_eq!(needs("[context.task.id].contains(resource.id)"), Needs::TASK);
        assert_eq!(needs("context.task.inputs has x"), Needs::TASK);
        assert_eq!(needs("context has task.labels"), Needs::TASK.and(Needs::LABELS));
        assert_eq!(needs("context.task == resource.task"), Needs::TASK.and(Needs::LABELS));
        assert_eq!(needs("context[\"args\"][\"x\"] == 1"), Needs::ARGS);
        assert_eq!(needs("context.origins has to && context.origins.to.contains(\"outside\")"), Needs::ORIGINS);
        assert_eq!(needs("context.task.labels.contains(\"pii\")"), Needs::TASK.and(Needs::LABELS));
        assert_eq!(needs("context == {}"), Needs::ALL);
        assert_eq!(needs("context.unheard_of == 1"), Needs::ALL);
        assert_eq!(needs("if context.intent.within then context has x else false"), Needs::ALL);
    }
}
