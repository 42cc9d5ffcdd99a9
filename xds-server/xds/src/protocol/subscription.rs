//! Which names of one type a client wants.

use std::collections::BTreeSet;

use crate::resources::Name;

/// The name that stands for every resource.
pub(super) const WILDCARD: &str = "*";

/// The names of one type that a client wants.
///
/// A client that never named anything wants everything (the legacy wildcard); one that ever did
/// and names nothing any more wants nothing.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    wildcard: bool,
    /// The legacy wildcard is over.
    named: bool,
    explicit: BTreeSet<Name>,
}

/// How a subscription changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Names that are wanted now and must be answered.
    pub(super) added: Vec<Name>,
    /// The wildcard is new.
    pub(super) wildcard_gained: bool,
    /// Something is not wanted any more.
    pub(super) narrowed: bool,
}

impl Subscription {
    /// Whether a name is wanted.
    pub(super) fn covers(&self, name: &str) -> bool {
        self.wildcard || self.explicit.contains(name)
    }

    /// Whether everything is wanted.
    pub(super) const fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The names that were asked for by name.
    pub(super) const fn explicit(&self) -> &BTreeSet<Name> {
        &self.explicit
    }

    /// State of the world: the request's names are all that is wanted.
    pub(super) fn replace(&mut self, names: impl Iterator<Item = Name>) -> Change {
        let mut explicit: BTreeSet<Name> = names.collect();
        self.named |= !explicit.is_empty();
        let wildcard = explicit.remove(WILDCARD) || !self.named;
        let change = Change {
            added: explicit.difference(&self.explicit).cloned().collect(),
            wildcard_gained: wildcard && !self.wildcard,
            narrowed: (self.wildcard && !wildcard)
                || self.explicit.difference(&explicit).next().is_some(),
        };
        self.wildcard = wildcard;
        self.explicit = explicit;
        change
    }

    /// Delta: these names are wanted and no longer wanted, in this order. `opening` is true for
    /// the first request, whose silence means everything.
    pub(super) fn adjust(
        &mut self,
        subscribe: impl Iterator<Item = Name>,
        unsubscribe: impl Iterator<Item = Name>,
        opening: bool,
    ) -> Change {
        let had_wildcard = self.wildcard;
        let mut change = Change::default();
        for name in subscribe {
            self.named = true;
            if &*name == WILDCARD {
                self.wildcard = true;
            } else {
                // Even if it was subscribed before: the client may have forgotten the resource.
                self.explicit.insert(name.clone());
                change.added.push(name);
            }
        }
        if opening && !self.named {
            self.wildcard = true;
        }
        for name in unsubscribe {
            if &*name == WILDCARD {
                change.narrowed |= self.wildcard;
                self.wildcard = false;
            } else if self.explicit.remove(&*name) {
                change.narrowed = true;
                // It is still covered by the wildcard, and the client no longer knows that.
                if self.wildcard {
                    change.added.push(name);
                }
            }
        }
        change.wildcard_gained = self.wildcard && !had_wildcard;
        change
    }
}
