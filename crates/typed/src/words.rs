//! Words of a text, folded for a comparison word by word.

use std::borrow::Cow;

/// The words of a text: split at white space, without the punctuation at their ends, in NFC and lower case.
pub fn words(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split_whitespace().filter_map(|word| {
        let word = word.trim_matches(|c: char| c.is_ascii_punctuation());
        (!word.is_empty()).then(|| Cow::Owned(word.to_lowercase()))
    })
}
