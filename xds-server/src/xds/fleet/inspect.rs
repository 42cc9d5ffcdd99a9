//! What each sidecar was sent, told by the streams' own tasks when somebody asks. The sessions hold
//! it already: a copy for thousands of sidecars would cost more than all else.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::{Kind, Mode};
use tidegate_xds::protocol::{Event, ResourceStatus};

/// How many may ask one stream at a time.
pub(super) const INQUIRIES: usize = 4;
/// How long a stream may take to answer. One whose client does not read cannot.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where a stream's answer goes.
pub type Inquiry = oneshot::Sender<StreamReport>;

/// What one sidecar was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// What its streams tell.
    pub streams: Vec<StreamReport>,
    /// Streams that did not answer, because their client does not read what it was sent before.
    pub silent: usize,
}

/// What one stream was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// How it speaks xDS.
    pub mode: Mode,
    /// What it was sent of each kind that it asked for.
    pub types: BTreeMap<Kind, TypeReport>,
}

/// What one stream was sent of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeReport {
    /// The newest response, if there was one.
    pub pushed: Option<Push>,
    /// The resources that it wants.
    pub holdings: Vec<ResourceStatus>,
}

/// A response that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Its version.
    pub version: Box<str>,
    /// When it was sent.
    pub at: Timestamp,
    /// When it was accepted or refused, if it was.
    pub answered: Option<Timestamp>,
}

/// The newest exchange of each kind on one stream.
#[derive(Debug)]
pub(super) struct Exchanges {
    mode: Mode,
    pushes: BTreeMap<Kind, Push>,
}

impl Exchanges {
    pub(super) const fn new(mode: Mode) -> Self {
        Self { mode, pushes: BTreeMap::new() }
    }

    /// Notes that a response was sent.
    pub(super) fn push(&mut self, kind: Kind, version: Box<str>, at: Timestamp) {
        self.pushes.insert(kind, Push { version, at, answered: None });
    }

    /// Notes an answer.
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

/// Asks all of a sidecar's streams at once.
pub(super) async fn inspect(streams: &[mpsc::Sender<Inquiry>]) -> Inspection {
    let ask = |stream: &mpsc::Sender<Inquiry>| {
        let (inquiry, answer) = oneshot::channel();
        // A stream that has too many askers, or has just ended, is one that does not answer.
        stream.try_send(inquiry).is_ok().then_some(answer)
    };
    let answers: Vec<_> = streams.iter().map(ask).collect();
    let deadline = Instant::now() + PATIENCE;
    let mut inspection = Inspection::default();
    for answer in answers {
        let answered = match answer {
            Some(answer) => timeout_at(deadline, answer).await.ok().and_then(Result::ok),
            None => None,
        };
        match answered {
            Some(report) => inspection.streams.push(report),
            None => inspection.silent += 1,
        }
    }
    inspection
}
