//! Days, times and moments held against those of sources.

use flyball_typed::{Date, DayWord, Kind, Time};

use super::LabelSet;
use super::demand::Span;
use super::fact::{Code, Fact, Moment};
use super::work::Work;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What sources offer, in their order, with the labels of where it stood.
#[derive(Debug, Default)]
pub(super) struct Temporal {
    dates: Vec<(Date, LabelSet)>,
    times: Vec<(Time, LabelSet)>,
    moments: Vec<(Moment, LabelSet)>,
}

/// The codes of facts that [`Temporal::add`] takes.
pub(super) const CODES: [Code; 4] =
    [Code::of(Kind::Date), Code::of(Kind::Time), Code::of(Kind::DateTime), Code::DAY_WORD];

/// A day word as the day that it means; nothing, where it is not known which day it is.
pub(super) fn resolved(word: DayWord, today: Option<Date>) -> Option<Date> {
    let today = today.filter(|today| today.year.is_some())?;
    Some(word.resolve(today))
}

impl Temporal {
    /// Take on a fact.
    pub(super) fn add(&mut self, fact: Fact, labels: LabelSet, today: Option<Date>) {
        if let Some(moment) = fact.as_moment() {
            self.moments.push((moment, labels));
        }
        if let Some(date) = fact.as_date().or_else(|| resolved(fact.as_day_word()?, today)) {
            self.dates.push((date, labels));
        }
        if let Some(time) = fact.as_time() {
            self.times.push((time, labels));
        }
    }

    /// How many facts there are.
    fn len(&self) -> usize {
        self.dates.len() + self.times.len() + self.moments.len()
    }

    /// The labels of what a value comes from, if it comes from anything here. `plus`: spans that may
    /// be added to a source.
    pub(super) fn matches(&self, fact: Fact, span: &Span, plus: &[i64], work: &mut Work) -> Option<LabelSet> {
        let none = [0];
        let plus = if plus.is_empty() && span.plus.is_empty() && span.plus_from.is_empty() { &none[..] } else { plus };
        plus.iter().find_map(|plus| {
            work.spend(1 + self.len())?;
            if span.same_day || fact.code == Code::of(Kind::Date) {
                let date = match fact.as_moment() {
                    Some(moment) => earlier(moment, *plus)?.date,
                    None => date_earlier(fact.as_date()?, *plus)?,
                };
                return self.date(date, span.within);
            }
            if let Some(moment) = fact.as_moment() {
                let moment = earlier(moment, *plus)?;
                return self.equal(moment).or_else(|| self.after(moment, span.within?, work));
            }
            self.time(fact.as_time()?, *plus, span.within)
        })
    }

    fn date(&self, date: Date, within: Option<i64>) -> Option<LabelSet> {
        let equal = self.dates.iter().find(|(other, _)| date.matches(other));
        let later = || {
            let within = within? / DAY_MS;
            self.dates.iter().find(|(from, _)| {
                let from = Date { year: from.year.or(date.year), ..*from };
                days(date).zip(days(from)).is_some_and(|(to, from)| (0..=within).contains(&(to - from)))
            })
        };
        equal.or_else(later).map(|(_, labels)| *labels)
    }

    fn time(&self, time: Time, plus: i64, within: Option<i64>) -> Option<LabelSet> {
        let at = (i64::from(time.0) * 1000).checked_sub(plus)?;
        let found = self.times.iter().find(|(from, _)| {
            let past = (at - i64::from(from.0) * 1000).rem_euclid(DAY_MS);
            past == 0 || within.is_some_and(|within| past <= within)
        });
        found.map(|(_, labels)| *labels)
    }

    /// A source moment, or a source's day with a source's time.
    fn equal(&self, moment: Moment) -> Option<LabelSet> {
        if let Some((_, labels)) = self.moments.iter().find(|(other, _)| same(moment, *other)) {
            return Some(*labels);
        }
        if self.elsewhere(moment) {
            return None;
        }
        let (_, day) = self.dates.iter().find(|(other, _)| moment.date.matches(other))?;
        // The whole day: nobody needs to have said the hour.
        if matches!(moment.time.0, 0 | 86_340..) {
            return Some(*day);
        }
        self.times.iter().find(|(time, _)| *time == moment.time).map(|(_, time)| day.and(*time))
    }

    /// Whether a source moment has this wall time with another offset. Then its day and its time put
    /// together would be the moment that the source just does not mean.
    fn elsewhere(&self, moment: Moment) -> bool {
        let Some(here) = moment.offset else { return false };
        self.moments.iter().any(|(other, _)| {
            let wall = moment.date.matches(&other.date) && moment.time == other.time;
            wall && other.offset.is_some_and(|there| there != here)
        })
    }

    /// At most so much after a source moment, or after a source's day with a source's time.
    fn after(&self, moment: Moment, within: i64, work: &mut Work) -> Option<LabelSet> {
        let inside = |from: Moment| {
            let past = wall_ms(moment).zip(wall_ms(from)).map(|(to, from)| to - from);
            let past = match (moment.offset, from.offset) {
                (Some(to), Some(from)) => past.map(|past| past - i64::from(to - from) * 60_000),
                _ => past,
            };
            past.is_some_and(|past| (0..=within).contains(&past))
        };
        if let Some((_, labels)) = self.moments.iter().find(|(from, _)| inside(*from)) {
            return Some(*labels);
        }
        if self.elsewhere(moment) {
            return None;
        }
        self.dates.iter().find_map(|(date, day)| {
            let date = Date { year: date.year.or(moment.date.year), ..*date };
            // Only a day from which the span reaches is put together with times.
            let span = within / DAY_MS + 1;
            if !days(moment.date).zip(days(date)).is_some_and(|(to, from)| (0..=span).contains(&(to - from))) {
                return None;
            }
            work.spend(1 + self.times.len())?;
            let at = |time: Time| {
                let from = Moment { date, time, offset: None };
                inside(from) && !self.elsewhere(Moment { offset: moment.offset, ..from })
            };
            // From midnight on only where that day was meant, and not a moment of it.
            if !self.moments.iter().any(|(moment, _)| moment.date.matches(&date)) && at(Time(0)) {
                return Some(*day);
            }
            self.times.iter().find(|(time, _)| at(*time)).map(|(_, time)| day.and(*time))
        })
    }
}

fn days(date: Date) -> Option<i64> {
    date.days().map(i64::from)
}

/// Milliseconds since 1970 on the wall.
fn wall_ms(moment: Moment) -> Option<i64> {
    Some(days(moment.date)? * DAY_MS + i64::from(moment.time.0) * 1000)
}

/// Whether both are the same moment: where both say how far they are from UTC, in UTC; else on the wall.
fn same(one: Moment, other: Moment) -> bool {
    match (one.offset, other.offset) {
        (Some(here), Some(there)) if here != there => {
            let utc = |moment, offset| wall_ms(moment).map(|ms| ms - i64::from(offset) * 60_000);
            utc(one, here).zip(utc(other, there)).is_some_and(|(one, other)| one == other)
        }
        _ => one.date.matches(&other.date) && one.time == other.time,
    }
}

fn earlier(moment: Moment, by: i64) -> Option<Moment> {
    if by == 0 {
        return Some(moment);
    }
    let ms = wall_ms(moment)?.checked_sub(by)?;
    let date = Date::from_days(i32::try_from(ms.div_euclid(DAY_MS)).ok()?)?;
    let left = ms.rem_euclid(DAY_MS);
    (left % 1000 == 0).then(|| u32::try_from(left / 1000).ok()).flatten().map(|seconds| Moment {
        date,
        time: Time(seconds),
        offset: moment.offset,
    })
}

fn date_earlier(date: Date, by: i64) -> Option<Date> {
    if by == 0 {
        return Some(date);
    }
    if by % DAY_MS != 0 {
        return None;
    }
    date.add_days(i32::try_from(by / DAY_MS).ok()?.checked_neg()?)
}
