//! One session, both ways at once, until one side ends, a bound is passed, or the fence falls.

use crate::backend::{Backend, Pass};
use crate::book::Book;
use crate::client::Client;
use crate::close::Close;
use crate::frame::Frames;
use crate::login::Wire;
use crate::message::read_types;
use crate::port::Gate;
use crate::serve::Settings;
use crate::upstream::check_pin;
use bytes::BytesMut;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

type Reading = ReadHalf<Box<dyn Wire>>;
type Writing = WriteHalf<Box<dyn Wire>>;

/// Bytes read at once, each way: with the frame bounds this is what a connection may hold.
const CHUNK: usize = 32 * 1024;

struct Relay<'a> {
    book: Mutex<Book>,
    changed: Notify,
    gate: &'a dyn Gate,
    settings: &'a Settings,
    /// Whether a message to the client has begun and is not whole.
    within: Mutex<bool>,
}

/// Run a session to its end. The reason, and whether the gateway may still write to the client.
pub async fn relay(
    client: Box<dyn Wire>,
    upstream: Box<dyn Wire>,
    gate: &dyn Gate,
    mut fence: watch::Receiver<bool>,
    settings: &Settings,
) -> (Close, Option<Writing>) {
    let relay = Relay { book: Mutex::default(), changed: Notify::new(), gate, settings, within: Mutex::new(false) };
    let (from_client, mut to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(upstream);
    let close = tokio::select! {
        biased;
        _ = fence.wait_for(|fenced| *fenced) => Close::Fenced,
        close = relay.down(from_server, &mut to_client) => close,
        close = relay.up(from_client, to_server) => close,
    };
    for run in relay.book.lock().rest() {
        run.allowance.returned(run.rows, run.bytes, false);
    }
    let within = *relay.within.lock();
    (close, (!within).then_some(to_client))
}

impl Relay<'_> {
    /// From the client to the server.
    async fn up(&self, mut from: Reading, mut to: Writing) -> Close {
        match self.up_inner(&mut from, &mut to).await {
            Ok(()) => Close::ClientLeft,
            Err(close) => close,
        }
    }

    async fn up_inner(&self, from: &mut Reading, to: &mut Writing) -> Result<(), Close> {
        let client = Client { book: &self.book, changed: &self.changed, gate: self.gate };
        let mut frames = Frames::new(self.settings.frames);
        let mut out = BytesMut::with_capacity(CHUNK);
        loop {
            while let Some((kind, frame)) = frames.cut()? {
                // What waits for an answer must not wait for what was never sent.
                if self.book.lock().behind() {
                    self.send(to, &mut out).await?;
                }
                if client.take(kind, frame, &mut out).await? {
                    self.send(to, &mut out).await?;
                    return Ok(());
                }
                if self.book.lock().awaiting_copy {
                    self.send(to, &mut out).await?;
                    self.copy_answered().await;
                }
            }
            self.send(to, &mut out).await?;
            // A frame that has begun comes to its end in time; between frames a client may rest.
            let wait = if frames.begun() { self.settings.frame_time } else { Duration::MAX };
            frames.buffer.reserve(CHUNK);
            let read = timeout(wait, from.read_buf(&mut frames.buffer)).await.map_err(|_| Close::TooSlow)??;
            if read == 0 {
                return Ok(());
            }
        }
    }

    async fn copy_answered(&self) {
        loop {
            let changed = self.changed.notified();
            if !self.book.lock().awaiting_copy {
                return;
            }
            changed.await;
        }
    }

    async fn send(&self, to: &mut Writing, out: &mut BytesMut) -> Result<(), Close> {
        if out.is_empty() {
            return Ok(());
        }
        let done = timeout(self.settings.write_time, async {
            to.write_all(out).await?;
            to.flush().await
        });
        done.await.map_err(|_| Close::TooSlow)??;
        out.clear();
        Ok(())
    }

    /// From the server to the client.
    async fn down(&self, mut from: Reading, to: &mut Writing) -> Close {
        match self.down_inner(&mut from, to).await {
            Ok(()) | Err(Close::Io(_)) => Close::UpstreamLeft,
            Err(close) => close,
        }
    }

    async fn down_inner(&self, from: &mut Reading, to: &mut Writing) -> Result<(), Close> {
        let mut backend = Backend::default();
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let mut out = BytesMut::with_capacity(CHUNK + 1024);
        loop {
            chunk.clear();
            chunk.reserve(CHUNK);
            if from.read_buf(&mut chunk).await? == 0 {
                return Ok(());
            }
            let mut changed = false;
            let fed = backend.feed(
                &chunk,
                &mut out,
                |bytes| self.book.lock().row(bytes),
                |kind, body| {
                    changed = true;
                    self.seen(kind, body)
                },
            );
            if changed {
                self.changed.notify_waiters();
            }
            // A client that does not read its result holds it up, for so long and no longer.
            *self.within.lock() = true;
            self.send(to, &mut out).await?;
            *self.within.lock() = !backend.between();
            fed?;
        }
    }

    /// A message of the server that means something for the book.
    fn seen(&self, kind: u8, body: &[u8]) -> Result<Pass, Close> {
        let mut book = self.book.lock();
        match kind {
            b'1' | b'2' | b'3' => book.confirmed(kind)?,
            b'C' | b'I' | b's' => {
                if let Some(run) = book.completed(kind == b's')? {
                    run.allowance.returned(run.rows, run.bytes, true);
                }
            }
            b'E' => {
                let (runs, own) = book.failed();
                for run in runs {
                    run.allowance.returned(run.rows, run.bytes, false);
                }
                // In an aborted transaction the server has an error of its own to tell, and tells it.
                let (code, _) = crate::message::error_fields(body);
                if let Some(own) = own.filter(|_| matches!(code.as_str(), "26000" | "34000")) {
                    return Ok(Pass::Instead(own));
                }
            }
            b'Z' => {
                for run in book.ready(body.first().copied().unwrap_or_default())? {
                    run.allowance.returned(0, 0, false);
                }
            }
            b'G' => book.copy_in()?,
            b'S' => check_pin(body)?,
            b't' => book.types(read_types(body)?)?,
            _ => {}
        }
        Ok(Pass::As)
    }
}
