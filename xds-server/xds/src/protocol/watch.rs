//! One type on one stream: what is wanted, what is held, what is under way.

use std::collections::BTreeSet;
use std::sync::Arc;

use litemap::LiteMap;

use super::ack::{Answer, Entry, InFlight, Told};
use super::message::{Event, MAX_NAMES, Refusal, clip_error};
use super::subscription::{Change, Subscription};
use crate::kind::Kind;
use crate::resources::{Collection, Name};

/// One type on one stream.
#[derive(Debug, Default)]
pub struct Watch {
    pub(super) subscription: Subscription,
    /// What the client holds, by name. A sorted vector: nearly all of it comes at once, in order,
    /// and then stays, on thousands of streams.
    pub(super) entries: LiteMap<Name, Entry>,
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
        let subscription = &self.subscription;
        // Nothing of it is in flight any more, so nothing that is not wanted need be known.
        let is_known = |name: &Name, entry: &Entry| {
            subscription.covers(name)
                && (!entry.is_gone() || subscription.explicit().contains(name))
        };
        let mut is_all_known = true;
        for name in &in_flight.names {
            let Some(entry) = self.entries.get_mut(name) else {
                continue;
            };
            if error.is_some() {
                entry.refuse(refusal);
            } else {
                entry.accept();
            }
            is_all_known &= is_known(name, entry);
        }
        if !is_all_known {
            self.entries.retain(is_known);
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

    /// Notes what the client says that it holds from before this stream: names, each with its
    /// version. State of the world does not say which version: then it is empty.
    pub(super) fn claim<'a>(
        &mut self,
        held: impl Iterator<Item = (&'a str, &'a str)>,
        collection: &Collection,
    ) {
        let subscription = &self.subscription;
        self.entries.extend(held.filter(|(name, _)| subscription.covers(name)).map(
            |(name, version)| {
                let told = match collection.get(name) {
                    Some(resource) if resource.version() == version => {
                        Told::Content(Arc::clone(resource))
                    }
                    _ => Told::Older(version.into()),
                };
                (collection.share(name), Entry::claimed(told))
            },
        ));
    }

    /// Notes what the client is being told. The names, which are told once each, are returned.
    pub(super) fn tell(&mut self, news: Vec<(Name, Told)>) -> Vec<Name> {
        let names = news.iter().map(|(name, _)| Arc::clone(name)).collect();
        let mut unheard = Vec::new();
        for (name, told) in news {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.tell(told);
            } else {
                let mut entry = Entry::default();
                entry.tell(told);
                unheard.push((name, entry));
            }
        }
        // All at once: each by itself would move all that sort after it.
        self.entries.extend(unheard);
        names
    }

    /// Every name that there may be something to say about, ascending.
    pub(super) fn names<'a>(&'a self, collection: &'a Collection) -> Vec<&'a Name> {
        let mut names: Vec<&Name> = self.entries.keys().collect();
        names.extend(self.subscription.explicit());
        names.extend(&self.forced);
        if self.subscription.is_wildcard() {
            names.extend(collection.names());
        }
        // Each source is sorted, which this sort makes use of.
        names.sort();
        names.dedup();
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

    /// True if there was a response on this stream.
    pub(super) const fn is_told(&self) -> bool {
        !self.last_nonce.is_empty()
    }

    /// True if the client has, or has refused, all that can be sent to it now.
    pub(super) const fn is_settled(&self) -> bool {
        self.in_flight.is_none() && !self.dirty
    }
}
