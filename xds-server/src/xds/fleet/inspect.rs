//! Inspection: the resources sent to a sidecar, requested from the tasks of its streams. Their sessions hold this state; a
//! central copy for thousands of sidecars would take more memory than everything else.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::{Kind, Mode};
use tidegate_xds::protocol::{Event, ResourceStatus};

/// Most pending inquiries of one stream.
pub(super) const INQUIRIES: usize = 4;
/// Longest wait for the answers. A stream whose client does not read does not answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The channel for the answer of a stream.
pub type Inquiry = oneshot::Sender<StreamReport>;

/// The resources sent to one sidecar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The answers of its streams.
    pub streams: Vec<StreamReport>,
    /// The number of streams that did not answer, because their client does not read.
    pub silent: usize,
}

/// The resources sent on one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// The xDS variant.
    pub mode: Mode,
    /// By requested resource type.
    pub types: BTreeMap<Kind, TypeReport>,
}

/// The resources of one type sent on one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeReport {
    /// The newest response.
    pub pushed: Option<Push>,
    /// The resources that it subscribes to.
    pub holdings: Vec<ResourceStatus>,
}

/// A response that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Its version.
    pub version: Box<str>,
    /// The time when it was sent.
    pub at: Timestamp,
    /// The time of its ACK or NACK.
    pub answered: Option<Timestamp>,
}

/// The newest response of each type on one stream, with its answer.
#[derive(Debug)]
pub(super) struct Exchanges {
    mode: Mode,
    pushes: BTreeMap<Kind, Push>,
}

impl Exchanges {
    pub(super) const fn new(mode: Mode) -> Self {
        Self { mode, pushes: BTreeMap::new() }
    }

    /// Records a response.
    pub(super) fn push(&mut self, kind: Kind, version: Box<str>, at: Timestamp) {
        self.pushes.insert(kind, Push { version, at, answered: None });
    }

    /// Records an ACK or NACK.
    pub(super) fn note(&mut self, event: &Event, at: Timestamp) {
        let (Event::Acked { kind, .. } | Event::Nacked { kind, .. }) = event else {
            return;
        };
        if let Some(push) = self.pushes.get_mut(kind) {
            push.answered = Some(at);
        }
    }

    /// The whole of it, with what the client holds.
    pub(super) fn report(&self, holdings: BTreeMap<Kind, Vec<ResourceStatus>>) -> StreamReport {
        let of_kind = |(kind, holdings)| {
            let pushed = self.pushes.get(&kind).cloned();
            (kind, TypeReport { pushed, holdings })
        };
        StreamReport { mode: self.mode, types: holdings.into_iter().map(of_kind).collect() }
    }
}

/// Inspects all streams of a sidecar concurrently.
pub(super) async fn inspect(streams: &[mpsc::Sender<Inquiry>]) -> Inspection {
    let send = |stream: &mpsc::Sender<Inquiry>| {
        let (inquiry, answer) = oneshot::channel();
        // A stream with a full channel, or that has just ended, counts as silent.
        stream.try_send(inquiry).is_ok().then_some(answer)
    };
    let answers: Vec<_> = streams.iter().map(send).collect();
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let mut inspection = Inspection::default();
    for answer in answers {
        let report = match answer {
            Some(answer) => timeout_at(deadline, answer).await.ok().and_then(Result::ok),
            None => None,
        };
        match report {
            Some(report) => inspection.streams.push(report),
            None => inspection.silent += 1,
        }
    }
    inspection
}
