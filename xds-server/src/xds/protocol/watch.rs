//! One type on one stream: what is wanted, what is held, what is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ack::{Answer, Entry, InFlight, Told};
use super::message::{Event, MAX_NAMES, Refusal, clip_error};
use super::subscription::{Change, Subscription};
use crate::xds::kind::Kind;
use crate::xds::resources::{Collection, Name};

/// One type on one stream.
#[derive(Debug, Default)]
pub struct Watch {
    pub(super) subscription: Subscription,
    /// What the client holds, by name.
    pub(super) entries: BTreeMap<Name, Entry>,
    /// Names that must be answered even if the client is believed to be up to date.
    pub(super) forced: BTreeSet<Name>,
    /// A response is due even if there is nothing in it: a client waits for it to start.
    pub(super) owed: bool,
    /// The response that is not answered yet. There is at most one, so that a client's newest
    /// request always speaks of our newest response and no subscription can be lost.
    pub(super) in_flight: Option<InFlight>,
    /// The nonce of the newest response, answered or not.
    pub(super) last_nonce: String,
    /// There may be something to send.
    pub(super) dirty: bool,
    /// Something is held back until another type moves on.
    pub(super) waiting: bool,
    /// Something that was refused is still wanted.
    pub(super) refused: bool,
}

/// What a request's nonce says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It answers the response that is under way.
    Answer,
    /// It knows the newest response, and has answered it before.
    Current,
    /// It names none.
    Bare,
    /// It names a response that is not the newest.
    Stale,
}

impl Watch {
    /// What a request's nonce says of it.
    pub(super) fn standing(&self, nonce: &str) -> Standing {
        match &self.in_flight {
            _ if nonce.is_empty() => Standing::Bare,
            Some(in_flight) if in_flight.nonce == nonce => Standing::Answer,
            None if self.last_nonce == nonce => Standing::Current,
            _ => Standing::Stale,
        }
    }

    /// Takes the answer to the response under way. `takes_parts` is true if a response of this
    /// type may hold any subset, so that a bad resource can be told from its neighbours.
    pub(super) fn answer(
        &mut self,
        kind: Kind,
        error: Option<&str>,
        takes_parts: bool,
    ) -> Option<Event> {
        let in_flight = self.in_flight.take()?;
        let refusal = if takes_parts && in_flight.names.len() > 1 {
            Answer::Suspect
        } else {
            Answer::Refused
        };
        for name in &in_flight.names {
            let Some(entry) = self.entries.get_mut(name) else {
                continue;
            };
            if error.is_some() {
                entry.refuse(refusal);
            } else {
                entry.accept();
            }
            let forgotten = entry.is_gone() && !self.subscription.explicit().contains(name);
            if forgotten || !self.subscription.covers(name) {
                self.entries.remove(name);
            }
        }
        self.dirty = true;
        let version = in_flight.version;
        Some(match error {
            None => Event::Acked { kind, version },
            Some(message) => {
                self.refused = true;
                Event::Nacked { kind, version, message: clip_error(message) }
            }
        })
    }

    /// Applies a change of the subscription: new names must be answered, old ones are forgotten.
    pub(super) fn apply(&mut self, kind: Kind, change: Change) -> Result<(), Refusal> {
        if self.subscription.explicit().len() > MAX_NAMES {
            return Err(Refusal::TooManyNames(kind));
        }
        self.dirty |= change.wildcard_gained || change.narrowed || !change.added.is_empty();
        self.owed |= change.wildcard_gained;
        self.forced.extend(change.added);
        if change.narrowed {
            let subscription = &self.subscription;
            // What is under way may arrive after the client has changed its mind once more.
            self.entries.retain(|name, entry| subscription.covers(name) || entry.is_pending());
            self.forced.retain(|name| subscription.covers(name));
        }
        Ok(())
    }

    /// Notes what the client says that it holds from before this stream. State of the world does
    /// not say which version: then it is empty.
    pub(super) fn claim(&mut self, name: &str, version: &str, collection: &Collection) {
        if !self.subscription.covers(name) {
            return;
        }
        let told = match collection.get(name) {
            Some(resource) if resource.version() == version => Told::Content(Arc::clone(resource)),
            _ => Told::Older(version.into()),
        };
        self.entries.insert(name.into(), Entry::claimed(told));
    }

    /// Every name that there may be something to say about, ascending.
    pub(super) fn names<'a>(&'a self, collection: &'a Collection) -> BTreeSet<&'a Name> {
        let mut names: BTreeSet<&Name> = self.entries.keys().collect();
        names.extend(self.subscription.explicit());
        names.extend(&self.forced);
        if self.subscription.is_wildcard() {
            names.extend(collection.names());
        }
        names
    }

    /// Tells once that nothing that was refused is wanted any more.
    pub(super) fn clear(&mut self, kind: Kind) -> Option<Event> {
        let over = self.refused && !self.entries.values().any(Entry::is_refused);
        if !over {
            return None;
        }
        self.refused = false;
        Some(Event::Cleared { kind })
    }

    /// True if the client has, or has refused, all that can be sent to it now.
    pub(super) const fn is_settled(&self) -> bool {
        self.in_flight.is_none() && !self.dirty
    }
}
