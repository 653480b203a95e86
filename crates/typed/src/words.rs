//! Words of a text, folded for a comparison word by word.

use std::borrow::Cow;

use crate::exact::{compose, imitates_ascii, lower};

/// The words of a text: split at white space, without the punctuation at their ends, in NFC and lower case.
/// What is nothing but punctuation is no word. Signs that mean something stay: `$5`, `-5`, `5%`. The sign in front
/// of a name does not: `#general` and `@general` are the word `general`.
pub fn words(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split_whitespace().map(|word| strip(word).1).filter(|word| !word.is_empty()).map(fold)
}

/// A word as [`words`] gives it, with the signs that fell away at its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word.
    pub text: Cow<'a, str>,
    /// What stood before it: `--` of `--force`.
    pub before: &'a str,
    /// What stood behind it.
    pub after: &'a str,
}

/// The words of a text, each with its signs. What is nothing but signs is a word of no text, with all of them before it.
pub fn signed_words(text: &str) -> impl Iterator<Item = Word<'_>> {
    text.split_whitespace().map(|word| {
        let (before, text, after) = strip(word);
        Word { text: fold(text), before, after }
    })
}

/// Punctuation that falls away at both ends of a word.
pub(crate) fn is_punctuation(c: char) -> bool {
    matches!(
        c,
        '.' | ','
            | ';'
            | ':'
            | '!'
            | '?'
            | '"'
            | '\''
            | '('
            | ')'
            | '['
            | ']'
            | '{'
            | '}'
            | '<'
            | '>'
            | '`'
            | '*'
            | '_'
            | '-'
            | '/'
            | '\\'
            | '|'
            | '“'
            | '”'
            | '„'
            | '‘'
            | '’'
            | '«'
            | '»'
            | '…'
            | '–'
            | '—'
            | '¿'
            | '¡'
            | '•'
            | '。'
            | '、'
            | '，'
    )
}

/// A word in three: the signs before it, itself, the signs behind it.
fn strip(word: &str) -> (&str, &str, &str) {
    let begins = word.trim_start_matches(|c| is_punctuation(c) || matches!(c, '#' | '@'));
    let stripped = begins.trim_end_matches(is_punctuation);
    // The sign of a number is no punctuation.
    let sign = word.len() - begins.len();
    let end = sign + stripped.len();
    let signed = stripped.starts_with(|c: char| c.is_ascii_digit())
        && word.get(..sign).is_some_and(|before| before.ends_with('-'));
    let start = if signed { sign - 1 } else { sign };
    let part = |from: usize, to: usize| word.get(from..to).unwrap_or_default();
    (part(0, start), part(start, end), part(end, word.len()))
}

fn fold(word: &str) -> Cow<'_, str> {
    if word.is_ascii() {
        if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Cow::Owned(word.to_ascii_lowercase());
        }
        return Cow::Borrowed(word);
    }
    // What NFC would turn into ASCII stays what it is, and so does the whole word.
    if word.contains(imitates_ascii) {
        return Cow::Owned(word.chars().map(lower).collect());
    }
    let composed = compose(word);
    if composed.chars().any(|c| lower(c) != c) {
        let folded: String = composed.chars().map(lower).collect();
        return Cow::Owned(compose(&folded).into_owned());
    }
    composed
}
