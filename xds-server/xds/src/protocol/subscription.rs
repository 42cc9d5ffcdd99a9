//! The subscribed resource names of one type.

use std::collections::BTreeSet;

use crate::resources::Name;

/// The name that subscribes to every resource.
pub(super) const WILDCARD: &str = "*";

/// The subscribed names of one type.
///
/// A client that has never named a resource subscribes to all (the legacy wildcard). One that has, and then names none,
/// subscribes to none.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    wildcard: bool,
    /// A resource was named: the legacy wildcard does not apply.
    has_named: bool,
    explicit: BTreeSet<Name>,
}

/// How a request changed a subscription.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SubscriptionChange {
    /// Names that must be answered.
    pub(super) added: Vec<Name>,
    pub(super) wildcard_added: bool,
    /// Some name is no longer subscribed to.
    pub(super) narrowed: bool,
}

impl Subscription {
    /// Whether a name is subscribed to, by name or by wildcard.
    pub(super) fn covers(&self, name: &str) -> bool {
        self.wildcard || self.explicit.contains(name)
    }

    pub(super) const fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The names that were subscribed to by name.
    pub(super) const fn explicit(&self) -> &BTreeSet<Name> {
        &self.explicit
    }

    /// State of the world: replaces the subscription by the names of a request.
    pub(super) fn replace(&mut self, names: impl Iterator<Item = Name>) -> SubscriptionChange {
        let mut explicit: BTreeSet<Name> = names.collect();
        self.has_named |= !explicit.is_empty();
        let wildcard = explicit.remove(WILDCARD) || !self.has_named;
        let change = SubscriptionChange {
            added: explicit.difference(&self.explicit).cloned().collect(),
            wildcard_added: wildcard && !self.wildcard,
            narrowed: (self.wildcard && !wildcard)
                || self.explicit.difference(&explicit).next().is_some(),
        };
        self.wildcard = wildcard;
        self.explicit = explicit;
        change
    }

    /// Delta: adds the names of `subscribe`, then removes those of `unsubscribe`. `is_first` is true for the first request
    /// of the type, which subscribes to all if it names none.
    pub(super) fn adjust(
        &mut self,
        subscribe: impl Iterator<Item = Name>,
        unsubscribe: impl Iterator<Item = Name>,
        is_first: bool,
    ) -> SubscriptionChange {
        let had_wildcard = self.wildcard;
        let mut change = SubscriptionChange::default();
        for name in subscribe {
            self.has_named = true;
            if &*name == WILDCARD {
                self.wildcard = true;
            } else {
                // Even if it is subscribed to already: the client may have dropped the resource.
                self.explicit.insert(name.clone());
                change.added.push(name);
            }
        }
        if is_first && !self.has_named {
            self.wildcard = true;
        }
        for name in unsubscribe {
            if &*name == WILDCARD {
                change.narrowed |= self.wildcard;
                self.wildcard = false;
            } else if self.explicit.remove(&*name) {
                change.narrowed = true;
                // The wildcard still covers it, but the client has dropped the resource.
                if self.wildcard {
                    change.added.push(name);
                }
            }
        }
        change.wildcard_added = self.wildcard && !had_wildcard;
        change
    }
}
