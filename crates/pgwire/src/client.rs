//! The client's side of a session: each frame is judged, and goes upstream or does not.

use crate::book::{Book, Bound, Entry, Named, Run, Statement};
use crate::close::Close;
use crate::message::{Params, Reader, error_response, frame, read_bind, read_types};
use crate::port::{Ask, Decision, Gate};
use bytes::{Bytes, BytesMut};
use flyball_pgsql::{Reason, Refusal, Session};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Notify;

/// No portal and no statement of a client may have this name: it must not exist.
const NOWHERE: &str = "flyball_refused";

pub struct Client<'a> {
    pub book: &'a Mutex<Book>,
    /// Rung when the server's answers changed the book.
    pub changed: &'a Notify,
    pub gate: &'a dyn Gate,
}

/// A refusal, as the client will see it.
struct No(Vec<u8>);

fn refused(state: &str, reason: &str, what: &str, decision: &str) -> No {
    let by = if decision.is_empty() { String::new() } else { format!(" (decision {decision})") };
    let about = if what.is_empty() { String::new() } else { format!(": {what}") };
    No(error_response("ERROR", state, &format!("refused by flyball: {reason}{about}{by}"), &format!("reason={reason}")))
}

fn refusal(refusal: &Refusal) -> No {
    let state = match refusal.reason {
        Reason::SyntaxError => "42601",
        Reason::CatalogStale => "58000",
        Reason::MultipleStatements | Reason::NotUnderstood | Reason::TooLong | Reason::TooComplex => "0A000",
        _ => "42501",
    };
    refused(state, refusal.reason.code(), &refusal.what, "")
}

impl Client<'_> {
    /// Take one frame; what is to go upstream is put behind `out`. True at the client's good-bye.
    pub async fn take(&self, kind: u8, frame: BytesMut, out: &mut BytesMut) -> Result<bool, Close> {
        let frame = frame.freeze();
        let body = frame.get(5..).unwrap_or_default();
        if self.book.lock().copying_in {
            return self.copying(kind, &frame, out);
        }
        match kind {
            b'Q' | b'F' if self.book.lock().skipping() => return Err(Close::Violation("no Sync after an error")),
            b'Q' => self.query(&frame, body, out).await?,
            b'P' => self.parse(&frame, body, out).await?,
            b'B' => self.bind(&frame, out).await?,
            b'E' => self.execute(&frame, body, out).await?,
            b'C' => self.close(&frame, body, out)?,
            b'S' => {
                self.book.lock().sent(Entry::Sync)?;
                out.extend_from_slice(&frame);
            }
            b'D' => self.describe(&frame, body, out)?,
            b'H' => out.extend_from_slice(&frame),
            // Left over from a COPY that failed at the server: it passes them by, and so do we.
            b'd' | b'c' | b'f' => {}
            b'F' => {
                let no = refused("0A000", "function_call", "", "");
                self.fail(no, true, out)?;
            }
            b'X' => {
                out.extend_from_slice(&frame);
                return Ok(true);
            }
            _ => return Err(Close::Violation("frame out of place")),
        }
        Ok(false)
    }

    /// In copy-in mode the server passes over Flush and Sync: they must not count.
    fn copying(&self, kind: u8, frame: &Bytes, out: &mut BytesMut) -> Result<bool, Close> {
        match kind {
            b'd' => out.extend_from_slice(frame),
            b'c' | b'f' => {
                self.book.lock().copying_in = false;
                out.extend_from_slice(frame);
            }
            b'H' | b'S' => {}
            b'X' => return Ok(true),
            _ => return Err(Close::Violation("frame in COPY")),
        }
        Ok(false)
    }

    /// In the place of what is refused goes what fails at the server: a portal or statement that
    /// does not exist. So the order of answers, the transaction and the skip to Sync are the server's.
    fn fail(&self, no: No, simple: bool, out: &mut BytesMut) -> Result<(), Close> {
        let mut book = self.book.lock();
        book.sent(Entry::Refused(no.0))?;
        if simple {
            book.sent(Entry::Sync)?;
            out.extend_from_slice(&frame(b'Q', format!("EXECUTE {NOWHERE}\0").as_bytes()));
        } else {
            out.extend_from_slice(&frame(b'E', format!("{NOWHERE}\0\0\0\0\0").as_bytes()));
        }
        Ok(())
    }

    /// What a name stands for, once it is known.
    async fn known<T>(&self, look: impl Fn(&Book) -> Named<T>) -> Option<T> {
        loop {
            let changed = self.changed.notified();
            match look(&self.book.lock()) {
                Named::Found(found) => return Some(found),
                Named::Absent => return None,
                Named::Wait => {}
            }
            changed.await;
        }
    }

    async fn query(&self, frame: &Bytes, body: &[u8], out: &mut BytesMut) -> Result<(), Close> {
        let mut reader = Reader(body);
        let sql = reader.text()?;
        reader.end()?;
        let judged = match self.gate.judge(sql).await {
            Ok(judged) => judged,
            Err(no) => return self.fail(refusal(&no), true, out),
        };
        let statement = Arc::new(Statement { judged, types: Mutex::default() });
        let bound = Bound { statement, params: Params::default(), cursor: false };
        match self.decided(bound).await {
            Ok(run) => {
                let mut book = self.book.lock();
                book.sent(Entry::Run(run))?;
                book.sent(Entry::Sync)?;
                out.extend_from_slice(frame);
                Ok(())
            }
            Err(no) => self.fail(no, true, out),
        }
    }

    async fn parse(&self, frame: &Bytes, body: &[u8], out: &mut BytesMut) -> Result<(), Close> {
        let mut reader = Reader(body);
        let (name, sql) = (reader.text()?, reader.text()?);
        let types = read_types(reader.0)?;
        if name.starts_with(NOWHERE) {
            return Err(Close::Violation("reserved name"));
        }
        match self.gate.judge(sql).await {
            Ok(judged) if judged.judgement().statements <= 1 => {
                let statement = Arc::new(Statement { judged, types: Mutex::new(types) });
                self.book.lock().sent(Entry::Parse(name.to_owned(), statement))?;
                out.extend_from_slice(frame);
                Ok(())
            }
            Ok(_) => self.fail(refusal(&Refusal::new(Reason::MultipleStatements, "")), false, out),
            Err(no) => self.fail(refusal(&no), false, out),
        }
    }

    async fn bind(&self, frame: &Bytes, out: &mut BytesMut) -> Result<(), Close> {
        let bind = read_bind(frame)?;
        if bind.portal.starts_with(NOWHERE) {
            return Err(Close::Violation("reserved name"));
        }
        match self.known(|book| book.statement(&bind.statement)).await {
            Some(statement) => {
                let bound = Bound { statement, params: bind.params, cursor: false };
                self.book.lock().sent(Entry::Bind(bind.portal, bound))?;
                out.extend_from_slice(frame);
                Ok(())
            }
            None => self.fail(refused("26000", "unknown_statement", "", ""), false, out),
        }
    }

    async fn execute(&self, frame: &Bytes, body: &[u8], out: &mut BytesMut) -> Result<(), Close> {
        let mut reader = Reader(body);
        let name = reader.text()?;
        reader.i32()?;
        reader.end()?;
        let Some(bound) = self.known(|book| book.portal(name)).await else {
            return self.fail(refused("34000", "unknown_portal", "", ""), false, out);
        };
        match self.decided(bound).await {
            Ok(run) => {
                self.book.lock().sent(Entry::Run(run))?;
                out.extend_from_slice(frame);
                Ok(())
            }
            Err(no) => self.fail(no, false, out),
        }
    }

    /// Names nothing that a judged statement did not; rows come only by Execute.
    fn describe(&self, frame: &Bytes, body: &[u8], out: &mut BytesMut) -> Result<(), Close> {
        let mut reader = Reader(body);
        let kind = reader.byte()?;
        let name = reader.text()?;
        reader.end()?;
        match kind {
            b'S' => self.book.lock().describe(name)?,
            b'P' => {}
            _ => return Err(Close::Violation("Describe")),
        }
        out.extend_from_slice(frame);
        Ok(())
    }

    fn close(&self, frame: &Bytes, body: &[u8], out: &mut BytesMut) -> Result<(), Close> {
        let mut reader = Reader(body);
        let kind = reader.byte()?;
        let name = reader.text()?.to_owned();
        reader.end()?;
        let entry = match kind {
            b'S' => Entry::CloseStatement(name),
            b'P' => Entry::ClosePortal(name),
            _ => return Err(Close::Violation("Close")),
        };
        self.book.lock().sent(entry)?;
        out.extend_from_slice(frame);
        Ok(())
    }

    /// Ask whether it may run. EXECUTE and FETCH are asked for as what their name stands for.
    async fn decided(&self, bound: Bound) -> Result<Box<Run>, No> {
        let own = Arc::clone(bound.statement.judged.judgement());
        let target = match &own.session {
            Some(Session::Execute(name)) => {
                let found = self.known(|book| book.statement(name)).await;
                let found = found.ok_or_else(|| refused("26000", "unknown_statement", name, ""))?;
                // Its values are those of EXECUTE.
                let judged = found.judged.with_values(&own);
                let statement = Arc::new(Statement { judged, types: Mutex::default() });
                // Its parameters are those of EXECUTE, which are not told from the text: none is known.
                Some(Bound { statement, params: Params::default(), cursor: false })
            }
            Some(Session::Fetch(name)) => {
                let found = self.known(|book| book.portal(name)).await;
                Some(found.ok_or_else(|| refused("34000", "unknown_portal", name, ""))?)
            }
            _ => None,
        };
        let asked = target.as_ref().unwrap_or(&bound);
        // What EXECUTE or FETCH stands for is itself no EXECUTE or FETCH: one step is all there is.
        let types = asked.statement.types.lock().clone();
        let ask = Ask {
            judged: &asked.statement.judged,
            params: &asked.params,
            types: &types,
            runs: !matches!(own.session, Some(Session::Prepare(_))),
        };
        match self.gate.decide(ask).await {
            Decision::Allow(allowance) => {
                Ok(Box::new(Run { allowance, rows: 0, bytes: 0, parts: own.statements.max(1), bound }))
            }
            Decision::Deny { id, reason, detail, fault } => {
                Err(refused(if fault { "58000" } else { "42501" }, &reason, &detail, &id))
            }
        }
    }
}
