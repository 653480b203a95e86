//! What stands between a client's socket and hyper: it lets a head pass when it is whole and sound,
//! follows the body to its end, and lets nothing pass that two readers might frame differently.
//!
//! A head that is refused is replaced by one that means nothing, so that hyper answers in its turn; the
//! violation waits in the slot, from where the service takes it. One head passes at a time: the next
//! waits until the slot is empty. After a head with which the connection may stop being HTTP, nothing
//! passes until the service says what became of it.

use crate::chunk::Chunked;
use crate::head::{self, Framing, Violation};
use crate::settings::Limits;
use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What hyper reads in place of a head that is refused.
const INSTEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";
/// What hyper reads in place of a chunk that is refused; it refuses it, too.
const NO_CHUNK: &[u8] = b"\0\r\n";
/// Bytes that are read at once.
const READ: usize = 8 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// HTTP goes on.
    Http,
    /// What follows is no HTTP.
    Raw,
}

#[derive(Default)]
struct Shared {
    slot: Option<Result<(), Violation>>,
    next: Option<Next>,
    /// Requests that passed and are not answered to the end.
    busy: usize,
    waker: Option<Waker>,
}

/// The service's side of a guard.
#[derive(Clone, Default)]
pub(crate) struct Handle(Arc<Mutex<Shared>>);

/// While it lives, its connection is not idle.
pub(crate) struct Busy(Handle);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut shared = self.0.0.lock();
        shared.busy = shared.busy.saturating_sub(1);
        wake(&mut shared);
    }
}

impl Handle {
    /// What was found at the head that the service was called for. The connection is busy until the
    /// answer has been given to the end.
    pub(crate) fn take(&self) -> (Result<(), Violation>, Busy) {
        let mut shared = self.0.lock();
        // A head that did not come through the slot cannot be: refused, if it ever is.
        let found = shared.slot.take().unwrap_or(Err(Violation::RequestLine));
        shared.busy += 1;
        wake(&mut shared);
        (found, Busy(self.clone()))
    }

    /// The connection stays HTTP.
    pub(crate) fn stay(&self) {
        self.tell(Next::Http);
    }

    /// The connection stops being HTTP.
    pub(crate) fn switch(&self) {
        self.tell(Next::Raw);
    }

    fn tell(&self, next: Next) {
        let mut shared = self.0.lock();
        shared.next = Some(next);
        wake(&mut shared);
    }
}

fn wake(shared: &mut Shared) {
    if let Some(waker) = shared.waker.take() {
        waker.wake();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    Chunked(Chunked),
    /// Until the service has said what follows.
    Held,
    Raw,
    Broken,
}

/// A socket, guarded.
pub(crate) struct Guard<S> {
    io: S,
    handle: Handle,
    limits: Limits,
    buffer: BytesMut,
    /// Bytes of the buffer that may pass.
    pass: usize,
    /// Bytes of the buffer in which no end of a head is.
    seen: usize,
    state: State,
    /// After the body of this head comes `Held`.
    hold: bool,
    ended: bool,
    head_since: Option<Instant>,
    was_busy: bool,
    timer: Pin<Box<Sleep>>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    pub(crate) fn new(io: S, limits: &Limits) -> (Self, Handle) {
        let handle = Handle::default();
        let guard = Self {
            io,
            handle: handle.clone(),
            limits: limits.clone(),
            buffer: BytesMut::new(),
            pass: 0,
            seen: 0,
            state: State::Head,
            hold: false,
            ended: false,
            head_since: None,
            was_busy: false,
            timer: Box::pin(sleep_until(Instant::now() + limits.idle_time)),
            stalled: None,
        };
        (guard, handle)
    }

    /// Read some more into the buffer. Ready(false) at the end of what the client sends.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        if self.buffer.len() > self.limits.head {
            // Enough is here; the rest waits in the socket.
            return Poll::Pending;
        }
        let mut space = [0_u8; READ];
        let mut space = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut space))?;
        let read = space.filled();
        self.ended = read.is_empty();
        self.buffer.extend_from_slice(read);
        Poll::Ready(Ok(!self.ended))
    }

    /// Wait for the service, and notice meanwhile that the client left. Ready means: at the end.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while ready!(self.fill(cx))? {}
        if self.buffer.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn pass(&mut self, out: &mut ReadBuf<'_>) {
        let many = self.pass.min(out.remaining()).min(self.buffer.len());
        if let Some(bytes) = self.buffer.get(..many) {
            out.put_slice(bytes);
        }
        self.buffer.advance(many);
        self.pass -= many;
    }

    fn refuse(&mut self, violation: Violation) {
        self.buffer.clear();
        self.buffer.extend_from_slice(INSTEAD);
        self.pass = INSTEAD.len();
        self.state = State::Broken;
        self.handle.0.lock().slot = Some(Err(violation));
    }

    /// The next head. Ready(true): something may pass now, or was refused; Ready(false): at the end.
    fn head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            if let Some(end) = head::end(&self.buffer, self.seen) {
                self.head_since = None;
                let whole = self.buffer.get(..end).unwrap_or_default();
                let found = if end > self.limits.head {
                    Err(Violation::TooLarge)
                } else {
                    head::check(whole, self.limits.headers)
                };
                match found {
                    Err(violation) => self.refuse(violation),
                    Ok(facts) => {
                        self.pass = end;
                        self.hold = facts.may_switch;
                        self.state = match facts.framing {
                            Framing::Length(length) => State::Length(length),
                            Framing::Chunked => State::Chunked(Chunked::START),
                        };
                        let mut shared = self.handle.0.lock();
                        shared.slot = Some(Ok(()));
                        shared.next = None;
                    }
                }
                self.seen = 0;
                return Poll::Ready(Ok(true));
            }
            let from = std::mem::replace(&mut self.seen, self.buffer.len());
            if let Some(violation) = head::early(&self.buffer, from) {
                self.refuse(violation);
                return Poll::Ready(Ok(true));
            }
            if self.buffer.len() > self.limits.head {
                self.refuse(Violation::TooLarge);
                return Poll::Ready(Ok(true));
            }
            if !self.buffer.is_empty() && self.head_since.is_none() {
                let now = Instant::now();
                self.head_since = Some(now);
                self.timer.as_mut().reset(now + self.limits.head_time);
            }
            match self.fill(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(false)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if self.buffer.is_empty() && self.is_busy(cx) {
                        return Poll::Pending;
                    }
                    ready!(self.timer.as_mut().poll(cx));
                    if self.buffer.is_empty() {
                        return Poll::Ready(Ok(false));
                    }
                    self.refuse(Violation::TooSlow);
                    return Poll::Ready(Ok(true));
                }
            }
        }
    }

    /// Whether an answer is under way. Once it is not, the connection has its idle time before it.
    fn is_busy(&mut self, cx: &Context<'_>) -> bool {
        let mut shared = self.handle.0.lock();
        let busy = shared.busy > 0;
        if busy {
            shared.waker = Some(cx.waker().clone());
        } else if self.was_busy {
            self.timer.as_mut().reset(Instant::now() + self.limits.idle_time);
        }
        self.was_busy = busy;
        busy
    }

    /// The body is over: what comes next.
    fn body_over(&mut self) {
        self.state = if self.hold { State::Held } else { State::Head };
        self.was_busy = true;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        loop {
            if guard.pass > 0 {
                guard.pass(out);
                return Poll::Ready(Ok(()));
            }
            match guard.state {
                State::Head => {
                    let taken = {
                        let mut shared = guard.handle.0.lock();
                        let taken = shared.slot.is_none();
                        if !taken {
                            shared.waker = Some(cx.waker().clone());
                        }
                        taken
                    };
                    if !taken {
                        return guard.wait(cx);
                    }
                    if !ready!(guard.head(cx))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                State::Length(0) | State::Chunked(Chunked::Done) => guard.body_over(),
                State::Length(left) => {
                    if guard.buffer.is_empty() {
                        let most = usize::try_from(left).unwrap_or(usize::MAX).min(out.remaining()).min(64 * 1024);
                        let mut part = ReadBuf::new(out.initialize_unfilled_to(most));
                        ready!(Pin::new(&mut guard.io).poll_read(cx, &mut part))?;
                        let read = part.filled().len();
                        out.advance(read);
                        guard.state = State::Length(left.saturating_sub(read as u64));
                        return Poll::Ready(Ok(()));
                    }
                    guard.pass = usize::try_from(left).unwrap_or(usize::MAX).min(guard.buffer.len());
                    guard.state = State::Length(left.saturating_sub(guard.pass as u64));
                }
                State::Chunked(mut at) => {
                    if guard.buffer.is_empty() && !ready!(guard.fill(cx))? {
                        return Poll::Ready(Ok(()));
                    }
                    if let Ok(many) = at.feed(&guard.buffer) {
                        guard.pass = many;
                        guard.state = State::Chunked(at);
                    } else {
                        guard.buffer.clear();
                        guard.buffer.extend_from_slice(NO_CHUNK);
                        guard.pass = NO_CHUNK.len();
                        guard.state = State::Broken;
                    }
                }
                State::Held => {
                    let next = {
                        let mut shared = guard.handle.0.lock();
                        let next = shared.next.take();
                        if next.is_none() {
                            shared.waker = Some(cx.waker().clone());
                        }
                        next
                    };
                    match next {
                        None => return guard.wait(cx),
                        Some(Next::Http) => guard.state = State::Head,
                        Some(Next::Raw) => guard.state = State::Raw,
                    }
                }
                State::Raw => {
                    if guard.buffer.is_empty() {
                        return Pin::new(&mut guard.io).poll_read(cx, out);
                    }
                    guard.pass = guard.buffer.len();
                }
                // hyper closes once it has answered.
                State::Broken => return Poll::Pending,
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    /// A client that leaves unread what is written to it for too long is left.
    fn stalls<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.limits.stall_time;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(later(limit))));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

fn later(limit: Duration) -> Instant {
    Instant::now() + limit
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        let written = Pin::new(&mut guard.io).poll_write(cx, bytes);
        guard.stalls(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        let written = Pin::new(&mut guard.io).poll_write_vectored(cx, parts);
        guard.stalls(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        let flushed = Pin::new(&mut guard.io).poll_flush(cx);
        guard.stalls(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
