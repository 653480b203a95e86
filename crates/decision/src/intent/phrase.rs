//! Words with the signs at their ends: how an argument is held against running text.
//!
//! A source may be trimmed, an argument may not: `develop` stands in "(develop)." and `--develop` does not
//! stand in "develop". So signs are remembered of sources, and matched where the argument has any.

use flyball_typed::signed_words;

use super::MemoryKey;
use super::store::occurrences;
use super::work::Work;

/// Every sign that falls away at the end of a word, and the blank that parts a lone sign from a word.
const SIGNS: &str = " .,;:!?\"'()[]{}<>`*_-/\\|“”„‘’«»…–—¿¡•。、，#@";
/// A sign that is none of these.
const OTHER: u32 = 63;
/// Signs that are told apart before a word, and behind it.
const BEFORE: usize = 3;
const AFTER: usize = 2;

/// The words of a text, and the signs of those that have any.
#[derive(Debug, Default)]
pub(super) struct Phrase {
    pub(super) words: Vec<u32>,
    /// The word's place from 1, and its signs.
    pub(super) signs: Vec<[u32; 2]>,
    /// Whether some word has more signs than are told apart.
    more: bool,
}

impl Phrase {
    /// Read a text. A sign that stands alone belongs to the word behind it, the last to the word before.
    pub(super) fn read(text: &str, key: &MemoryKey) -> Self {
        let mut phrase = Self::default();
        let (mut lone, mut after) = (String::new(), "");
        for word in signed_words(text) {
            if word.text.is_empty() {
                lone.push_str(word.before);
                lone.push(' ');
                continue;
            }
            phrase.words.push(key.word(&word.text));
            after = word.after;
            if lone.is_empty() && word.before.is_empty() && after.is_empty() {
                continue;
            }
            lone.push_str(word.before);
            phrase.sign(&lone, after);
            lone.clear();
        }
        if !lone.is_empty() && !phrase.words.is_empty() {
            let last = u32::try_from(phrase.words.len()).unwrap_or(u32::MAX);
            let known = phrase.signs.pop_if(|[place, _]| *place == last).map_or(0, |[_, signs]| signs);
            phrase.sign("", &format!("{after} {lone}"));
            if let Some([_, signs]) = phrase.signs.last_mut() {
                *signs |= known;
            }
        }
        phrase
    }

    /// Note the signs of the last word.
    fn sign(&mut self, before: &str, after: &str) {
        self.more |= before.chars().count() > BEFORE || after.chars().count() > AFTER;
        let before = before.chars().rev().take(BEFORE).map(code);
        let before = (0..).zip(before).fold(0, |all, (place, code)| all | code << (6 * place));
        let after = after.chars().take(AFTER).map(code);
        let after = (3..).zip(after).fold(0, |all, (place, code)| all | code << (6 * place));
        self.signs.push([u32::try_from(self.words.len()).unwrap_or(u32::MAX), before | after | 1 << 31]);
    }

    /// Whether an argument's words, with all of their signs, stand in a source's text one after another.
    /// `signs`: what the source has of them, by the words' places from 1.
    pub(super) fn stands_in(&self, text: &[u32], signs: &[u32], work: &mut Work) -> bool {
        if self.signs.is_empty() {
            return super::store::stands_in(&self.words, text);
        }
        if self.more || signs.is_empty() {
            return false;
        }
        let mut found = false;
        occurrences(&self.words, text, &mut |begin| {
            let Some(()) = work.spend(self.signs.len()) else { return false };
            found = self.signs.iter().all(|[place, wanted]| {
                let place = u32::try_from(begin).ok().and_then(|begin| begin.checked_add(*place));
                place.is_some_and(|place| fits(*wanted, at(signs, place)))
            });
            !found
        });
        found
    }

    /// The same in another text that is at hand.
    pub(super) fn stands_in_text(&self, text: &str, key: &MemoryKey, work: &mut Work) -> bool {
        let there = Self::read(text, key);
        self.stands_in(&there.words, there.signs.as_flattened(), work)
    }
}

fn code(sign: char) -> u32 {
    SIGNS.chars().position(|other| other == sign).and_then(|place| u32::try_from(place + 1).ok()).unwrap_or(OTHER)
}

/// The signs of the word at that place.
fn at(signs: &[u32], place: u32) -> u32 {
    let (pairs, _) = signs.as_chunks::<2>();
    let found = pairs.binary_search_by_key(&place, |[place, _]| *place).ok().and_then(|at| pairs.get(at));
    found.map_or(0, |[_, signs]| *signs)
}

/// Whether every sign of an argument's word stands there in the source, next to the word.
fn fits(wanted: u32, there: u32) -> bool {
    (0..BEFORE + AFTER).map(|place| 6 * place).all(|shift| {
        let (wanted, there) = (wanted >> shift & 63, there >> shift & 63);
        wanted == 0 || (wanted == there && wanted != OTHER)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands(argument: &str, source: &str) -> bool {
        let key = MemoryKey::new(&[3; 32]);
        Phrase::read(argument, &key).stands_in_text(source, &key, &mut Work::new())
    }

    #[test]
    fn a_source_is_trimmed_and_an_argument_is_not() {
        for (argument, source) in [
            ("develop", "take (develop)."),
            (".env", "open .env."),
            ("--develop", "run \"--develop\""),
            ("general", "post to #general, now"),
            ("Lunch - Ana", "titled 'Lunch - Ana'"),
            ("Lunch Ana", "Lunch - Ana"),
            ("a, b", "with a, b."),
            ("x!", "say x!!!"),
        ] {
            assert!(stands(argument, source), "{argument} in {source}");
        }
        for (argument, source) in [
            ("--develop", "take develop"),
            ("--develop", "take -develop"),
            ("develop --", "take develop"),
            ("- develop", "take develop"),
            ("develop --force", "develop force"),
            ("#general", "general"),
            (".env", "the env"),
            ("/etc", "etc"),
            ("develop;", "develop"),
            ("a, b", "a b"),
            ("----a", "----a"),
            ("--", "a -- b"),
        ] {
            assert!(!stands(argument, source), "{argument} in {source}");
        }
        assert!(stands("a -- b", "use a -- b"));
    }

    #[test]
    fn every_sign_that_falls_away_is_told_apart() {
        for sign in SIGNS.chars().filter(|sign| *sign != ' ') {
            assert!(flyball_typed::signed_words(&format!("{sign}a")).all(|word| *word.text == *"a"), "{sign}");
            assert!(!stands(&format!("{sign}a"), "a") && stands(&format!("{sign}a"), &format!("x {sign}a")), "{sign}");
        }
    }
}
