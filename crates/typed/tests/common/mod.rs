//! Values as the vectors write them.

#![allow(dead_code, reason = "each test uses its own part")]

use flyball_typed::{Date, Datum, DayWord, Kind, Readings, Time, find, read};
use serde_json::{Value, json};

/// One value in the form of vectors/typed/README.md.
pub fn value(datum: &Datum) -> Value {
    match datum {
        Datum::Str { normal, .. } => json!({"str": normal.as_str()}),
        Datum::Date(day) => json!({"date": date(*day)}),
        Datum::Time(at) => json!({"time": time(*at)}),
        Datum::DateTime { date: day, time: at, offset } => {
            let zone = offset.map_or(String::new(), |minutes| {
                let sign = if minutes < 0 { '-' } else { '+' };
                format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
            });
            json!({"datetime": format!("{}T{}{zone}", date(*day), time(*at))})
        }
        Datum::DayWord(DayWord::Offset(days)) => json!({"day": days}),
        Datum::DayWord(DayWord::Weekday(day)) => json!({"weekday": day}),
        Datum::DayWord(DayWord::NextWeekday(day)) => json!({"next_weekday": day}),
        Datum::DayWord(DayWord::LastWeekday(day)) => json!({"last_weekday": day}),
        Datum::Duration(seconds) => json!({"duration": seconds}),
        Datum::Number(number) => json!({"number": decimal(*number)}),
        Datum::Money { amount, currency } => {
            let currency = currency.map(|code| String::from_utf8_lossy(&code).into_owned());
            json!({"money": [decimal(*amount), currency]})
        }
        Datum::Bool(value) => json!({"bool": value}),
    }
}

pub fn values(readings: &Readings) -> Value {
    readings.iter().map(value).collect()
}

pub fn read_values(kind: Kind, text: &str) -> Value {
    values(&read(kind, text))
}

pub fn found_values(kind: Kind, text: &str) -> Value {
    let mut all = Vec::new();
    find(kind, text, &mut |readings| all.push(values(&readings)));
    Value::Array(all)
}

fn date(date: Date) -> String {
    let year = date.year.map_or("-".to_owned(), |year| format!("{year:04}"));
    format!("{year}-{:02}-{:02}", date.month, date.day)
}

fn time(Time(seconds): Time) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Ten-thousandths as a decimal without needless zeros.
fn decimal(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let (whole, rest) = (value.unsigned_abs() / 10_000, value.unsigned_abs() % 10_000);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{}", format!("{rest:04}").trim_end_matches('0'))
}
