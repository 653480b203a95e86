//! Words of a text, folded for a comparison word by word.

use std::borrow::Cow;

use crate::exact::{compose, imitates_ascii, lower};

/// The words of a text: split at white space, without the punctuation at their ends, in NFC and lower case.
/// What is nothing but punctuation is no word. Signs that mean something stay: `$5`, `-5`, `5%`. The sign in front
/// of a name does not: `#general` and `@general` are the word `general`.
pub fn words(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split_whitespace().map(strip).filter(|word| !word.is_empty()).map(fold)
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

fn strip(word: &str) -> &str {
    let begins = word.trim_start_matches(|c| is_punctuation(c) || matches!(c, '#' | '@'));
    let stripped = begins.trim_end_matches(is_punctuation);
    // The sign of a number is no punctuation.
    let sign = word.len() - begins.len();
    let signed = sign > 0 && stripped.starts_with(|c: char| c.is_ascii_digit());
    match word.get(sign.saturating_sub(1)..sign + stripped.len()) {
        Some(with) if signed && with.starts_with('-') => with,
        _ => stripped,
    }
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
