//! Words of which one must stand in the request.

use flyball_typed::words;

use super::MemoryKey;

/// Several ways to ask for something; one is enough.
#[derive(Debug)]
pub(super) struct Wording {
    ways: Box<[Box<[Word]>]>,
}

/// A folded word, or the beginning of one.
#[derive(Debug, PartialEq, Eq)]
struct Word {
    text: Box<str>,
    stem: bool,
}

impl Wording {
    /// Read the ways: words with blanks between; a `*` ends a stem.
    pub(super) fn read(ways: &[String]) -> Result<Self, String> {
        let way = |way: &String| {
            let word = |word: &str| {
                let (text, stem) = word.strip_suffix('*').map_or((word, false), |text| (text, true));
                let mut folded = words(text);
                let text = folded.next().map(|text| Box::from(text.as_ref()));
                text.map(|text| Word { text, stem }).ok_or_else(|| format!("`{way}` asks for nothing"))
            };
            let way: Box<[Word]> = way.split_whitespace().map(word).collect::<Result<_, _>>()?;
            if way.is_empty() { Err("an empty text asks for nothing".to_owned()) } else { Ok(way) }
        };
        Ok(Self { ways: ways.iter().map(way).collect::<Result<_, String>>()? })
    }

    /// Whether one of the ways stands in these folded words.
    pub(super) fn stands_in(&self, text: &[impl AsRef<str>]) -> bool {
        self.ways.iter().any(|way| {
            text.windows(way.len()).any(|window| way.iter().zip(window).all(|(word, here)| word.fits(here.as_ref())))
        })
    }
}

impl Word {
    fn fits(&self, here: &str) -> bool {
        if self.stem { here.starts_with(&*self.text) } else { *self.text == *here }
    }
}

/// The folded words of a text, as they are remembered.
pub(super) fn hashed(text: &str, key: &MemoryKey) -> Vec<u32> {
    words(text).map(|word| key.word(&word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(way: &str, request: &str) -> bool {
        let folded: Vec<_> = words(request).collect();
        Wording::read(&[way.to_owned()]).unwrap().stands_in(&folded)
    }

    #[test]
    fn whole_words_and_stems() {
        assert!(asks("send*", "Please, Sending it is fine"));
        assert!(asks("write to", "Write to: Ann."));
        assert!(!asks("write to", "write it to Ann"));
        assert!(!asks("mail", "mailbox"));
        assert!(!asks("send*", "resend it"));
        assert!(!asks("send", ""));
    }

    #[test]
    fn what_asks_for_nothing_is_refused() {
        for way in ["", " ", "*", "send ..."] {
            assert!(Wording::read(&[way.to_owned()]).is_err(), "{way}");
        }
    }
}
