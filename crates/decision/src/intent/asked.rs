//! Words of which one must stand in the request.

use flyball_typed::words;

use super::MemoryKey;

/// Several groups of ways to ask for something: of each group one must be there.
#[derive(Debug)]
pub(super) struct Wording {
    groups: Box<[Box<[Way]>]>,
}

/// Words one after another.
type Way = Box<[Word]>;

/// A folded word, or the beginning of one.
#[derive(Debug, PartialEq, Eq)]
struct Word {
    text: Box<str>,
    stem: bool,
}

impl Wording {
    /// Read the ways: words with blanks between; a `*` ends a stem.
    pub(super) fn read(groups: &[Vec<String>]) -> Result<Self, String> {
        let way = |way: &String| {
            let word = |word: &str| {
                let (text, stem) = word.strip_suffix('*').map_or((word, false), |text| (text, true));
                let mut folded = words(text);
                let text = folded.next().map(|text| Box::from(text.as_ref()));
                text.map(|text| Word { text, stem }).ok_or_else(|| format!("`{way}` asks for nothing"))
            };
            let way: Way = way.split_whitespace().map(word).collect::<Result<_, _>>()?;
            if way.is_empty() { Err("an empty text asks for nothing".to_owned()) } else { Ok(way) }
        };
        let group = |ways: &Vec<String>| {
            if ways.is_empty() {
                Err("a group of no words asks for nothing".to_owned())
            } else {
                ways.iter().map(way).collect()
            }
        };
        Ok(Self { groups: groups.iter().map(group).collect::<Result<_, String>>()? })
    }

    /// Whether of each group one way stands in these folded words.
    pub(super) fn stands_in(&self, text: &[impl AsRef<str>]) -> bool {
        let stands = |way: &Way| {
            text.windows(way.len()).any(|window| way.iter().zip(window).all(|(word, here)| word.fits(here.as_ref())))
        };
        self.groups.iter().all(|group| group.iter().any(stands))
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
        Wording::read(&[vec![way.to_owned()]]).unwrap().stands_in(&folded)
    }

    #[test]
    fn one_of_each_group_is_wanted() {
        let groups = [vec!["pay*".to_owned(), "transfer".to_owned()], vec!["bill".to_owned(), "the rent".to_owned()]];
        let wording = Wording::read(&groups).unwrap();
        let asks = |request: &str| wording.stands_in(&words(request).collect::<Vec<_>>());
        assert!(asks("The bill is due: pay it.") && asks("transfer the rent"));
        assert!(!asks("pay my landlord") && !asks("forward the bill") && !asks("rent the flat and pay") && !asks(""));
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
            assert!(Wording::read(&[vec![way.to_owned()]]).is_err(), "{way}");
        }
        assert!(Wording::read(&[vec!["send".to_owned()], Vec::new()]).is_err());
    }
}
