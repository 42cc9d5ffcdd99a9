//! The state of one resource type on one stream.

use std::collections::BTreeSet;
use std::sync::Arc;

use litemap::LiteMap;

use super::entry::{Answer, ClientContent, Entry, InFlight};
use super::message::{Event, MAX_NAMES, ProtocolError, clip_error};
use super::subscription::{Subscription, SubscriptionChange};
use crate::kind::Kind;
use crate::resources::{Collection, Name};

/// The state of one resource type on one stream.
#[derive(Debug, Default)]
pub struct TypeState {
    pub(super) subscription: Subscription,
    /// What the client holds, by name. A sorted vector, because nearly all entries are added at once and in order, on
    /// thousands of streams.
    pub(super) entries: LiteMap<Name, Entry>,
    /// Names that must be answered even if the client holds the current content.
    pub(super) must_send: BTreeSet<Name>,
    /// A response is due even if it is empty: the client waits for it before it starts.
    pub(super) response_required: bool,
    /// The response that is not answered. There is at most one, so the names of the client's newest request always follow
    /// from the newest response, and no subscription is lost.
    pub(super) in_flight: Option<InFlight>,
    /// The nonce of the newest response, answered or not; empty before the first.
    pub(super) last_nonce: String,
    /// A draft may find something to send.
    pub(super) is_dirty: bool,
    /// The last draft held back content until another type progresses.
    pub(super) is_blocked: bool,
    /// A NACK was reported, and its [`Event::Cleared`] was not.
    pub(super) has_nacks: bool,
    /// The first request named content from before this stream.
    pub(super) is_resumed: bool,
}

/// To which response the nonce of a request refers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NonceStatus {
    /// The response in flight: the request is its ACK or NACK.
    InFlight,
    /// The newest response, which was answered before.
    Newest,
    /// None: the nonce is empty.
    Absent,
    /// A response that is not the newest.
    Stale,
}

impl TypeState {
    /// Classifies the nonce of a request.
    pub(super) fn nonce_status(&self, nonce: &str) -> NonceStatus {
        match &self.in_flight {
            _ if nonce.is_empty() => NonceStatus::Absent,
            Some(in_flight) if in_flight.nonce == nonce => NonceStatus::InFlight,
            None if self.last_nonce == nonce => NonceStatus::Newest,
            _ => NonceStatus::Stale,
        }
    }

    /// Records the ACK, or the NACK with its `error`, of the response in flight. `allows_subset` is true if a response of
    /// this type may contain any subset, so that each resource of a NACKed response can be retried alone.
    pub(super) fn on_answer(
        &mut self,
        kind: Kind,
        error: Option<&str>,
        allows_subset: bool,
    ) -> Option<Event> {
        let in_flight = self.in_flight.take()?;
        let nack = if allows_subset && in_flight.names.len() > 1 {
            Answer::NackedInBatch
        } else {
            Answer::Nacked
        };
        let subscription = &self.subscription;
        // Nothing is in flight now, so entries without a subscription are not needed.
        let is_needed = |name: &Name, entry: &Entry| {
            subscription.covers(name)
                && (!entry.is_absent() || subscription.explicit().contains(name))
        };
        let mut are_all_needed = true;
        for name in &in_flight.names {
            let Some(entry) = self.entries.get_mut(name) else {
                continue;
            };
            if error.is_some() {
                entry.record_nack(nack);
            } else {
                entry.record_ack();
            }
            are_all_needed &= is_needed(name, entry);
        }
        if !are_all_needed {
            self.entries.retain(is_needed);
        }
        self.is_dirty = true;
        let version = in_flight.version;
        Some(match error {
            None => Event::Acked { kind, version },
            Some(message) => {
                self.has_nacks = true;
                Event::Nacked { kind, version, message: clip_error(message) }
            }
        })
    }

    /// Applies a change of the subscription: added names must be answered, the entries of removed ones are dropped.
    pub(super) fn on_subscription_change(
        &mut self,
        kind: Kind,
        change: SubscriptionChange,
    ) -> Result<(), ProtocolError> {
        if self.subscription.explicit().len() > MAX_NAMES {
            return Err(ProtocolError::TooManyNames(kind));
        }
        self.is_dirty |= change.wildcard_added || change.narrowed || !change.added.is_empty();
        self.response_required |= change.wildcard_added;
        self.must_send.extend(change.added);
        if change.narrowed {
            let subscription = &self.subscription;
            // Content in flight may arrive after the client has subscribed again.
            self.entries.retain(|name, entry| subscription.covers(name) || entry.is_in_flight());
            self.must_send.retain(|name| subscription.covers(name));
        }
        Ok(())
    }

    /// Records the resources that the client reports to hold from before this stream: names and versions. The version is
    /// empty in state of the world, whose requests do not contain the versions of single resources.
    pub(super) fn resume<'a>(
        &mut self,
        reported: impl Iterator<Item = (&'a str, &'a str)>,
        collection: &Collection,
    ) {
        let subscription = &self.subscription;
        self.is_resumed = true;
        self.entries.extend(reported.filter(|(name, _)| subscription.covers(name)).map(
            |(name, version)| {
                let content = match collection.get(name) {
                    Some(resource) if resource.version() == version => {
                        ClientContent::Resource(Arc::clone(resource))
                    }
                    _ => ClientContent::OtherVersion(version.into()),
                };
                (collection.intern(name), Entry::reported(content))
            },
        ));
    }

    /// Records what a response contains, each name once. Returns the names.
    pub(super) fn record_sent(&mut self, sent: Vec<(Name, ClientContent)>) -> Vec<Name> {
        let names = sent.iter().map(|(name, _)| Arc::clone(name)).collect();
        let mut added = Vec::new();
        for (name, content) in sent {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.record_sent(content);
            } else {
                let mut entry = Entry::default();
                entry.record_sent(content);
                added.push((name, entry));
            }
        }
        // In one call: each single insertion would move all entries behind it.
        self.entries.extend(added);
        names
    }

    /// Every name that a draft must consider, ascending: known, subscribed, or in the snapshot.
    pub(super) fn candidate_names<'a>(&'a self, collection: &'a Collection) -> Vec<&'a Name> {
        let mut names: Vec<&Name> = self.entries.keys().collect();
        names.extend(self.subscription.explicit());
        names.extend(&self.must_send);
        if self.subscription.is_wildcard() {
            names.extend(collection.names());
        }
        // Each source is sorted, for which this sort is fast.
        names.sort();
        names.dedup();
        names
    }

    /// Returns [`Event::Cleared`] once after the last NACKed resource was ACKed or is no longer subscribed to.
    pub(super) fn take_cleared(&mut self, kind: Kind) -> Option<Event> {
        let is_cleared = self.has_nacks && !self.entries.values().any(Entry::is_nacked);
        if !is_cleared {
            return None;
        }
        self.has_nacks = false;
        Some(Event::Cleared { kind })
    }

    /// True if there was a response on this stream.
    pub(super) const fn has_responded(&self) -> bool {
        !self.last_nonce.is_empty()
    }

    /// True if the client has answered everything that can be sent now.
    pub(super) const fn is_settled(&self) -> bool {
        self.in_flight.is_none() && !self.is_dirty
    }
}
