//! A profile's sources, templates and demands, compiled.

use std::sync::Arc;

use ahash::AHashMap;
use flyball_typed::Kind;

use super::asked::Wording;
use super::demand::sought;
use super::form::{Field, Form};
use super::kinds::KindSet;
use super::place::{Of, Place, Places, Role, Take};
use super::siphash::siphash;
use super::written::{actions, drawn, label_of, text};
use super::{Demands, LabelSet, Path};
use crate::document::{self, Source as SourceText, Today as TodayText};
use crate::profile::Returns;

/// What is kept of results and what arguments are held against, for one profile.
pub(crate) struct Program {
    labels: Vec<Box<str>>,
    pub(super) inputs: Vec<InputSpec>,
    sources: Vec<Source>,
    /// What is added up of a source, by its place.
    sums: Vec<Option<(u16, Chosen)>>,
    texts: Vec<Box<str>>,
    numbers: AHashMap<Arc<str>, u16>,
    pub(super) actions: Vec<Act>,
    places: Vec<Place>,
    pub(super) today: Today,
    /// What must stand in the request, by the rules' numbers.
    pub(super) asked: Vec<Wording>,
    /// The input in which that must stand.
    pub(super) request: Option<usize>,
    fingerprint: u64,
    keyed: bool,
}

/// An input, and what is looked for in it.
#[derive(Debug)]
pub(super) struct InputSpec {
    pub(super) name: Box<str>,
    /// Its type; none: any text.
    pub(super) kind: Option<Kind>,
    pub(super) sought: KindSet,
}

/// Where an argument may come from.
#[derive(Debug)]
pub(super) enum Source {
    /// An input, by its place.
    Input(usize),
    /// Another argument.
    Arg(Path),
    /// A constant.
    Const(Box<str>),
    /// Anything in a field that no outsider can write.
    Trusted,
    /// Anybody at a host that another source names, by its place.
    At(usize),
    /// A field of an action's results: its place, and which rows count.
    Result { place: u16, chosen: Chosen },
}

/// Which rows count, as it is decided when a call is checked.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    /// What must stand in the same row.
    pub(super) joins: Box<[Join]>,
    /// Places of names of which only one may be meant.
    pub(super) named: Box<[u16]>,
}

/// A field that must equal an argument, in the row that a value stands in.
#[derive(Clone, Debug)]
pub(super) struct Join {
    pub(super) place: u16,
    pub(super) kind: Option<Kind>,
    pub(super) path: Path,
}

/// An action of the profile, and what is taken from its results.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) name: Arc<str>,
    pub(super) form: Form,
    pub(super) takes: Vec<Take>,
    /// The field that says which day it is.
    pub(super) today: Option<u16>,
    /// Arguments of its own calls that choose rows of their results.
    pub(super) cites: Box<[Box<str>]>,
}

/// What relative days are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Today {
    Clock,
    Input(usize),
    Result,
}

impl Program {
    /// Compile a profile; what each rule demands comes in the order of its rules.
    pub(crate) fn read(from: &document::Profile, returns: Returns<'_>) -> Result<(Self, Vec<Demands>), String> {
        let mut labels: Vec<Box<str>> = ["user", "org", "outside"].map(Box::from).to_vec();
        if from.labels.iter().zip(&labels).any(|(given, known)| **given != **known) {
            return Err("the first labels are `user`, `org` and `outside`".to_owned());
        }
        for label in &from.labels {
            label_of(&mut labels, label)?;
        }
        let mut inputs: Vec<InputSpec> = from.inputs.iter().map(|(name, kind)| InputSpec::new(name, kind)).collect();
        let actions = actions(from, returns, &mut labels)?;
        let numbers = actions.iter().enumerate();
        let numbers = numbers.filter_map(|(n, act)| Some((Arc::clone(&act.name), u16::try_from(n).ok()?))).collect();
        let mut program = Self {
            labels,
            inputs: Vec::new(),
            sources: Vec::new(),
            sums: Vec::new(),
            texts: from.sources.iter().map(|source| text(source, &from.sources)).collect(),
            numbers,
            actions,
            places: Vec::new(),
            today: Today::Clock,
            asked: Vec::new(),
            request: from.inputs.keys().position(|name| name == "request"),
            fingerprint: 0,
            keyed: false,
        };
        let sought = sought(from, &|action, field| {
            let (_, act) = program.act(action)?;
            act.form.fields.get(usize::from(act.form.field(field)?)).and_then(|field| field.kind)
        })?;
        program.sources(from, &sought, &mut inputs)?;
        program.read_today(&from.today, &mut inputs)?;
        let mut demands = Vec::with_capacity(from.rules.len());
        for rule in &from.rules {
            let asked =
                if rule.asked.groups().is_empty() { None } else { Some(program.ask(&rule.asked, &mut inputs)?) };
            let demand = Demands::read(rule, &from.never, &program, asked);
            demands.push(demand.map_err(|what| format!("rule {}: {what}", rule.id))?);
        }
        let without = demands.iter().flat_map(|demands| demands.free.iter());
        let without = without.fold(LabelSet::default(), |all, free| all.and(free.without));
        let kinds = demands.iter().flat_map(|demands| demands.origins.iter());
        // Single words explain nothing.
        let kinds = kinds.filter(|origin| origin.kind != Kind::Words);
        let kinds = kinds.fold(KindSet::default(), |all, origin| all.and(KindSet::one(origin.kind)));
        let trusted = program.sources.iter().zip(&sought).filter(|(source, _)| matches!(source, Source::Trusted));
        let trusted = trusted.fold(KindSet::default(), |all, (_, kinds)| all.and(*kinds));
        let mut places = Places { places: std::mem::take(&mut program.places) };
        for (number, act) in (0_u16..).zip(&mut program.actions) {
            places.fields(number, &act.form, &mut act.takes, [trusted, kinds], without)?;
        }
        program.places = places.places;
        program.inputs = inputs;
        program.keyed = demands.iter().any(|demands| !demands.is_empty() || demands.asked.is_some());
        program.fingerprint = program.print();
        Ok((program, demands))
    }

    fn sources(
        &mut self,
        from: &document::Profile,
        sought: &[KindSet],
        inputs: &mut [InputSpec],
    ) -> Result<(), String> {
        let mut places = Places { places: Vec::new() };
        for (at, (source, kinds)) in from.sources.iter().zip(sought).enumerate() {
            let mut sum = None;
            let read = match source {
                SourceText::Input(name) => {
                    let place = input(inputs, name)?;
                    if let Some(input) = inputs.get_mut(place) {
                        input.sought = input.sought.and(*kinds);
                    }
                    Source::Input(place)
                }
                SourceText::Arg(path) => {
                    Source::Arg(Path::parse(path).ok_or_else(|| format!("`{path}` is no path into an argument"))?)
                }
                SourceText::Const(text) => Source::Const(Box::from(text.as_str())),
                SourceText::Trusted(true) => Source::Trusted,
                SourceText::At(named) => {
                    let inner = from.sources.get(*named).filter(|_| *named < at);
                    if !matches!(
                        inner,
                        Some(SourceText::Input(_) | SourceText::Result(_) | SourceText::Arg(_) | SourceText::Const(_))
                    ) {
                        return Err("a host is named by an input, an argument, a constant or a result".to_owned());
                    }
                    Source::At(*named)
                }
                SourceText::Trusted(false) => return Err("a source is `trusted` or it is not one".to_owned()),
                SourceText::Result(source) => {
                    let number = *self
                        .numbers
                        .get(source.action.as_str())
                        .ok_or_else(|| format!("there is no action `{}`", source.action))?;
                    let act = self.actions.get_mut(usize::from(number)).ok_or("too many actions")?;
                    // What is added up counts as often as it stands there, and is kept apart.
                    let adds = from.rules.iter().flat_map(|rule| &rule.aggregates).any(|sum| sum.source == at);
                    let before = &self.sources;
                    let mut take = |adds: bool| {
                        let found =
                            places.source((at, number), source, &act.form, (*kinds, adds), (&mut *inputs, &*before))?;
                        let (take, place, chosen) = found;
                        act.takes.push(take);
                        Ok::<_, String>((place, chosen))
                    };
                    let (place, chosen) =
                        if !adds || drawn(from, at) { take(false)? } else { (u16::MAX, Chosen::default()) };
                    sum = if adds { Some(take(true)?) } else { None };
                    Source::Result { place, chosen }
                }
            };
            self.sources.push(read);
            self.sums.push(sum);
        }
        for act in &mut self.actions {
            let tests = act.takes.iter().flat_map(|take| &take.tests).filter_map(|test| match &test.of {
                Of::Call(path, _) => Some(path),
                Of::Field(_) => None,
            });
            let named = act.takes.iter().flat_map(|take| &take.named).filter_map(|named| match &named.of {
                Of::Call(path, _) => Some(path),
                Of::Field(_) => None,
            });
            let all = tests.chain(named).chain(act.takes.iter().flat_map(|take| &take.calls).map(|cited| &cited.path));
            let mut heads: Vec<Box<str>> = all.map(|path| Box::from(path.head())).collect();
            heads.sort_unstable();
            heads.dedup();
            act.cites = heads.into();
        }
        self.places = places.places;
        Ok(())
    }

    fn read_today(&mut self, today: &TodayText, inputs: &mut [InputSpec]) -> Result<(), String> {
        self.today = match today {
            TodayText::Clock => Today::Clock,
            TodayText::Input(name) => Today::Input(input(inputs, name)?),
            TodayText::Result(result) => {
                let number = self.numbers.get(result.action.as_str()).copied();
                let act = number.and_then(|number| self.actions.get_mut(usize::from(number)));
                let act = act.ok_or_else(|| format!("today: there is no action `{}`", result.action))?;
                let field = act.form.field(&result.field);
                act.today = Some(field.ok_or_else(|| format!("today: there is no field `{}`", result.field))?);
                Today::Result
            }
        };
        Ok(())
    }

    /// Take on what a rule wants to stand in the request.
    fn ask(&mut self, words: &document::Asked, inputs: &mut [InputSpec]) -> Result<u16, String> {
        let request = self.request.and_then(|request| inputs.get_mut(request));
        let request = request.ok_or("`asked` needs an input `request`")?;
        request.sought = request.sought.and(KindSet::one(Kind::Text));
        self.asked.push(Wording::read(words.groups())?);
        u16::try_from(self.asked.len() - 1).map_err(|_| "too many rules must be asked for".to_owned())
    }

    /// What the bytes of a kept result mean hangs on this.
    fn print(&self) -> u64 {
        let places: Vec<String> = self
            .places
            .iter()
            .map(|place| {
                let act = self.actions.get(usize::from(place.action));
                let field = act.and_then(|act| act.form.fields.get(usize::from(place.field)));
                let source = match place.role {
                    Role::Source(at) | Role::Join(at, _) => self.texts.get(at).map_or("", AsRef::as_ref),
                    _ => "",
                };
                format!("{:?} {source} {:?} {:?} {place:?}", place.role, act.map(|act| &act.name), field)
            })
            .collect();
        siphash((1, 2), places.join("\n").as_bytes())
    }

    /// Names of the labels, in order of their bits.
    pub(crate) fn labels(&self) -> &[Box<str>] {
        &self.labels
    }

    /// Names of the labels of a set.
    pub(crate) fn names(&self, set: LabelSet) -> impl Iterator<Item = &str> {
        set.places().filter_map(|place| self.labels.get(place).map(AsRef::as_ref))
    }

    /// The set of those labels.
    pub(crate) fn labelled<T: AsRef<str>>(&self, names: &[T]) -> Result<LabelSet, String> {
        names.iter().try_fold(LabelSet::default(), |set, name| {
            let place = self.labels.iter().position(|label| **label == *name.as_ref());
            let place = place.ok_or_else(|| format!("there is no label `{}`", name.as_ref()))?;
            Ok(set.and(LabelSet::bit(place)))
        })
    }

    /// Labels that a task takes on when the action is allowed: of everything that it may return.
    pub(crate) fn static_labels(&self, action: &str) -> LabelSet {
        self.act(action).map_or(LabelSet::OUTSIDE, |(_, act)| act.form.labels)
    }

    /// The same where it is known which of the fields of its rows come back: those of these names. One that no field
    /// declares is anybody's text.
    pub(crate) fn column_labels(&self, action: &str, columns: &[&str]) -> LabelSet {
        let Some((_, act)) = self.act(action) else { return LabelSet::OUTSIDE };
        if !act.form.is_rows() {
            return act.form.labels;
        }
        let of = |name: &str| act.form.field(name).and_then(|place| act.form.fields.get(usize::from(place)));
        let labels = |column: &&str| of(column).or_else(|| of("*")).map_or(LabelSet::OUTSIDE, |field| field.labels);
        columns.iter().map(labels).fold(LabelSet::default(), LabelSet::and)
    }

    /// Whether anything is compared: without that a task needs no key and no memory.
    pub(crate) const fn keyed(&self) -> bool {
        self.keyed
    }

    /// Whether a text is a value of the type that an input has, by the input's place.
    pub(crate) fn admits(&self, input: usize, text: &str) -> bool {
        let kind = self.inputs.get(input).and_then(|input| input.kind);
        kind.is_none_or(|kind| !flyball_typed::read(kind, text).is_empty())
    }

    /// An action of the profile, and its number.
    pub(super) fn act(&self, action: &str) -> Option<(u16, &Act)> {
        let number = *self.numbers.get(action)?;
        self.actions.get(usize::from(number)).map(|act| (number, act))
    }

    /// A source.
    pub(super) fn source(&self, at: usize) -> Option<&Source> {
        self.sources.get(at)
    }

    /// What is added up of a source: a place, and what must stand in the same row.
    pub(super) fn sum(&self, at: usize) -> Option<&(u16, Chosen)> {
        self.sums.get(at)?.as_ref()
    }

    /// Whether something of an action's results is added up.
    pub(super) fn adds(&self, action: u16) -> bool {
        self.places.iter().any(|place| place.adds && place.action == action)
    }

    /// A source as an author writes it.
    pub(super) fn source_text(&self, at: usize) -> &str {
        self.texts.get(at).map_or("", AsRef::as_ref)
    }

    /// A place of kept values.
    pub(super) fn place(&self, at: u16) -> Option<&Place> {
        self.places.get(usize::from(at))
    }

    /// The action and field of a place.
    pub(super) fn whose(&self, place: &Place) -> Option<(&Act, &Field)> {
        let act = self.actions.get(usize::from(place.action))?;
        act.form.fields.get(usize::from(place.field)).map(|field| (act, field))
    }

    /// What the meaning of kept bytes hangs on.
    pub(super) const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

impl InputSpec {
    fn new(name: &str, kind: &str) -> Self {
        let kind = Kind::parse(kind).filter(|kind| !matches!(kind, Kind::Text | Kind::Bool));
        Self { name: Box::from(name), kind, sought: KindSet::default() }
    }
}

/// The place of an input.
pub(super) fn input(inputs: &[InputSpec], name: &str) -> Result<usize, String> {
    inputs.iter().position(|input| *input.name == *name).ok_or_else(|| format!("there is no input `{name}`"))
}
