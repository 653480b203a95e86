//! Places: what is taken from which field, and what for.

use flyball_typed::Kind;

use super::form::Form;
use super::kinds::KindSet;
use super::program::{Chosen, InputSpec, Join, Source, input};
use super::{LabelSet, Path};
use crate::document::{ResultSource, RowTest};

/// What a kept value is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A source of the profile, by its place there.
    Source(usize),
    /// A field that a source's rows are chosen by, when a call is checked: the source and the test.
    Join(usize, usize),
    /// A field that no outsider can write.
    Trusted,
    /// A field with a label that free text must not carry.
    Labelled,
    /// Only to tell where a value came from.
    Explain,
}

/// Where a kept value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) role: Role,
    pub(super) action: u16,
    pub(super) field: u16,
    pub(super) labels: LabelSet,
    /// Whether one value is kept once, however often it comes.
    pub(super) once: bool,
    /// Whether its values are added up: each counts, also where two are the same, and only those of the
    /// action's latest result.
    pub(super) adds: bool,
}

/// What is taken from one field of an action's results.
#[derive(Debug)]
pub(super) struct Take {
    pub(super) field: u16,
    pub(super) place: u16,
    pub(super) role: Role,
    pub(super) sought: KindSet,
    pub(super) tests: Box<[Test]>,
    /// Field and place of what is compared when a call is checked.
    pub(super) joins: Box<[(u16, u16)]>,
    /// The same of the call's own arguments.
    pub(super) calls: Box<[Cited]>,
    /// By what the rows are named.
    pub(super) named: Box<[Named]>,
}

/// An argument of the call that made the result, which a call that is checked is compared with.
#[derive(Debug)]
pub(super) struct Cited {
    pub(super) path: Path,
    /// Its type; none: text.
    pub(super) kind: Option<Kind>,
    pub(super) place: u16,
}

/// A field, or an argument of the call, of which the row is named in an input; and the place of that name.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) of: Of,
    pub(super) input: usize,
    pub(super) place: u16,
}

/// A test of a row that is decided when the result is reported.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) of: Of,
    pub(super) what: What,
}

/// What is tested.
#[derive(Debug)]
pub(super) enum Of {
    /// A field of the row.
    Field(u16),
    /// An argument of the call that made the result, read as that type; none: text.
    Call(Path, Option<Kind>),
}

/// What a field is held against.
#[derive(Debug)]
pub(super) enum What {
    /// It stands in that input.
    In(usize),
    /// A word of it does.
    Partly(usize),
    /// It was found in that source of results, as that type (none: text), when the row came.
    Found(usize, Option<Kind>),
    /// It is that constant.
    Is(Box<str>),
    /// It is the greatest of its result.
    Max,
    /// It is the least of its result.
    Min,
}

/// Collects places.
pub(super) struct Places {
    pub(super) places: Vec<Place>,
}

impl Places {
    fn put(&mut self, place: Place) -> Result<u16, String> {
        let number = u16::try_from(self.places.len()).map_err(|_| "a profile asks for too much".to_owned())?;
        self.places.push(place);
        Ok(number)
    }

    /// A source of results: what is taken, where, and what it is joined with. `at`: the places of the
    /// source and of the action. `seeks`: the types, and whether every value counts.
    pub(super) fn source(
        &mut self,
        (at, action): (usize, u16),
        from: &ResultSource,
        form: &Form,
        (sought, adds): (KindSet, bool),
        (inputs, before): (&mut [InputSpec], &[Source]),
    ) -> Result<(Take, u16, Chosen), String> {
        let place_of = |name: &str| {
            let number = form.field(name);
            let number = number.ok_or_else(|| format!("`{}`: there is no field `{name}`", from.action))?;
            let field = form.fields.get(usize::from(number));
            field.map(|field| (number, field)).ok_or_else(|| "a field is lost".to_owned())
        };
        let (field, declared) = place_of(&from.field)?;
        let (mut tests, mut joins, mut pairs, mut calls) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut named, mut unique) = (Vec::new(), Vec::new());
        // Whoever writes what a row is chosen by has a hand in what it gives.
        let mut chosen_by = LabelSet::default();
        for (nth, row) in from.rows.iter().enumerate() {
            let (of, kind, labels) = if let Some(path) = &row.call {
                (Of::Call(argument(path)?, called(row)?), called(row)?, LabelSet::default())
            } else {
                let (number, tested) = place_of(&row.field)?;
                (Of::Field(number), tested.kind, tested.labels)
            };
            match (test(row)?, of) {
                (Way::Partly(name), of) => {
                    tests.push(Test { of, what: What::Partly(worded(inputs, name)?) });
                }
                (Way::Named(name), of) => {
                    let number = if let Of::Field(number) = of { number } else { field };
                    let role = Role::Join(at, nth);
                    let place = self.put(Place { role, action, field: number, labels, once: false, adds })?;
                    named.push(Named { of, input: worded(inputs, name)?, place });
                    unique.push(place);
                }
                (Way::Arg(path), of) => {
                    let number = if let Of::Field(number) = of { number } else { field };
                    let role = Role::Join(at, nth);
                    let place = self.put(Place { role, action, field: number, labels, once: false, adds })?;
                    match of {
                        Of::Field(number) => pairs.push((number, place)),
                        Of::Call(path, kind) => calls.push(Cited { path, kind, place }),
                    }
                    joins.push(Join { place, kind, path: argument(path)? });
                }
                (Way::In(name), of) => {
                    let place = input(inputs, name)?;
                    if let Some(input) = inputs.get_mut(place) {
                        input.sought = input.sought.and(KindSet::sought(kind.unwrap_or(Kind::Text)));
                    }
                    tests.push(Test { of, what: What::In(place) });
                }
                (Way::Found(source), of) => {
                    if matches!(kind, Some(Kind::Date | Kind::Time | Kind::DateTime)) {
                        return Err(format!("`{}`: no day or time is looked for in another result", from.action));
                    }
                    let place = match before.get(source) {
                        Some(Source::Result { place, chosen }) if chosen.joins.is_empty() => *place,
                        _ => {
                            return Err(format!("`{}`: rows are chosen by a source of results before it", from.action));
                        }
                    };
                    chosen_by = self.places.get(usize::from(place)).map_or(chosen_by, |at| chosen_by.and(at.labels));
                    let kind = kind.filter(|kind| *kind != Kind::Text);
                    tests.push(Test { of, what: What::Found(source, kind) });
                }
                (Way::Is(text), of) => tests.push(Test { of, what: What::Is(Box::from(text)) }),
                (Way::Extreme(_), Of::Call(..)) => {
                    return Err("an argument of a call is neither the greatest nor the least".to_owned());
                }
                (Way::Extreme(what), of) => tests.push(Test { of, what }),
            }
        }
        let labels = declared.labels.and(chosen_by);
        let once = joins.is_empty() && unique.is_empty() && !adds;
        let place = self.put(Place { role: Role::Source(at), action, field, labels, once, adds })?;
        let (role, joined, calls) = (Role::Source(at), pairs.into(), calls.into());
        let take = Take { field, place, role, sought, tests: tests.into(), joins: joined, calls, named: named.into() };
        Ok((take, place, Chosen { joins: joins.into(), named: unique.into() }))
    }

    /// What is taken from an action's fields beside its sources: what is trusted, what must not leave,
    /// and what only explains, which comes last.
    pub(super) fn fields(
        &mut self,
        action: u16,
        form: &Form,
        takes: &mut Vec<Take>,
        [trusted, explained]: [KindSet; 2],
        without: LabelSet,
    ) -> Result<(), String> {
        let fields = || (0_u16..).zip(&form.fields);
        let mut take = |field: u16, labels: LabelSet, role: Role, sought: KindSet| {
            let place = self.put(Place { role, action, field, labels, once: true, adds: false })?;
            takes.push(Take {
                field,
                place,
                role,
                sought,
                tests: Box::default(),
                joins: Box::default(),
                calls: Box::default(),
                named: Box::default(),
            });
            Ok::<_, String>(())
        };
        for (number, field) in fields() {
            if !trusted.is_empty() && !field.labels.meets(LabelSet::OUTSIDE) {
                take(number, field.labels, Role::Trusted, trusted)?;
            }
            if field.labels.meets(without) {
                take(number, field.labels, Role::Labelled, labelled())?;
            }
        }
        for (number, field) in fields().filter(|_| !explained.is_empty()) {
            take(number, field.labels, Role::Explain, explained)?;
        }
        Ok(())
    }
}

/// The types in which a labelled value is recognised; its words and tokens come beside them.
pub(super) fn labelled() -> KindSet {
    [Kind::Email, Kind::Url, Kind::Phone, Kind::Iban, Kind::Money, Kind::Text]
        .into_iter()
        .fold(KindSet::default(), |all, kind| all.and(KindSet::one(kind)))
}

fn argument(path: &str) -> Result<Path, String> {
    Path::parse(path).ok_or_else(|| format!("`{path}` is no path into an argument"))
}

/// As what an argument of a call is read; none: text.
fn called(row: &RowTest) -> Result<Option<Kind>, String> {
    let word = row.kind.as_deref().unwrap_or("text");
    let kind = Kind::parse(word).ok_or_else(|| format!("there is no type `{word}`"))?;
    Ok(Some(kind).filter(|kind| *kind != Kind::Text))
}

/// An input in which words are looked for.
fn worded(inputs: &mut [InputSpec], name: &str) -> Result<usize, String> {
    let place = input(inputs, name)?;
    if let Some(input) = inputs.get_mut(place) {
        input.sought = input.sought.and(KindSet::one(Kind::Words));
    }
    Ok(place)
}

enum Way<'a> {
    Partly(&'a str),
    Named(&'a str),
    In(&'a str),
    Arg(&'a str),
    Is(&'a str),
    Extreme(What),
    Found(usize),
}

fn test(row: &RowTest) -> Result<Way<'_>, String> {
    let plain = (&row.in_input, &row.is_arg, &row.is, row.extreme.as_deref());
    if let Some(source) = row.in_source {
        return match (plain, &row.partly, &row.named) {
            ((None, None, None, None), None, None) => Ok(Way::Found(source)),
            _ => Err(format!("`{}`: a row is chosen by one test at a time", row.field)),
        };
    }
    Ok(match plain {
        (None, None, None, None) => match (&row.partly, &row.named) {
            (Some(input), None) => Way::Partly(input),
            (None, Some(input)) => Way::Named(input),
            _ => return Err(format!("`{}`: a row is chosen by one test at a time", row.field)),
        },
        _ if row.partly.is_some() || row.named.is_some() => {
            return Err(format!("`{}`: a row is chosen by one test at a time", row.field));
        }
        (Some(input), None, None, None) => Way::In(input),
        (None, Some(arg), None, None) => Way::Arg(arg),
        (None, None, Some(text), None) => Way::Is(text),
        (None, None, None, Some("max")) => Way::Extreme(What::Max),
        (None, None, None, Some("min")) => Way::Extreme(What::Min),
        _ => return Err(format!("`{}`: a row is chosen by one test at a time", row.field)),
    })
}
