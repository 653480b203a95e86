//! The words that carry a text's meaning, in a base form: what a search, a title or a file's name is compared by.

use smol_str::SmolStr;

use crate::words::{is_punctuation, words};

/// Words that only hold a sentence together. They say nothing of what it is about.
const LITTLE: [&str; 72] = [
    "a", "about", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do",
    "does", "for", "from", "had", "has", "have", "he", "her", "here", "him", "his", "how", "i", "if", "in", "into",
    "is", "it", "its", "me", "my", "no", "not", "of", "on", "or", "our", "please", "she", "so", "some", "than", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "those", "to", "us", "was", "we", "were", "what",
    "when", "where", "which", "who", "will", "with", "would",
];

/// Endings that fall away, the longer before what they end in, where three letters remain.
const ENDINGS: [&str; 14] =
    ["ations", "ation", "ings", "ing", "ions", "ion", "ies", "ied", "ie", "es", "ed", "s", "e", "y"];

/// Calls `each` with every word of a text that carries meaning, in its base form: split also at signs within
/// (`the_great-gatsby.pdf`), without little words (`the`, `with`) and lone letters, and without the endings of
/// English (`reservations` and `reserve` are `reserv`). Other languages lose little by it. Two words of one base
/// form are taken for the same. The work is linear in the length of the text.
pub fn gist(text: &str, each: &mut dyn FnMut(SmolStr)) {
    let divides = |c: char| (c.is_ascii() && !c.is_ascii_alphanumeric()) || is_punctuation(c);
    for word in words(text) {
        for part in word.split(divides).filter(|part| !part.is_empty() && !is_little(part)) {
            each(SmolStr::new(base(part)));
        }
    }
}

fn is_little(word: &str) -> bool {
    LITTLE.binary_search(&word).is_ok() || matches!(word.as_bytes(), [letter] if letter.is_ascii_alphabetic())
}

/// A word without its ending.
fn base(word: &str) -> &str {
    if !word.chars().all(char::is_alphabetic) {
        return word;
    }
    let shorter = |ending: &'static str| {
        let rest = word.strip_suffix(ending)?;
        (rest.chars().nth(2).is_some() && !(ending == "s" && rest.ends_with('s'))).then_some((rest, ending))
    };
    let Some((rest, ending)) = ENDINGS.into_iter().find_map(shorter) else { return word };
    match (ending, rest.as_bytes()) {
        // "running", "planned": the doubled letter came with the ending.
        ("ings" | "ing" | "ed", [.., one, other])
            if one == other && !matches!(one, b'a' | b'e' | b'i' | b'o' | b'u' | b'l' | b's' | b'z') =>
        {
            rest.get(..rest.len() - 1).unwrap_or(rest)
        }
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        gist(text, &mut |word| out.push(word.to_string()));
        out
    }

    #[test]
    fn the_list_of_little_words_is_in_order() {
        assert!(LITTLE.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn forms_of_one_word_are_one_and_different_words_are_not() {
        for (one, other) in [
            ("reservation", "reserve"),
            ("Headphones", "headphone"),
            ("watches", "watch"),
            ("shoes", "shoe"),
            ("running", "run"),
            ("cities", "city"),
            ("movies", "movie"),
            ("discussion", "discuss"),
            ("invoices", "invoice"),
            ("buying", "buy"),
            ("the meeting with Ana", "Ana's meetings"),
        ] {
            let sorted = |text: &str| {
                let mut words = all(text);
                words.sort();
                words
            };
            assert_eq!(sorted(one), sorted(other), "{one} and {other}");
        }
        for (one, other) in
            [("pencil", "pen"), ("day", "date"), ("books", "boot"), ("an\u{200b}a", "ana"), ("аna", "ana")]
        {
            assert_ne!(all(one), all(other), "{one} and {other}");
        }
    }

    #[test]
    fn signs_divide_and_little_words_fall_away() {
        assert_eq!(all("/documents/the_great-gatsby.pdf"), ["document", "great", "gatsb", "pdf"]);
        assert_eq!(all("to the T-shirt, #42!"), ["shirt", "42"]);
        assert!(all("with the a - !").is_empty());
    }
}
