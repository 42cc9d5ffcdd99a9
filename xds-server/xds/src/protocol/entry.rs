//! What a client holds of one resource, derived from responses and their ACKs and NACKs.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::resources::{Name, Resource, ResourceRef};

/// What was sent for a name, or what the client reports to hold.
#[derive(Debug, Clone)]
pub(super) enum ClientContent {
    /// A resource of which the server has the content.
    Resource(Arc<Resource>),
    /// A version from before this stream of which the server does not have the content.
    OtherVersion(Box<str>),
    /// The name does not exist.
    Absent,
}

impl ClientContent {
    /// Whether it has the version `target`; `None` for a resource that does not exist.
    fn matches(&self, target: Option<&str>) -> bool {
        self.version() == target
    }

    /// Its version; `None` if the name does not exist.
    fn version(&self) -> Option<&str> {
        match self {
            Self::Resource(resource) => Some(resource.version()),
            Self::OtherVersion(version) => Some(version),
            Self::Absent => None,
        }
    }
}

/// The client's answer to the last content that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// None yet.
    Pending,
    /// A NACK of a response that contained nothing else: this content is invalid.
    Nacked,
    /// A NACK of a response that contained more: the cause may be another resource.
    NackedInBatch,
}

/// The difference between what a client holds and the target, for one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Staleness {
    /// None; or the target is in flight, or the client NACKed it.
    Current,
    /// The target was not sent.
    Stale,
    /// The client NACKed a response that contained the target and more. Sent alone, it may be accepted.
    RetryAlone,
}

/// What a client holds of one name. Each stream has one entry per name, and nearly all contain only the ACKed content;
/// the rest is boxed.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Last ACKed content, or what the client reported in its first request.
    acked: Option<ClientContent>,
    /// Content that was sent after that and is not ACKed.
    unacked: Option<Box<Unacked>>,
}

/// Content that was sent and is not ACKed.
#[derive(Debug)]
struct Unacked {
    content: ClientContent,
    answer: Answer,
    /// References of earlier content with [`Answer::NackedInBatch`]. A client may apply a part of a response that it NACKs.
    earlier_references: BTreeSet<ResourceRef>,
}

impl Entry {
    /// An entry for content that the client reports to hold from before this stream.
    pub(super) const fn reported(content: ClientContent) -> Self {
        Self { acked: Some(content), unacked: None }
    }

    /// Compares with the version `target`; `None` for a resource that does not exist.
    pub(super) fn staleness(&self, target: Option<&str>) -> Staleness {
        match (&self.unacked, &self.acked) {
            (Some(unacked), _) if unacked.content.matches(target) => match unacked.answer {
                Answer::Pending | Answer::Nacked => Staleness::Current,
                Answer::NackedInBatch => Staleness::RetryAlone,
            },
            (None, Some(acked)) if acked.matches(target) => Staleness::Current,
            _ => Staleness::Stale,
        }
    }

    /// True if the client ACKed exactly this version, and nothing was sent since.
    pub(super) fn has_acked(&self, version: &str) -> bool {
        self.unacked.is_none() && self.acked.as_ref().is_some_and(|it| it.matches(Some(version)))
    }

    /// Records that content is in flight.
    pub(super) fn record_sent(&mut self, content: ClientContent) {
        let mut earlier_references = BTreeSet::new();
        if let Some(before) = self.unacked.take() {
            earlier_references = before.earlier_references;
            if let (ClientContent::Resource(resource), Answer::NackedInBatch) =
                (before.content, before.answer)
            {
                earlier_references.extend(resource.references().iter().cloned());
            }
        }
        let answer = Answer::Pending;
        self.unacked = Some(Box::new(Unacked { content, answer, earlier_references }));
    }

    /// Records an ACK of the last content.
    pub(super) fn record_ack(&mut self) {
        if let Some(unacked) = self.unacked.take() {
            self.acked = Some(unacked.content);
        }
    }

    /// Records a NACK of the last content.
    pub(super) fn record_nack(&mut self, answer: Answer) {
        if let Some(unacked) = &mut self.unacked {
            unacked.answer = answer;
        }
    }

    /// True if the last content is not answered.
    pub(super) fn is_in_flight(&self) -> bool {
        self.unacked.as_ref().is_some_and(|unacked| unacked.answer == Answer::Pending)
    }

    /// True if the client ACKed that the name does not exist, and nothing was sent since.
    pub(super) const fn is_absent(&self) -> bool {
        self.unacked.is_none() && matches!(self.acked, Some(ClientContent::Absent))
    }

    /// True if the client NACKed the last content.
    pub(super) fn is_nacked(&self) -> bool {
        self.unacked.as_ref().is_some_and(|unacked| unacked.answer != Answer::Pending)
    }

    /// The last ACKed resource, if the server has its content.
    pub(super) const fn acked_resource(&self) -> Option<&Arc<Resource>> {
        match &self.acked {
            Some(ClientContent::Resource(resource)) => Some(resource),
            _ => None,
        }
    }

    /// The last version that was sent; without one, the version that the client reported.
    pub(super) fn sent_version(&self) -> Option<&str> {
        self.last_content()?.version()
    }

    /// The last version that the client ACKed or reported.
    pub(super) fn acked_version(&self) -> Option<&str> {
        self.acked.as_ref()?.version()
    }

    /// The last resource that was sent, if the server has its content.
    pub(super) fn sent_resource(&self) -> Option<&Arc<Resource>> {
        match self.last_content() {
            Some(ClientContent::Resource(resource)) => Some(resource),
            _ => None,
        }
    }

    fn last_content(&self) -> Option<&ClientContent> {
        self.unacked.as_ref().map(|unacked| &unacked.content).or(self.acked.as_ref())
    }

    /// True if a resource that references this one may be sent: the client holds some content of it, or NACKed it. A NACK
    /// counts because a rollback must not wait for content that the client rejects.
    pub(super) fn is_answered(&self) -> bool {
        match &self.unacked {
            Some(unacked) if matches!(unacked.content, ClientContent::Absent) => false,
            Some(unacked) if unacked.answer != Answer::Pending => true,
            _ => matches!(
                self.acked,
                Some(ClientContent::Resource(_) | ClientContent::OtherVersion(_))
            ),
        }
    }

    /// Whether the client may use content that references `target`. Content that the server does not have may reference
    /// anything.
    pub(super) fn may_reference(&self, target: &ResourceRef) -> bool {
        let references = |content: &ClientContent| match content {
            ClientContent::Resource(resource) => resource.references().contains(target),
            ClientContent::OtherVersion(_) => true,
            ClientContent::Absent => false,
        };
        self.acked.as_ref().is_some_and(references)
            || self.unacked.as_ref().is_some_and(|unacked| {
                references(&unacked.content) || unacked.earlier_references.contains(target)
            })
    }
}

/// The one response of a type that is not answered.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) nonce: String,
    pub(super) version: Box<str>,
    /// The names for which it contains new content or a removal.
    pub(super) names: Vec<Name>,
}
