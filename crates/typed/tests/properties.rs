//! What holds for any text.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod common;

use flyball_typed::{Date, Datum, DayWord, Kind, Readings, find, numeral, read, words};
use proptest::prelude::*;

/// Text with the characters that formats look at, and with those that imitate them.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[0-9]{1,5}".prop_map(String::from),
        4 => "[-/.,:;+@#$%&'\"<>()\\[\\] \t\n_~T]{1,3}".prop_map(String::from),
        3 => prop::sample::select(vec![
            "May", "june", "15th", "the", "of", "to", "and", "in", "a", "an", "half", "hour", "days", "week", "ago",
            "next", "Monday", "today", "tomorrow", "pm", "AM", "o'clock", "noon", "two", "twenty", "hundred",
            "million", "USD", "EUR", "euros", "https://", "www.", "example.com", "a@b.co", "PT1H", "DE89", "C:\\",
            "../", "from", "at", "on", "2024", "10:00",
        ]).prop_map(String::from),
        2 => prop::sample::select(vec![
            "€", "£", "–", "—", "“", "”", "\u{a0}", "\u{202f}", "\u{200b}", "\u{200d}", "\u{202e}", "\u{301}", "а",
            "１", "\u{212a}", "İ", "ß", "\u{fb01}", "\u{1e9e}", "\u{feff}", "\0",
        ]).prop_map(String::from),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

fn found(kind: Kind, text: &str) -> Vec<Readings> {
    let mut all = Vec::new();
    find(kind, text, &mut |readings| all.push(readings));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// No text makes reading or finding panic; a callback always gets a reading.
    #[test]
    fn nothing_panics(text in text()) {
        for kind in Kind::ALL {
            let _ = read(kind, &text);
            for readings in found(kind, &text) {
                prop_assert!(!readings.is_empty());
            }
        }
        let _ = numeral(&text);
        let _ = words(&text).count();
    }

    /// The normal form of a string value is its own normal form; the base form of a word need not be.
    #[test]
    fn normal_forms_are_idempotent(text in text()) {
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Words) {
            for readings in std::iter::once(read(kind, &text)).chain(found(kind, &text)) {
                for datum in readings {
                    if let Datum::Str { normal, .. } = &datum {
                        let again = read(kind, normal);
                        prop_assert_eq!(again.as_slice(), std::slice::from_ref(&datum), "{:?} of {:?}", kind, text);
                    }
                }
            }
        }
    }

    /// The words of words are themselves.
    #[test]
    fn words_are_idempotent(text in text()) {
        let once: Vec<String> = words(&text).map(std::borrow::Cow::into_owned).collect();
        let again: Vec<String> = words(&once.join(" ")).map(std::borrow::Cow::into_owned).collect();
        prop_assert_eq!(once, again);
    }

    /// A date that is read is found, with the same readings, between other words.
    #[test]
    fn dates_are_found_where_they_are_read(year in 1900_i32..2199, month in 1_u8..=12, day in 1_u8..=31, form in 0..6) {
        let names = ["January", "Feb", "March", "Apr.", "May", "June", "July", "Aug", "Sept.", "October", "Nov", "December"];
        let name = names[usize::from(month - 1)];
        let text = match form {
            0 => format!("{year:04}-{month:02}-{day:02}"),
            1 => format!("{day} {name} {year}"),
            2 => format!("{name} {day}th, {year}"),
            3 => format!("{month}/{day}/{year}"),
            4 => format!("{day:02}.{month:02}.{year}"),
            _ => format!("{name} {day}"),
        };
        let readings = read(Kind::Date, &text);
        let exists = Date::new((form != 5).then_some(year), month, day);
        prop_assert_eq!(exists.is_some_and(|date| readings.contains(&Datum::Date(date))), exists.is_some());
        if readings.is_empty() {
            return Ok(());
        }
        prop_assert_eq!(found(Kind::Date, &format!("We meet on {text}, she said.")), vec![readings.clone()]);
        prop_assert_eq!(found(Kind::Date, &text), vec![readings]);
    }

    /// An address that is read is found between other words and in angle brackets.
    #[test]
    fn addresses_are_found_where_they_are_read(address in "[a-zA-Z0-9][a-zA-Z0-9._+%-]{0,12}@[a-zA-Z0-9-]{1,9}\\.[a-z]{1,4}") {
        let readings = read(Kind::Email, &address);
        if !readings.is_empty() {
            prop_assert_eq!(found(Kind::Email, &format!("Write to {address}. Now")), vec![readings.clone()]);
            prop_assert_eq!(found(Kind::Email, &format!("<{address}>")), vec![readings]);
        }
    }

    /// Amounts in digits are found with their readings, and mean the number that was written.
    #[test]
    fn amounts_are_found_where_they_are_read(whole in 0_i64..10_000_000, cents in 0_i64..100, sign in 0..4) {
        let digits = format!("{whole}.{cents:02}");
        let text = match sign {
            0 => format!("${digits}"),
            1 => format!("{digits} EUR"),
            2 => format!("USD {digits}"),
            _ => format!("{digits} pounds"),
        };
        let readings = read(Kind::Money, &text);
        let amount = whole * 10_000 + cents * 100;
        let right = matches!(readings.as_slice(), [Datum::Money { amount: read, currency: Some(_) }] if *read == amount);
        prop_assert!(right, "{:?}", readings);
        prop_assert_eq!(found(Kind::Money, &format!("Pay {text} now.")), vec![readings]);
        prop_assert_eq!(numeral(&digits), Some(amount));
    }

    /// An unseen character at the end or at the beginning of a value leaves no value that was there without it.
    #[test]
    fn unseen_characters_hide_no_value(
        text in prop::sample::select(vec![
            (Kind::Date, "2024-05-15"), (Kind::Date, "May 15th"), (Kind::Time, "13:00"), (Kind::Email, "a@b.co"),
            (Kind::Iban, "DE89370400440532013000"), (Kind::Money, "$20"), (Kind::Number, "42"), (Kind::Id, "AB-12"),
            (Kind::Duration, "1 hour"), (Kind::DateTime, "2024-05-15T10:00"), (Kind::Phone, "+15551234567"),
            (Kind::Url, "https://example.com/"), (Kind::Host, "example.com"), (Kind::Path, "a/b.txt"),
        ]),
        unseen in prop::sample::select(vec!['\u{200b}', '\u{200d}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{ad}']),
        place in 0_usize..24,
    ) {
        let (kind, text) = text;
        let place = place.min(text.len());
        let hidden = format!("{}{unseen}{}", &text[..place], &text[place..]);
        let plain = read(kind, text);
        prop_assert!(!plain.is_empty());
        prop_assert!(read(kind, &hidden).is_empty(), "{:?} {:?}", kind, hidden);
        prop_assert!(!found(kind, &hidden).contains(&plain), "{:?} {:?}", kind, hidden);
    }

    /// Days count through every year, and the weekday goes with them.
    #[test]
    fn days_and_dates_are_each_others_inverse(days in -719_162_i32..=2_932_896) {
        let date = Date::from_days(days).unwrap();
        prop_assert_eq!(date.days(), Some(days));
        prop_assert_eq!(date.add_days(7).and_then(|next| next.weekday()).or(date.weekday()), date.weekday());
    }

    /// A weekday is within a week of today: from today on, after today, before today.
    #[test]
    fn weekdays_resolve_within_a_week(days in -100_000_i32..100_000, weekday in 1_u8..=7) {
        let today = Date::from_days(days).unwrap();
        let away = |word: DayWord| {
            let day = word.resolve(today);
            prop_assert_eq!(day.weekday(), Some(weekday));
            Ok(day.days().unwrap() - days)
        };
        prop_assert!((0..7).contains(&away(DayWord::Weekday(weekday))?));
        prop_assert!((1..=7).contains(&away(DayWord::NextWeekday(weekday))?));
        prop_assert!((-7..0).contains(&away(DayWord::LastWeekday(weekday))?));
    }
}
