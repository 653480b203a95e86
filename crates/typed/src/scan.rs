//! A cursor over text, and where values may begin and end.
//!
//! A cursor only ever stands between whole characters, and every step it takes is bounded, so that
//! trying a format at one place costs a constant at most.

/// Blanks skipped in one go.
const BLANKS: usize = 8;
/// The longest word that any format knows.
const WORD: usize = 16;

/// A place in a text.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    pub(crate) const fn at(self) -> usize {
        self.at
    }

    pub(crate) fn rest(self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn before(self) -> &'a str {
        self.text.get(..self.at).unwrap_or_default()
    }

    pub(crate) fn peek(self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn ahead(self, by: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + by).copied()
    }

    pub(crate) const fn is_done(self) -> bool {
        self.at >= self.text.len()
    }

    /// Steps over an exact piece of text, if it stands here.
    pub(crate) fn eat(&mut self, piece: &str) -> bool {
        let found = self.rest().as_bytes().starts_with(piece.as_bytes());
        if found {
            self.at += piece.len();
        }
        found
    }

    /// Steps over one of these ASCII characters.
    pub(crate) fn eat_any(&mut self, bytes: &[u8]) -> Option<u8> {
        let byte = self.peek().filter(|byte| byte.is_ascii() && bytes.contains(byte))?;
        self.at += 1;
        Some(byte)
    }

    /// Steps over blanks of one line (no-break spaces too) and tells how many there were.
    pub(crate) fn blanks(&mut self) -> usize {
        let mut count = 0;
        while count < BLANKS {
            let wide = match self.peek() {
                Some(b' ' | b'\t') => 1,
                Some(0xC2) if self.ahead(1) == Some(0xA0) => 2,
                Some(0xE2) if self.ahead(1) == Some(0x80) && self.ahead(2) == Some(0xAF) => 3,
                _ => break,
            };
            self.at += wide;
            count += 1;
        }
        count
    }

    /// Steps over a run of at most `most` digits: its value and length. A longer run is none.
    pub(crate) fn digits(&mut self, most: usize) -> Option<(u32, usize)> {
        let mut value = 0_u32;
        let mut length = 0;
        while let Some(byte @ b'0'..=b'9') = self.ahead(length) {
            length += 1;
            if length > most {
                return None;
            }
            value = value.checked_mul(10)?.checked_add(u32::from(byte - b'0'))?;
        }
        self.at += length;
        (length > 0).then_some((value, length))
    }

    /// Steps over a run of ASCII letters. A run longer than any word that a format knows is none.
    pub(crate) fn word(&mut self) -> Option<&'a str> {
        let mut length = 0;
        while self.ahead(length).is_some_and(|byte| byte.is_ascii_alphabetic()) {
            length += 1;
            if length > WORD {
                return None;
            }
        }
        let word = self.text.get(self.at..self.at + length).filter(|word| !word.is_empty())?;
        self.at += length;
        Some(word)
    }

    /// Steps over this word, in any case.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let mut next = *self;
        let found = next.word().is_some_and(|found| found.eq_ignore_ascii_case(word));
        if found {
            *self = next;
        }
        found
    }

    /// Whether a value may begin here: nothing that would make it a part of something longer stands before.
    pub(crate) fn starts_clean(self) -> bool {
        !self.before().chars().next_back().is_some_and(is_glue)
    }

    /// Whether a value may end here.
    pub(crate) fn ends_clean(self) -> bool {
        match self.peek() {
            None => true,
            Some(byte) if byte.is_ascii() => !is_glue(char::from(byte)),
            Some(_) => !self.rest().chars().next().is_some_and(is_glue),
        }
    }

    /// Whether a number may begin here: it is no part of a longer number, path or version.
    pub(crate) fn starts_number(self) -> bool {
        let mut before = self.before().chars().rev();
        match before.next() {
            None => true,
            Some('-' | '/' | '.') => !before.next().is_some_and(|c| is_glue(c) || matches!(c, '/' | '.')),
            Some(':' | ',') => !before.next().is_some_and(|c| c.is_ascii_digit()),
            // The minus of mathematics, and the full-width one, are no minus that is read.
            Some('+' | '@' | '%' | '&' | '\\' | '\u{2212}' | '\u{FF0D}') => false,
            Some(c) => !is_glue(c),
        }
    }

    /// Whether a number may end here: it is not the beginning of a longer number, name or path.
    pub(crate) fn ends_number(self) -> bool {
        let next = self.ahead(1);
        let goes_on = match self.peek() {
            Some(b'-' | b'/' | b'.') => next.is_some_and(|byte| byte.is_ascii_alphanumeric()),
            Some(b':' | b',') => next.is_some_and(|byte| byte.is_ascii_digit()),
            Some(b'@' | b'\\') => true,
            _ => false,
        };
        !goes_on && self.ends_clean()
    }
}

/// A letter, digit or underscore, or a character that nobody sees: with one of them beside it, a value is a
/// part of another one.
pub(crate) fn is_glue(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || is_unseen(c)
}

/// Characters that are not seen, or change the one before them: format and bidi marks, fillers, combining
/// marks, variation selectors.
pub(crate) fn is_unseen(c: char) -> bool {
    !c.is_ascii() && (is_hidden(c) || unicode_normalization::char::is_combining_mark(c))
}

/// Characters that are not seen.
pub(crate) fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{600}'..='\u{605}' | '\u{61C}' | '\u{6DD}' | '\u{70F}' | '\u{115F}'..='\u{1160}'
        | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Tries `at` wherever a word or number begins, and at every byte of `signs`; goes on behind what it found.
/// It answers where the value ends.
pub(crate) fn sweep<'a>(text: &'a str, signs: &[u8], mut at: impl FnMut(Cursor<'a>) -> Option<usize>) {
    let bytes = text.as_bytes();
    let mut place = 0;
    let mut within = false;
    while let Some(byte) = bytes.get(place) {
        let word = byte.is_ascii_alphanumeric();
        if ((word && !within) || signs.contains(byte))
            && let Some(end) = at(Cursor::new(text, place)).filter(|end| *end > place)
        {
            within = bytes.get(end - 1).is_some_and(u8::is_ascii_alphanumeric);
            place = end;
            continue;
        }
        within = word;
        place += 1;
    }
}
