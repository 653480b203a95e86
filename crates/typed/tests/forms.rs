//! Forms derived from values, and the days that words mean.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use flyball_typed::{Date, Datum, DayWord, Kind, email_host, path_name, path_parent, read, url_host, url_path, words};

fn day(text: &str) -> Date {
    match read(Kind::Date, text).as_slice() {
        [Datum::Date(date)] => *date,
        other => panic!("{text}: {other:?}"),
    }
}

/// Hosts, paths and folders are taken from normal forms.
#[test]
fn derived_forms() {
    assert_eq!(email_host("ann@example.com"), Some("example.com"));
    assert_eq!(url_host("https://example.com:8443/a?b=c"), Some("example.com"));
    assert_eq!(url_host("https://[2001:db8::1]:80/"), Some("2001:db8::1"));
    assert_eq!(url_host("www.example.com/a"), Some("www.example.com"));
    assert_eq!(url_path("https://example.com/a/b?c=/d"), Some("/a/b"));
    assert_eq!(url_path("www.example.com/"), Some("/"));
    assert_eq!(path_parent("/a/b.txt"), Some("/a"));
    assert_eq!(path_parent("/a"), Some("/"));
    assert_eq!(path_parent("a"), None);
    assert_eq!(path_parent("/"), None);
    assert_eq!(path_name("/a/b.txt"), Some("b.txt"));
    assert_eq!(path_name("/"), None);
}

/// A missing year matches any year; a wrong one matches none.
#[test]
fn a_date_without_a_year_matches_any() {
    let open = day("May 15");
    assert!(open.matches(&day("2024-05-15")) && day("2024-05-15").matches(&open));
    assert!(!open.matches(&day("2024-05-16")));
    assert!(!day("2023-05-15").matches(&day("2024-05-15")));
    assert_eq!(open.days(), None);
    assert_eq!(open.add_days(1), None);
}

/// Days count from 1970-01-01 and step over leap days; beyond the year 9999 there is none.
#[test]
fn days_are_counted() {
    assert_eq!(day("1970-01-01").days(), Some(0));
    assert_eq!(day("2000-02-29").days(), Some(11_016));
    assert_eq!(day("2024-02-28").add_days(2), Some(day("2024-03-01")));
    assert_eq!(day("9999-12-31").add_days(1), None);
    assert_eq!(day("2024-05-15").add_days(i32::MAX), None);
    assert_eq!(day("2024-05-15").weekday(), Some(3));
    assert_eq!(Date { year: Some(2023), month: 2, day: 29 }.days(), None);
    assert_eq!(Date::from_days(i32::MAX), None);
}

/// "Saturday" is today on a Saturday, "next Saturday" is a week later, "last Saturday" a week before.
#[test]
fn words_are_resolved_from_today() {
    let saturday = day("2024-05-18");
    assert_eq!(DayWord::Offset(1).resolve(saturday), day("2024-05-19"));
    assert_eq!(DayWord::Weekday(6).resolve(saturday), saturday);
    assert_eq!(DayWord::NextWeekday(6).resolve(saturday), day("2024-05-25"));
    assert_eq!(DayWord::LastWeekday(6).resolve(saturday), day("2024-05-11"));
    assert_eq!(DayWord::Weekday(1).resolve(saturday), day("2024-05-20"));
    assert_eq!(DayWord::LastWeekday(5).resolve(saturday), day("2024-05-17"));
    assert_eq!(DayWord::Offset(i32::MIN).resolve(saturday), saturday);
}

/// Words lose their case and the punctuation around them, and nothing that means something.
#[test]
fn words_are_folded() {
    let folded = |text: &str| words(text).collect::<Vec<_>>().join("|");
    assert_eq!(folded("Hello, \"World\"! - (yes)"), "hello|world|yes");
    assert_eq!(folded("$5 is not 5 or -5, 50%"), "$5|is|not|5|or|-5|50%");
    assert_eq!(folded("Don't e-mail a_b/c."), "don't|e-mail|a_b/c");
    assert_eq!(folded("ÇA\u{a0}VA cafe\u{301}"), "ça|va|café");
    assert_eq!(folded("Post to #General, (@ann) or #-5; C# # @"), "post|to|general|ann|or|-5|c#");
    assert_eq!(folded(" ... "), "");
}
