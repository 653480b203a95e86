//! A result, walked by its template: the values of the declared fields, each in its row.

use super::form::{Form, Node};
use super::path::Leaf;
use super::place::Of;
use super::{LabelSet, Program};
use crate::json::Json;

/// Values that a rule may ask for, of one result, at most.
const MOST: usize = 262_144;
/// Values that only explain, of one result, at most.
const MOST_EXPLAINED: usize = 2048;

/// A value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) row: u32,
    pub(super) field: u16,
    pub(super) leaf: Leaf<'a>,
}

/// What a field is looked at for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// Nothing.
    #[default]
    None,
    /// To explain.
    Explain,
    /// A rule may ask for it.
    Needed,
}

/// The values of one result.
pub(super) struct Walk<'a, 'f> {
    form: &'f Form,
    uses: &'f [Use],
    /// In order of their rows once [`Walk::done`].
    pub(super) found: Vec<Found<'a>>,
    pub(super) labels: LabelSet,
    pub(super) full: bool,
    explained: usize,
    rows: u32,
}

impl<'a, 'f> Walk<'a, 'f> {
    /// Walk a whole result.
    pub(super) fn new(form: &'f Form, uses: &'f [Use], json: &'a Json<'_>) -> Self {
        let (found, labels) = (Vec::new(), LabelSet::default());
        let mut walk = Self { form, uses, found, labels, full: false, explained: 0, rows: 0 };
        walk.node(&form.root, json, None);
        walk.found.sort_by_key(|found| found.row);
        walk
    }

    /// The row that a value is in: the one it is in already, or a new one.
    fn row(&mut self, row: Option<u32>) -> Option<u32> {
        row.or_else(|| {
            self.rows = self.rows.saturating_add(1);
            Some(self.rows)
        })
    }

    fn node(&mut self, node: &Node, json: &'a Json<'_>, row: Option<u32>) {
        if self.full {
            return;
        }
        match (node, json) {
            (_, Json::Null) => {}
            (_, Json::List(items)) => {
                let inner = if let Node::List(inner) = node { inner } else { node };
                for item in items {
                    let row = self.row(row);
                    self.node(inner, item, row);
                }
            }
            // A single value where a list is declared is one row.
            (Node::List(inner), _) => {
                let row = self.row(row);
                self.node(inner, json, row);
            }
            (Node::Leaf(field), Json::Object(members)) => {
                if self.form.fields.get(usize::from(*field)).is_some_and(|field| field.kind.is_none()) {
                    for (_, inner) in members {
                        self.node(node, inner, row);
                    }
                } else {
                    self.undeclared();
                }
            }
            (Node::Leaf(field), Json::Text(text)) => self.leaf(*field, Leaf::Text(text), row),
            (Node::Leaf(field), Json::Number(text)) => self.leaf(*field, Leaf::Number(text), row),
            (Node::Leaf(field), Json::Bool(yes)) => self.leaf(*field, Leaf::Bool(*yes), row),
            (Node::Map { named, star, key }, Json::Object(members)) => {
                for (name, inner) in members {
                    let own = named.get(name.as_ref());
                    let row = if own.is_some() { row } else { self.row(row) };
                    if let Some(key) = key {
                        self.leaf(*key, Leaf::Text(name), row);
                    }
                    match own.or(star.as_deref()) {
                        Some(node) => self.node(node, inner, row),
                        None if *inner != Json::Null => self.undeclared(),
                        None => {}
                    }
                }
            }
            (Node::Map { .. }, _) => self.undeclared(),
        }
    }

    fn undeclared(&mut self) {
        self.labels = self.labels.and(LabelSet::OUTSIDE);
    }

    fn leaf(&mut self, field: u16, leaf: Leaf<'a>, row: Option<u32>) {
        let at = usize::from(field);
        self.labels = self.labels.and(self.form.fields.get(at).map_or(LabelSet::OUTSIDE, |field| field.labels));
        match self.uses.get(at).copied().unwrap_or_default() {
            Use::None => return,
            Use::Explain if self.explained >= MOST_EXPLAINED => return,
            Use::Explain => self.explained += 1,
            Use::Needed => {}
        }
        if self.found.len() >= MOST {
            self.full = true;
            return;
        }
        self.found.push(Found { row: row.unwrap_or(0), field, leaf });
    }
}

/// What each field of an action's results is looked at for.
pub(super) fn uses(program: &Program, action: u16) -> Vec<Use> {
    let Some(act) = program.actions.get(usize::from(action)) else { return Vec::new() };
    let mut uses = vec![Use::None; act.form.fields.len()];
    let mut set = |field: u16, to: Use| {
        if let Some(here) = uses.get_mut(usize::from(field)) {
            *here = to.max(*here);
        }
    };
    for take in &act.takes {
        set(take.field, if take.role == super::place::Role::Explain { Use::Explain } else { Use::Needed });
        for test in &take.tests {
            if let Of::Field(field) = test.of {
                set(field, Use::Needed);
            }
        }
        take.joins.iter().for_each(|(field, _)| set(*field, Use::Needed));
        for named in &take.named {
            if let Of::Field(field) = named.of {
                set(field, Use::Needed);
            }
        }
    }
    if let Some(field) = act.today {
        set(field, Use::Needed);
    }
    uses
}
