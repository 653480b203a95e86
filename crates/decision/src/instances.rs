//! Labels follow an agent's instance: what one of its tasks has touched, its other tasks have touched.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ahash::AHashMap;
use parking_lot::Mutex;

use crate::intent::{LabelSet, Program};
use crate::plane::Plane;
use crate::story::Story;
use crate::task::{Live, Task};

/// One instance of which some task is live.
#[derive(Default)]
struct Instance {
    tasks: u32,
    labels: Vec<Arc<str>>,
}

/// What each instance has touched, while a task of it is live.
#[derive(Default)]
pub(crate) struct Instances {
    /// Grows whenever some instance takes on a label: whoever saw the same number has seen them all.
    generation: AtomicU32,
    all: Mutex<AHashMap<Arc<str>, Instance>>,
}

impl Instances {
    /// Another task of an instance.
    pub(crate) fn enter(&self, instance: &Arc<str>) {
        let mut all = self.all.lock();
        let one = all.entry(Arc::clone(instance)).or_default();
        one.tasks = one.tasks.saturating_add(1);
    }

    /// A task of an instance has gone. With the last one goes what is known of it: the control plane keeps
    /// that from here on.
    pub(crate) fn leave(&self, instance: &Arc<str>) {
        let mut all = self.all.lock();
        if let Some(one) = all.get_mut(instance) {
            one.tasks = one.tasks.saturating_sub(1);
            if one.tasks == 0 {
                all.remove(instance);
            }
        }
    }

    /// An instance takes on labels.
    pub(crate) fn attach<'a>(&self, instance: &str, names: impl Iterator<Item = &'a str>) {
        let mut all = self.all.lock();
        let Some(one) = all.get_mut(instance) else { return };
        let before = one.labels.len();
        for name in names {
            if !one.labels.iter().any(|label| **label == *name) {
                one.labels.push(Arc::from(name));
            }
        }
        if one.labels.len() > before {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// The number of the last change.
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    fn of(&self, instance: &str) -> Vec<Arc<str>> {
        self.all.lock().get(instance).map(|one| one.labels.clone()).unwrap_or_default()
    }
}

/// Names of labels, in order of their bits.
pub(crate) fn names<'a>(
    program: &'a Program,
    story: Option<&'a Story>,
    labels: LabelSet,
) -> impl Iterator<Item = &'a str> {
    let known = program.labels();
    let more = story.map_or(&[][..], |story| story.names.as_slice());
    labels.places().filter_map(move |place| match known.get(place) {
        Some(name) => Some(name.as_ref()),
        None => more.get(place.checked_sub(known.len())?).map(AsRef::as_ref),
    })
}

/// The set of those names for a task. A name that its profile does not know takes the next bit; `None`:
/// there is no bit left.
pub(crate) fn labelled<'a>(
    program: &Program,
    live: &mut Live,
    names: impl Iterator<Item = &'a str>,
) -> Option<LabelSet> {
    let known = program.labels();
    let mut set = LabelSet::default();
    for name in names {
        let place = if let Some(place) = known.iter().position(|label| **label == *name) {
            place
        } else {
            let more = &mut live.story().names;
            let place = more.iter().position(|label| **label == *name).unwrap_or_else(|| {
                more.push(Arc::from(name));
                more.len() - 1
            });
            known.len() + place
        };
        let bit = LabelSet::bit(place);
        if bit.is_empty() {
            return None;
        }
        set = set.and(bit);
    }
    Some(set)
}

impl Plane {
    /// Take on what other tasks of the same instance have touched since. `None`: more labels than there are bits.
    pub(crate) fn catch_up(&self, task: &Task, live: &mut Live) -> Option<()> {
        let generation = self.instances.generation();
        if live.seen == generation {
            return Some(());
        }
        let theirs = self.instances.of(task.instance());
        let set = labelled(&task.profile.program, live, theirs.iter().map(AsRef::as_ref))?;
        live.labels.all = live.labels.all.and(set);
        live.seen = generation;
        Some(())
    }

    /// Labels that a durable record attached: to the task, to its instance, and to those above it.
    pub(crate) fn settle_labels(&self, task: &Task, live: &mut Live, above: &mut [Above<'_>], labels: LabelSet) {
        let new = labels.less(live.labels.durable);
        live.labels.settle(labels);
        if new.is_empty() {
            return;
        }
        let program = &task.profile.program;
        self.instances.attach(task.instance(), names(program, live.story.as_deref(), new));
        for (ancestor, theirs) in above {
            let names: Vec<Arc<str>> = names(program, live.story.as_deref(), new).map(Arc::from).collect();
            // They run the same profile; a label beyond the bits is one that its rules cannot name.
            if let Some(set) = labelled(program, theirs, names.iter().map(AsRef::as_ref)) {
                theirs.labels.all = theirs.labels.all.and(set);
            }
            self.instances.attach(ancestor.instance(), names.iter().map(AsRef::as_ref));
        }
    }
}

/// A task above another, locked.
pub(crate) type Above<'a> = (&'a Task, parking_lot::MutexGuard<'a, Live>);
