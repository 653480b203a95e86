//! Days of the Gregorian calendar, and words that tell a day from another day.

/// A day of the calendar. Without a year it stands for that day of any year.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Date {
    /// The year, where it is given: 1 to 9999.
    pub year: Option<i32>,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Date {
    /// The day, if the calendar has it. The 29th of February without a year exists.
    pub fn new(year: Option<i32>, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_none_or(|year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
        let last = match month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return None,
        };
        let known = year.is_none_or(|year| (1..=9999).contains(&year));
        (known && (1..=last).contains(&day)).then_some(Self { year, month, day })
    }

    /// Days since 1970-01-01; `None` without a year, or for a day that does not exist.
    pub fn days(&self) -> Option<i32> {
        let Self { year: Some(year), month, day } = Self::new(self.year, self.month, self.day)? else { return None };
        // Years are counted from March, so that the leap day is a year's last.
        let (month, day) = (i32::from(month), i32::from(day));
        let year = if month > 2 { year } else { year - 1 };
        let of_era = year.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        Some(year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
    }

    /// The day that is so many days after 1970-01-01; `None` outside the years 1 to 9999.
    pub fn from_days(days: i32) -> Option<Self> {
        let days = days.checked_add(719_468)?;
        let of_era = days.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + days.div_euclid(146_097) * 400 + i32::from(month <= 2);
        Self::new(Some(year), u8::try_from(month).ok()?, u8::try_from(day).ok()?)
    }

    /// The day so many days later; `None` without a year or outside the years 1 to 9999.
    pub fn add_days(&self, days: i32) -> Option<Self> {
        Self::from_days(self.days()?.checked_add(days)?)
    }

    /// Whether both name the same day; a missing year matches any.
    pub fn matches(&self, other: &Self) -> bool {
        self.month == other.month
            && self.day == other.day
            && (self.year == other.year || self.year.is_none() || other.year.is_none())
    }

    /// The day of the week, 1 (Monday) to 7 (Sunday); `None` without a year.
    pub fn weekday(&self) -> Option<u8> {
        u8::try_from((self.days()? + 3).rem_euclid(7) + 1).ok()
    }
}

/// A day told from another day. Weekdays are 1 (Monday) to 7 (Sunday).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DayWord {
    /// So many days later: "today" is 0, "yesterday" is -1.
    Offset(i32),
    /// The first such weekday from today on, today included: "Saturday".
    Weekday(u8),
    /// The first such weekday after today: "next Saturday".
    NextWeekday(u8),
    /// The last such weekday before today: "last Saturday".
    LastWeekday(u8),
}

impl DayWord {
    /// The day that is meant, seen from `today`. A `today` without a year gives itself back, as nothing
    /// can be counted from it.
    pub fn resolve(self, today: Date) -> Date {
        let ahead = |weekday: u8| {
            let now = today.weekday().unwrap_or(weekday);
            (i32::from(weekday) - i32::from(now)).rem_euclid(7)
        };
        let days = match self {
            Self::Offset(days) => days,
            Self::Weekday(weekday) => ahead(weekday),
            Self::NextWeekday(weekday) => (ahead(weekday) + 6) % 7 + 1,
            Self::LastWeekday(weekday) => match ahead(weekday) {
                0 => -7,
                days => days - 7,
            },
        };
        today.add_days(days).unwrap_or(today)
    }
}
