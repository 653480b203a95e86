//! What a shape must keep true, asked of any statement.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_pgsql::{Judgement, Policy, Shape, Snapshot, Source, judge};
use pg_query::protobuf::Token;

/// A text's tokens as PostgreSQL's own lexer reads them, each with its text; comments among them.
fn tokens(sql: &str) -> Result<Vec<(i32, String)>, String> {
    let found = pg_query::scan(sql).map_err(|error| format!("{error}: {sql}"))?;
    let text = |start: i32, end: i32| sql.get(start.try_into().unwrap()..end.try_into().unwrap()).unwrap().to_owned();
    Ok(found.tokens.iter().map(|token| (token.token, text(token.start, token.end))).collect())
}

/// The two texts are read alike but for constants where the shape has parameters, and the constants are those it says.
/// Whether the statement has a shape.
pub fn reads_alike(sql: &str) -> bool {
    let Some(shape) = Shape::of(sql) else { return false };
    let (own, shaped) = match (tokens(sql), tokens(&shape.sql)) {
        (Ok(own), Ok(shaped)) => (own, shaped),
        // What the lexer refuses is refused in both.
        (Err(_), Err(_)) => return true,
        (own, shaped) => panic!("{own:?}\n{shaped:?}"),
    };
    assert_eq!(own.len(), shaped.len(), "{sql}\n{}", shape.sql);
    let mut literals = shape.literals.iter();
    for (one, other) in own.iter().zip(&shaped) {
        if one == other {
            continue;
        }
        assert_eq!(other.0, Token::Param as i32, "{sql}\n{}", shape.sql);
        let literal = literals.next().expect("one literal for each parameter");
        match literal {
            Source::Number(number) => assert_eq!((Token::Iconst as i32, number), (one.0, &one.1), "{sql}"),
            Source::Text(text) => {
                assert_eq!((Token::Sconst as i32, format!("'{text}'")), (one.0, one.1.clone()), "{sql}");
            }
            other => panic!("{other:?} of {sql}"),
        }
    }
    assert_eq!(literals.next(), None, "{sql}");
    true
}

/// A judgement with constants for its parameters, as it is written.
fn filled(judgement: &Judgement, literals: &[Source]) -> String {
    let mut judgement = judgement.clone();
    judgement.parameters = 0;
    let mut text = format!("{judgement:?}");
    for (at, literal) in literals.iter().enumerate() {
        text = text.replace(&format!("Parameter({})", at + 1), &format!("{literal:?}"));
    }
    text
}

/// What is judged of the shape is what is judged of the statement. Whether it has a shape that is let through.
pub fn judged_alike(sql: &str, snapshot: &Snapshot, policy: &Policy) -> bool {
    if !reads_alike(sql) {
        return false;
    }
    let shape = Shape::of(sql).unwrap();
    let Ok(judgement) = judge(&shape.sql, snapshot, policy) else { return false };
    if !shape.fits(&judgement) {
        return false;
    }
    let own = judge(sql, snapshot, policy).unwrap_or_else(|no| panic!("{no}: {sql}\nand not its shape {}", shape.sql));
    assert_eq!(filled(&judgement, &shape.literals), format!("{own:?}"), "{sql}");
    true
}
