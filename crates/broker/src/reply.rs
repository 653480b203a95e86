//! What goes back to the client: an answer of ours, or an upstream's on its way through.

use crate::answer::Refusal;
use crate::broker::Broker;
use crate::guard::Busy;
use crate::port::{Admission, Budget, Returned};
use crate::scrub::Scrubber;
use crate::upstream::Wire;
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What came of an allowed request, told once, at the latest when this is dropped.
pub(crate) struct Report {
    admission: Arc<Admission>,
    decision: String,
    pub(crate) status: Option<u16>,
    pub(crate) bytes: u64,
    pub(crate) completed: bool,
    began: Instant,
    told: bool,
}

impl Report {
    pub(crate) fn new(admission: &Arc<Admission>, decision: &str) -> Self {
        Self {
            admission: Arc::clone(admission),
            decision: decision.to_owned(),
            status: None,
            bytes: 0,
            completed: false,
            began: Instant::now(),
            told: false,
        }
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn returned(&self) -> Returned<'_> {
        let Self { decision, status, bytes, completed, .. } = self;
        Returned { decision, status: *status, bytes: *bytes, ms: self.ms(), completed: *completed }
    }

    /// Tell it with the result, and wait until it may be delivered.
    pub(crate) async fn tell(&mut self, result: &[u8]) -> bool {
        self.told = true;
        self.admission.gate.result(self.returned(), result).await
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if !self.told {
            self.admission.gate.returned(self.returned());
        }
    }
}

/// An upstream's body on its way to the client.
pub(crate) struct Through {
    pub(crate) body: Incoming,
    pub(crate) wire: Option<Wire>,
    pub(crate) broker: Arc<Broker>,
    pub(crate) task: Arc<str>,
    pub(crate) scrubber: Scrubber,
    /// What bounds the bytes that come back.
    pub(crate) budget: Option<Arc<dyn Budget>>,
    pub(crate) report: Report,
    /// The upstream's body was read to its end.
    pub(crate) ended: bool,
}

impl Through {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        while !self.ended {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => {
                    self.ended = true;
                    let rest = self.scrubber.finish();
                    if !rest.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(rest))));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => {
                    // Trailers are not passed on.
                    let Ok(data) = frame.into_data() else { continue };
                    self.report.bytes += data.len() as u64;
                    if self.budget.as_ref().is_some_and(|budget| !budget.take(data.len() as u64)) {
                        return Poll::Ready(Some(Err("the task's bytes are spent".into())));
                    }
                    let mut sure = self.scrubber.push(data);
                    if self.body.is_end_stream() {
                        // hyper may not ask again.
                        self.ended = true;
                        let rest = self.scrubber.finish();
                        if !rest.is_empty() {
                            sure = [sure, rest].concat().into();
                        }
                    }
                    if !sure.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(sure))));
                    }
                }
            }
        }
        Poll::Ready(None)
    }
}

impl Through {
    /// The whole body, scrubbed, once its report is durable.
    pub(crate) async fn gather(mut self, most: usize) -> Result<Bytes, Refusal> {
        let mut whole = BytesMut::new();
        while let Some(frame) = poll_fn(|cx| self.poll(cx)).await {
            let frame = frame.map_err(|_| {
                Refusal::upstream(
                    "upstream_failed",
                    "the upstream's answer broke off, or is more than the task may have",
                )
            })?;
            whole.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
            if whole.len() > most {
                return Err(Refusal::upstream("result_too_large", "the answer must be reported, and is too large"));
            }
        }
        self.report.completed = true;
        if self.report.tell(&whole).await {
            Ok(whole.freeze())
        } else {
            Err(Refusal::fault("result_not_reported".to_owned()))
        }
    }
}

impl Drop for Through {
    fn drop(&mut self) {
        if self.ended || self.body.is_end_stream() {
            self.report.completed = true;
            if let Some(wire) = self.wire.take() {
                self.broker.keep(&self.task, wire);
            }
        }
    }
}

enum Kind {
    Whole(Option<Bytes>),
    Through(Box<Through>),
}

/// A body for the client.
pub(crate) struct Reply {
    kind: Kind,
    /// Until this body is given, the connection is not idle.
    busy: Option<Busy>,
}

impl Reply {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { kind: Kind::Whole(Some(bytes)), busy: None }
    }

    pub(crate) fn through(through: Through) -> Self {
        Self { kind: Kind::Through(Box::new(through)), busy: None }
    }

    pub(crate) fn keeping(self, busy: Busy) -> Self {
        Self { busy: Some(busy), ..self }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let reply = self.get_mut();
        let frame = match &mut reply.kind {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty()).map(Frame::data).map(Ok)),
            Kind::Through(through) => through.poll(cx),
        };
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            reply.busy = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Kind::Through(through) => through.ended || (through.report.bytes == 0 && through.body.is_end_stream()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            // Masks are as long as what they mask.
            Kind::Through(through) if through.report.bytes == 0 => through.body.size_hint(),
            Kind::Through(_) => SizeHint::default(),
        }
    }
}
