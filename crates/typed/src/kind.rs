//! The kinds of values that this crate can tell apart.

/// What a text is read as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Running text, compared by its words.
    Text,
    /// An identifier: exact, in NFC.
    Id,
    /// An e-mail address.
    Email,
    /// A URL, with or without its scheme.
    Url,
    /// A host name or IP address.
    Host,
    /// A phone number.
    Phone,
    /// An international bank account number.
    Iban,
    /// A path of a file.
    Path,
    /// A day of the calendar.
    Date,
    /// A time of day.
    Time,
    /// A day and a time of day.
    DateTime,
    /// A length of time.
    Duration,
    /// A number.
    Number,
    /// An amount, with or without its currency.
    Money,
    /// Yes or no.
    Bool,
    /// The words that carry a text's meaning, each for itself.
    Words,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::Text,
        Self::Id,
        Self::Email,
        Self::Url,
        Self::Host,
        Self::Phone,
        Self::Iban,
        Self::Path,
        Self::Date,
        Self::Time,
        Self::DateTime,
        Self::Duration,
        Self::Number,
        Self::Money,
        Self::Bool,
        Self::Words,
    ];

    /// The kind of this name; `None` for a name that is no kind's.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name, as documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Id => "id",
            Self::Email => "email",
            Self::Url => "url",
            Self::Host => "host",
            Self::Phone => "phone",
            Self::Iban => "iban",
            Self::Path => "path",
            Self::Date => "date",
            Self::Time => "time",
            Self::DateTime => "datetime",
            Self::Duration => "duration",
            Self::Number => "number",
            Self::Money => "money",
            Self::Bool => "bool",
            Self::Words => "words",
        }
    }
}
