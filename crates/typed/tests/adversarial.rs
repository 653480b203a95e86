//! Texts that are written to be taken for others, and texts that are written to be slow.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use flyball_typed::{Datum, Kind, Readings, find, numeral, read, words};
use std::time::{Duration, Instant};

fn found(kind: Kind, text: &str) -> Vec<Readings> {
    let mut all = Vec::new();
    find(kind, text, &mut |readings| all.push(readings));
    all
}

/// A text that looks like a value is another value, or none; it is never the value it looks like, neither
/// read nor found.
#[test]
fn look_alikes_are_never_what_they_imitate() {
    let pairs = [
        (Kind::Email, "payee@example.com", "pаyee@example.com"),
        (Kind::Email, "payee@example.com", "payee@exаmple.com"),
        (Kind::Email, "payee@example.com", "ｐayee@example.com"),
        (Kind::Email, "payee@example.com", "payee@example.com\u{301}"),
        (Kind::Email, "payee@example.com", "payee＠example.com"),
        (Kind::Email, "payee@example.com", "payee@example。com"),
        (Kind::Email, "kate@example.com", "\u{212a}ate@example.com"),
        (Kind::Email, "info@example.com", "İnfo@example.com"),
        (Kind::Host, "example.com", "examplе.com"),
        (Kind::Host, "example.com", "ｅxample.com"),
        (Kind::Host, "127.0.0.1", "127.0.0.１"),
        (Kind::Url, "https://example.com/", "https://exam\u{440}le.com/"),
        (Kind::Url, "https://example.com/", "https://example.com\u{2044}"),
        (Kind::Url, "https://example.com/", "https://example.com@evil.com/"),
        (Kind::Url, "https://example.com/", "https://evil.com\\@example.com/"),
        (Kind::Date, "2024-05-15", "２０２４-05-15"),
        (Kind::Date, "2024-05-15", "2024\u{2010}05\u{2010}15"),
        (Kind::Date, "2024-05-15", "2024-05-1٥"),
        (Kind::Date, "15 May 2024", "15 Mау 2024"),
        (Kind::Time, "13:00", "13\u{2236}00"),
        (Kind::Time, "13:00", "１3:00"),
        (Kind::Number, "100", "10０"),
        (Kind::Number, "100", "1OO"),
        (Kind::Money, "$100", "＄100"),
        (Kind::Money, "$100", "$1О0"),
        (Kind::Iban, "DE89370400440532013000", "DЕ89370400440532013000"),
        (Kind::Iban, "DE89370400440532013000", "DE8937O400440532013000"),
        (Kind::Phone, "+15551234567", "＋15551234567"),
        (Kind::Phone, "+15551234567", "+1555123456７"),
        (Kind::Id, "A-1", "А-1"),
        (Kind::Id, "K-1", "\u{212a}-1"),
        (Kind::Id, "A-1", "A\u{2011}1"),
        (Kind::Path, "a/b.txt", "a\u{2215}b.txt"),
        (Kind::Path, "a/b.txt", "а/b.txt"),
        (Kind::Path, "a/txt.exe", "a/\u{202e}exe.txt"),
        (Kind::Duration, "1 hour", "１ hour"),
        (Kind::Bool, "yes", "yеs"),
        (Kind::Text, "kelvin", "\u{212a}elvin"),
        (Kind::Text, "pay ann", "pаy ann"),
    ];
    for (kind, real, fake) in pairs {
        let value = read(kind, real);
        assert!(!value.is_empty(), "{kind:?} {real:?}");
        for text in [fake.to_owned(), format!("see {fake}, please")] {
            let given = std::iter::once(read(kind, &text)).chain(found(kind, &text)).flatten();
            let same = given.filter(|datum| value.contains(datum)).count();
            assert_eq!(same, 0, "{kind:?} {text:?} is taken for {real:?}");
        }
    }
}

/// Two spellings of the same characters are one value.
#[test]
fn composed_and_decomposed_are_one() {
    for (kind, one, other) in [
        (Kind::Id, "café-1", "cafe\u{301}-1"),
        (Kind::Path, "ö.txt", "o\u{308}.txt"),
        (Kind::Email, "müller@b.de", "mu\u{308}ller@b.de"),
        (Kind::Text, "Ça va", "ça va"),
    ] {
        assert_eq!(read(kind, one), read(kind, other));
        assert!(!read(kind, one).is_empty());
        assert_eq!(found(kind, one), found(kind, other));
    }
}

/// What does not fit has no reading, at every door; nothing wraps to a small number.
#[test]
fn what_does_not_fit_is_none() {
    for digits in
        ["922337203685477.5808", "9223372036854775807", "18446744073709551617", &"9".repeat(31), &"9".repeat(5000)]
    {
        assert!(read(Kind::Number, digits).is_empty());
        assert!(read(Kind::Money, &format!("${digits}")).is_empty());
        assert!(found(Kind::Number, digits).is_empty());
        assert!(found(Kind::Money, &format!("${digits}")).is_empty());
        assert!(read(Kind::Duration, &format!("{digits} weeks")).is_empty());
        assert_eq!(numeral(digits), None);
    }
    assert!(read(Kind::Number, "900000000 billion").is_empty());
    assert!(read(Kind::Number, "0.00001").is_empty());
    assert_eq!(numeral("1e15"), None);
    assert_eq!(numeral("1e2147483647"), None);
    assert_eq!(numeral("1e-5"), None);
    assert_eq!(numeral("0e99"), Some(0));
    assert_eq!(numeral("1.25e1"), Some(125_000));
    assert_eq!(numeral("-0.5"), Some(-5_000));
    assert_eq!(numeral("922337203685477.5807"), Some(i64::MAX));
}

fn look_through(kind: Kind, seed: &str, size: usize) -> Duration {
    let text = seed.repeat(size / seed.len());
    let start = Instant::now();
    find(kind, &text, &mut |_| ());
    let _ = read(kind, &text);
    let _ = words(&text).count();
    start.elapsed()
}

/// A megabyte is looked through in seconds, though the build is not optimised and the machine is shared.
#[test]
fn a_megabyte_is_looked_through() {
    for kind in Kind::ALL {
        let taken = look_through(kind, "May 1 to \"x' a@1.2-", 1 << 20);
        assert!(taken < Duration::from_secs(60), "{kind:?}");
    }
}

/// Whatever is repeated, the work does not grow with the square of the length.
#[test]
fn no_text_is_slow() {
    let seeds = [
        "1",
        "-",
        "a",
        "@",
        "a@",
        "1-",
        "1/",
        "1.",
        "1,",
        " 'a",
        "\"",
        "\"a",
        "“a ",
        "(",
        "((1",
        "+1 ",
        "a.",
        "://",
        "a://",
        "May ",
        "May 1 to ",
        "1 and ",
        "10:00-",
        "2024-05-15/",
        "the ",
        "DE89 ",
        "in ",
        "one and a ",
        "twenty ",
        "P1D",
        "$",
        "€1",
        "\u{301}",
        "e\u{301}",
        "\u{200b}",
        "а",
        "\u{a0}",
        "1 \u{a0}",
        "[a](",
        ")",
        "'s",
        "a'",
        "..",
        "../",
        "next Monday ",
        "a@b.co ",
        "x=",
        "#1",
        "2024-05-15T10:00:00+02:00 ",
    ];
    for seed in seeds {
        for kind in Kind::ALL {
            assert!(look_through(kind, seed, 1 << 15) < Duration::from_secs(3), "{kind:?} of {seed:?}");
        }
    }
}

/// Overlong values are none.
#[test]
fn overlong_values_are_none() {
    let long = "a".repeat(1 << 20);
    for (kind, text) in [
        (Kind::Id, long.clone()),
        (Kind::Email, format!("{long}@example.com")),
        (Kind::Email, format!("a@{long}.com")),
        (Kind::Url, format!("https://example.com/{long}")),
        (Kind::Host, format!("{long}.com")),
        (Kind::Path, format!("/{long}")),
        (Kind::Phone, "1".repeat(1 << 20)),
        (Kind::Text, long.clone()),
    ] {
        assert!(read(kind, &text).is_empty(), "{kind:?}");
        assert!(found(kind, &text).is_empty(), "{kind:?}");
    }
}

/// A value keeps its kind: an address is never equal to an identifier of the same characters.
#[test]
fn kinds_are_told_apart() {
    let id = Datum::Str { kind: Kind::Id, normal: "a@b.co".into() };
    assert!(!read(Kind::Email, "a@b.co").contains(&id));
    assert_eq!(read(Kind::Id, "a@b.co").as_slice(), [id]);
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(Kind::parse("Date"), None);
}
