//! Amounts of money.

use crate::datum::add;
use crate::number::{Amounts, bare, quantity, sign_before, signed};
use crate::scan::{Cursor, sweep};
use crate::{Datum, Readings};

/// Signs of currencies. `¥` is used for two of them.
const SIGNS: [(&str, &[Code]); 8] = [
    ("US$", &[*b"USD"]),
    ("$", &[*b"USD"]),
    ("€", &[*b"EUR"]),
    ("£", &[*b"GBP"]),
    ("¥", &[*b"JPY", *b"CNY"]),
    ("₹", &[*b"INR"]),
    ("₩", &[*b"KRW"]),
    ("₺", &[*b"TRY"]),
];

/// Names of currencies in running text.
const NAMES: [(&str, Code); 16] = [
    ("dollar", *b"USD"),
    ("dollars", *b"USD"),
    ("buck", *b"USD"),
    ("bucks", *b"USD"),
    ("euro", *b"EUR"),
    ("euros", *b"EUR"),
    ("pound", *b"GBP"),
    ("pounds", *b"GBP"),
    ("sterling", *b"GBP"),
    ("yen", *b"JPY"),
    ("yuan", *b"CNY"),
    ("franc", *b"CHF"),
    ("francs", *b"CHF"),
    ("rupee", *b"INR"),
    ("rupees", *b"INR"),
    ("won", *b"KRW"),
];

/// Codes of ISO 4217 that are read.
const CODES: &[u8] = b"AED ARS AUD BDT BGN BHD BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP GEL GHS HKD HUF IDR ILS INR \
ISK JOD JPY KES KRW KWD KZT LKR MAD MXN MYR NGN NOK NZD OMR PEN PHP PKR PLN QAR RON RSD RUB SAR SEK SGD THB TND TRY TWD \
UAH UGX USD UYU VND XAF XOF ZAR";

type Code = [u8; 3];

/// The whole text as one amount; a bare number is one without a currency.
pub(crate) fn read(text: &str) -> Readings {
    let mut start = Cursor::new(text, 0);
    let sign = start.eat_any(b"+-");
    match amount(start, true) {
        Some((amounts, codes, end)) if end.is_done() => readings(&signed(amounts, sign), &codes),
        _ => Readings::new(),
    }
}

/// Every amount in running text, bare numbers among them.
pub(crate) fn find(text: &str, each: &mut dyn FnMut(Readings)) {
    // The first bytes of the signs.
    sweep(text, b"$\xC2\xE2", |start| {
        let negative = sign_before(start) == Some(b'-');
        let clean = match start.peek() {
            Some(b'0'..=b'9') => start.starts_number(),
            _ => start.starts_clean(),
        };
        if (clean || negative)
            && let Some((amounts, codes, end)) = amount(start, false).filter(|(_, codes, _)| !codes.is_empty())
        {
            each(readings(&signed(amounts, negative.then_some(b'-')), &codes));
            return Some(end.at());
        }
        let (found, end) = bare(start)?;
        for amounts in found {
            each(readings(&amounts, &[]));
        }
        Some(end.at())
    });
}

fn readings(amounts: &Amounts, codes: &[Code]) -> Readings {
    let mut readings = Readings::new();
    for amount in amounts {
        if codes.is_empty() {
            add(&mut readings, Datum::Money { amount: *amount, currency: None });
        }
        for code in codes {
            add(&mut readings, Datum::Money { amount: *amount, currency: Some(*code) });
        }
    }
    readings
}

type Codes = smallvec::SmallVec<[Code; 2]>;

/// A number with its currency before or behind it.
fn amount(start: Cursor<'_>, whole: bool) -> Option<(Amounts, Codes, Cursor<'_>)> {
    let mut next = start;
    if let Some(codes) = sign_or_code(&mut next, whole) {
        next.blanks();
        let sign = next.eat_any(b"+-");
        let (amounts, mut end) = quantity(next).filter(|_| next.peek().is_some_and(|byte| byte.is_ascii_digit()))?;
        let mut behind = end;
        behind.blanks();
        // "$20 USD", "$20 CAD": the code is the exact word.
        let codes = match sign_or_code(&mut behind, whole) {
            Some(code) if behind.ends_clean() => {
                end = behind;
                code
            }
            _ => codes,
        };
        return end.ends_number().then_some((signed(amounts, sign), codes, end));
    }
    let (amounts, end) = quantity(start)?;
    let mut next = end;
    if next.blanks() == 0 {
        next.eat("-");
    }
    let found = sign_or_code(&mut next, whole).or_else(|| name(&mut next)).filter(|_| next.ends_clean());
    match found {
        Some(codes) => Some((amounts, codes, next)),
        None => end.ends_number().then(|| (amounts, Codes::new(), end)),
    }
}

fn sign_or_code(cursor: &mut Cursor<'_>, whole: bool) -> Option<Codes> {
    let first = cursor.peek()?;
    if !first.is_ascii_alphabetic() || first == b'U' {
        for (sign, codes) in SIGNS {
            if cursor.eat(sign) {
                return Some(Codes::from_slice(codes));
            }
        }
    }
    let mut next = *cursor;
    let code: Code = next.word()?.as_bytes().try_into().ok()?;
    let upper = code.map(|byte| byte.to_ascii_uppercase());
    // Lower-case words of running text such as "try" are no codes.
    let known = code == upper || whole || matches!(&code, b"usd" | b"eur" | b"gbp" | b"chf");
    (known && CODES.split(|byte| *byte == b' ').any(|known| known == upper)).then(|| {
        *cursor = next;
        Codes::from_elem(upper, 1)
    })
}

fn name(cursor: &mut Cursor<'_>) -> Option<Codes> {
    let mut next = *cursor;
    if next.eat_word("US") {
        next.blanks();
    }
    let word = next.word()?;
    let (_, code) = NAMES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name))?;
    *cursor = next;
    Some(Codes::from_elem(*code, 1))
}
