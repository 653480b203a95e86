//! International bank account numbers.

use smol_str::{SmolStr, SmolStrBuilder};

use crate::datum::one;
use crate::scan::{Cursor, sweep};
use crate::{Datum, Kind, Readings};

/// Countries and the length of their numbers.
const LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 \
EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 \
LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 \
RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";

/// The whole text as one number: upper case, no blanks, its checksum right.
pub(crate) fn iban(text: &str) -> Option<SmolStr> {
    number(Cursor::new(text, 0)).filter(|(_, end)| end.is_done()).map(|(normal, _)| normal)
}

/// Every number in running text.
pub(crate) fn find(text: &str, each: &mut dyn FnMut(Readings)) {
    sweep(text, &[], |start| {
        let (normal, end) = number(start).filter(|(_, end)| start.starts_clean() && end.ends_clean())?;
        each(one(Datum::Str { kind: Kind::Iban, normal }));
        Some(end.at())
    });
}

fn number(start: Cursor<'_>) -> Option<(SmolStr, Cursor<'_>)> {
    let mut country = start.rest().as_bytes().iter().copied();
    let (first, second) = (country.next()?.to_ascii_uppercase(), country.next()?.to_ascii_uppercase());
    let checked = country.next()?.is_ascii_digit() && country.next()?.is_ascii_digit();
    if !checked || !first.is_ascii_uppercase() || !second.is_ascii_uppercase() {
        return None;
    }
    let length: usize = LENGTHS
        .split(' ')
        .find_map(|entry| entry.strip_prefix(char::from(first))?.strip_prefix(char::from(second))?.parse().ok())?;
    let mut normal = SmolStrBuilder::new();
    let mut rest = start;
    let mut rearranged = 0_u32;
    let mut head = 0_u32;
    for place in 0..length {
        // Printed in groups of four.
        if place > 0 && place % 4 == 0 {
            let mut next = rest;
            if next.eat(" ") || next.eat("\u{A0}") {
                rest = next;
            }
        }
        let byte = rest.peek().filter(u8::is_ascii_alphanumeric)?.to_ascii_uppercase();
        rest.eat(rest.rest().get(..1)?);
        normal.push(char::from(byte));
        // The first four characters are counted last.
        let sum = if place < 4 { &mut head } else { &mut rearranged };
        *sum = step(*sum, byte, if place < 4 { u32::MAX } else { 97 });
    }
    // Two letters and two digits, written as six digits.
    ((rearranged * 1_000_000 % 97 + head % 97) % 97 == 1).then(|| (normal.finish(), rest))
}

/// One more character of a number that is counted in digits: letters have two.
fn step(sum: u32, byte: u8, modulus: u32) -> u32 {
    let (value, by) =
        if byte.is_ascii_digit() { (u32::from(byte - b'0'), 10) } else { (u32::from(byte - b'A') + 10, 100) };
    (sum * by + value) % modulus
}
