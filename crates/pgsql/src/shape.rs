//! The shape of a statement: its text with parameters for the constants that comparisons compare with.
//!
//! Clients that write values into the text send another text each time, and all of them do the same for another value.
//! What a statement with a parameter does is told for any value, so it is told for each of these; the shape is judged
//! once, and the constants are its parameters. That holds as far as the lexer reads the two texts alike: the same
//! tokens, but for one parameter (PARAM) where a constant (ICONST, SCONST) was. Only what is sure to be read so is
//! taken: whole numbers that an int4 holds, and strings without a quote or a backslash, directly behind `=`, `<`, `>`,
//! `<=`, `>=`, `<>` or `!=`, where no constant means a place, a length or a name. Whatever else the text holds stays as
//! it is, and a text that holds a comment, a dollar, a backslash or a second statement has no shape.

use crate::judgement::{Judgement, Source};

/// Constants that a shape may leave out. What follows them stays in the text.
const MOST: usize = 64;
const STARTS: [&str; 3] = ["select", "update", "delete"];
const COMPARISONS: [&[u8]; 7] = [b"=", b"<", b">", b"<=", b">=", b"<>", b"!="];
/// The characters of operators (PostgreSQL, 4.1.3).
const OPERATORS: &[u8] = b"+-*/<>=~!@#%^&|`?";

/// A statement without the constants of its comparisons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Its text, with `$1` for the first of them, and on.
    pub sql: String,
    /// The constants, in their order.
    pub literals: Vec<Source>,
}

impl Shape {
    /// The shape of a statement; none where it compares with no constant, or is not surely read alike.
    pub fn of(sql: &str) -> Option<Self> {
        let word = sql.trim_ascii_start().split(|c: char| c.is_ascii_whitespace()).next()?;
        if !STARTS.iter().any(|start| word.eq_ignore_ascii_case(start)) {
            return None;
        }
        let mut reader =
            Reader { rest: sql, compares: false, out: String::with_capacity(sql.len() + 8), literals: Vec::new() };
        while !reader.rest.is_empty() {
            reader.step()?;
        }
        (!reader.literals.is_empty()).then_some(Self { sql: reader.out, literals: reader.literals })
    }

    /// Whether a judgement of the shape is one of a single statement that has these constants for parameters, and that
    /// does nothing to its session.
    pub fn fits(&self, judgement: &Judgement) -> bool {
        judgement.statements == 1
            && judgement.session.is_none()
            && !judgement.copies_in
            && usize::try_from(judgement.parameters) == Ok(self.literals.len())
    }
}

struct Reader<'a> {
    rest: &'a str,
    /// Whether a comparison stands before, spaces aside.
    compares: bool,
    out: String,
    literals: Vec<Source>,
}

impl<'a> Reader<'a> {
    /// Read one piece.
    fn step(&mut self) -> Option<()> {
        let first = *self.rest.as_bytes().first()?;
        match first {
            b if space(b) => {
                let spaces = self.take_while(space);
                self.out.push_str(spaces);
            }
            b'\'' => self.string()?,
            b'"' => {
                // Doubled, it is read as two pieces, which end where the one does.
                let (_, name) = self.quoted(b'"')?;
                self.keep(name);
            }
            b';' => {
                self.keep(";");
                self.rest = self.rest.get(1..)?;
                let end = self.take_while(|b| b.is_ascii_whitespace());
                self.out.push_str(end);
                return self.rest.is_empty().then_some(());
            }
            b if word(b) => {
                let word = self.take_while(word);
                match number(word).filter(|_| self.replaces()) {
                    Some(number) => self.replace(Source::Number(number.to_owned())),
                    None => self.keep(word),
                }
            }
            b if OPERATORS.contains(&b) => {
                let operator = self.take_while(|b| OPERATORS.contains(&b));
                if operator.contains("--") || operator.contains("/*") {
                    return None;
                }
                self.keep(operator);
                self.compares = COMPARISONS.contains(&operator.as_bytes());
            }
            b'(' | b')' | b'[' | b']' | b',' | b':' => {
                let one = self.rest.get(..1)?;
                self.rest = self.rest.get(1..)?;
                self.keep(one);
            }
            _ => return None,
        }
        Some(())
    }

    /// A string: a constant to leave out where it is one for certain, or kept as it stands.
    fn string(&mut self) -> Option<()> {
        let (content, whole) = self.quoted(b'\'')?;
        if content.contains('\\') {
            return None;
        }
        if !self.replaces() {
            self.keep(whole);
            return Some(());
        }
        // Across a line's end a string goes on in the next.
        if self.rest.trim_ascii_start().starts_with('\'') {
            return None;
        }
        self.replace(Source::Text(content.to_owned()));
        Some(())
    }

    /// Whether what was just read is a constant that a comparison compares with, and ends here.
    fn replaces(&self) -> bool {
        let ends = self.rest.bytes().next().is_none_or(|b| space(b) || matches!(b, b')' | b',' | b';'));
        self.compares && ends && self.literals.len() < MOST
    }

    fn replace(&mut self, literal: Source) {
        self.literals.push(literal);
        let parameter = format!("${}", self.literals.len());
        self.keep(&parameter);
    }

    fn keep(&mut self, piece: &str) {
        self.out.push_str(piece);
        self.compares = false;
    }

    /// What stands between two quotes, and with them.
    fn quoted(&mut self, quote: u8) -> Option<(&'a str, &'a str)> {
        let end = self.rest.bytes().skip(1).position(|b| b == quote)? + 1;
        let (content, whole) = (self.rest.get(1..end)?, self.rest.get(..=end)?);
        self.rest = self.rest.get(end + 1..)?;
        (!content.contains('\0')).then_some((content, whole))
    }

    fn take_while(&mut self, of: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|b| !of(b)).unwrap_or(self.rest.len());
        // Only ASCII is taken, so that both are whole.
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

const fn space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

/// The letters of names and numbers, and the dot that joins them.
const fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')
}

/// A whole number, as it is written where it is read back, that an int4 holds.
fn number(word: &str) -> Option<&str> {
    let plain = word == "0" || !word.starts_with('0');
    (plain && word.len() < 10 && word.bytes().all(|b| b.is_ascii_digit())).then_some(word)
}
