//! Sets of types, and reading values as them.

use flyball_typed::{Datum, Kind, Readings, email_host, find, numeral, read, url_host, without_www};
use smol_str::SmolStr;

use super::Leaf;

/// A set of types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KindSet(u16);

impl KindSet {
    /// One type alone.
    pub(crate) fn one(kind: Kind) -> Self {
        Self(Kind::ALL.iter().position(|other| *other == kind).map_or(0, |place| 1 << place))
    }

    /// The values that an argument of this type is compared with: a moment also with days and times.
    pub(crate) fn sought(kind: Kind) -> Self {
        match kind {
            Kind::DateTime => Self::one(kind).and(Self::one(Kind::Date)).and(Self::one(Kind::Time)),
            other => Self::one(other),
        }
    }

    /// Both together.
    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without the types of the other.
    #[must_use]
    pub(crate) const fn less(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the type is among them.
    pub(crate) fn has(self, kind: Kind) -> bool {
        self.0 & Self::one(kind).0 != 0
    }

    /// The types, in order.
    pub(crate) fn kinds(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Every reading of an argument's value as that type.
pub(crate) fn readings(kind: Kind, leaf: Leaf<'_>) -> Readings {
    let number = |make: &dyn Fn(i64) -> Datum, text: &str| numeral(text).map(make).into_iter().collect();
    match (kind, leaf) {
        (_, Leaf::Wrong) => Readings::new(),
        // JSON's own numbers are read as JSON means them.
        (Kind::Number, Leaf::Number(text)) => number(&Datum::Number, text),
        (Kind::Money, Leaf::Number(text)) => number(&|amount| Datum::Money { amount, currency: None }, text),
        (Kind::Bool, Leaf::Bool(yes)) => std::iter::once(Datum::Bool(yes)).collect(),
        (Kind::Host, Leaf::Text(text)) => {
            let host = read(kind, text);
            if host.is_empty() { hosts(text) } else { host }
        }
        (kind, leaf) => leaf.text().map(|text| read(kind, text)).unwrap_or_default(),
    }
}

/// The host of a URL or of an address.
pub(super) fn hosts(text: &str) -> Readings {
    let from = |kind: Kind, part: fn(&str) -> Option<&str>| {
        let readings = read(kind, text);
        let hosts = readings.iter().filter_map(|datum| match datum {
            Datum::Str { normal, .. } => part(normal),
            _ => None,
        });
        hosts.map(|host| Datum::Str { kind: Kind::Host, normal: SmolStr::new(without_www(host)) }).collect::<Readings>()
    };
    let host = from(Kind::Url, url_host);
    if host.is_empty() { from(Kind::Email, email_host) } else { host }
}

/// Hand over the values of the sought types in one value of a source. `declared`: its type there;
/// none: anything. In running text they are found; a value of another type is read as it stands.
pub(crate) fn values(declared: Option<Kind>, sought: KindSet, leaf: Leaf<'_>, each: &mut dyn FnMut(Readings)) {
    let Some(text) = leaf.text() else { return };
    let mut give = |readings: Readings| {
        if !readings.is_empty() {
            each(readings);
        }
    };
    for kind in sought.kinds().filter(|kind| *kind != Kind::Text) {
        match declared {
            None | Some(Kind::Text) => {
                let whole = readings(kind, leaf);
                // A text that is one value has no other in it; nearly any text is an id or a path.
                let loose = matches!(kind, Kind::Id | Kind::Url | Kind::Host | Kind::Path);
                if (whole.is_empty() || loose) && matches!(leaf, Leaf::Text(_)) {
                    find(kind, text, &mut give);
                }
                give(whole);
            }
            Some(Kind::DateTime) if matches!(kind, Kind::Date | Kind::Time) => {
                give(readings(Kind::DateTime, leaf).iter().filter_map(|datum| part(kind, datum)).collect());
                give(readings(kind, leaf));
            }
            Some(_) => give(readings(kind, leaf)),
        }
    }
}

/// The day or the time of a moment.
fn part(kind: Kind, datum: &Datum) -> Option<Datum> {
    match (kind, datum) {
        (Kind::Date, Datum::DateTime { date, .. }) => Some(Datum::Date(*date)),
        (Kind::Time, Datum::DateTime { time, .. }) => Some(Datum::Time(*time)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(declared: Option<Kind>, sought: Kind, text: &str) -> Vec<Readings> {
        let mut out = Vec::new();
        values(declared, KindSet::sought(sought), Leaf::Text(text), &mut |readings| out.push(readings));
        out
    }

    #[test]
    fn running_text_is_searched_and_a_typed_field_is_not() {
        assert_eq!(all(Some(Kind::Text), Kind::Email, "write to a@b.example, or c@d.example").len(), 2);
        assert!(all(Some(Kind::Id), Kind::Email, "write to a@b.example").is_empty());
        assert_eq!(all(Some(Kind::Id), Kind::Email, "A@b.example"), all(Some(Kind::Email), Kind::Email, "a@B.example"));
    }

    #[test]
    fn a_moment_offers_its_day_and_its_time() {
        let found = all(Some(Kind::DateTime), Kind::DateTime, "2024-05-15 10:00");
        assert!(found.iter().any(|readings| matches!(readings.as_slice(), [Datum::DateTime { .. }])));
        assert!(found.iter().any(|readings| matches!(readings.as_slice(), [Datum::Date(_)])));
        assert!(found.iter().any(|readings| matches!(readings.as_slice(), [Datum::Time(_)])));
    }

    #[test]
    fn hosts_are_read_off_addresses() {
        let host = |text| readings(Kind::Host, Leaf::Text(text));
        assert_eq!(host("https://Files.example/x?y"), host("files.example"));
        assert_eq!(host("a@files.example"), host("files.example"));
    }

    #[test]
    fn numbers_of_json_are_what_json_means() {
        assert_eq!(readings(Kind::Number, Leaf::Number("12.5")).as_slice(), [Datum::Number(125_000)]);
        assert!(readings(Kind::Number, Leaf::Number("9007199254740993000000")).is_empty());
        assert_eq!(
            readings(Kind::Id, Leaf::Number("9007199254740993")),
            readings(Kind::Id, Leaf::Text("9007199254740993"))
        );
        assert!(readings(Kind::Id, Leaf::Wrong).is_empty());
    }
}
