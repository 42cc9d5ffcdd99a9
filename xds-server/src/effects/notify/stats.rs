//! How notifications fare, in plain atomics. The receivers are those of the configuration, so their
//! names are safe as labels.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::Receiver;
use crate::delivery::names::ReceiverName;

/// Counts of every receiver.
#[derive(Debug, Default)]
pub struct Stats(BTreeMap<ReceiverName, Arc<Counts>>);

/// Counts of one receiver, since the server started.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages that it took.
    pub sent: AtomicU64,
    /// Attempts that failed.
    pub failed: AtomicU64,
    /// Messages that were given up.
    pub dropped: AtomicU64,
    /// Messages that were held back, because they said what it was told just before.
    pub quieted: AtomicU64,
    /// The last record of the journal that it was told of, or that was not for it.
    pub told_up_to: AtomicU64,
}

impl Stats {
    /// All at nothing.
    #[must_use]
    pub fn new(receivers: &[Receiver]) -> Self {
        Self(receivers.iter().map(|it| (it.name.clone(), Arc::default())).collect())
    }

    /// The receivers and their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&ReceiverName, &Counts)> {
        self.0.iter().map(|(name, counts)| (name, counts.as_ref()))
    }

    pub(super) fn of(&self, receiver: &ReceiverName) -> Arc<Counts> {
        self.0.get(receiver).cloned().unwrap_or_default()
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
