//! How notifications fare, in plain atomics. The receivers are those of the configuration, so their
//! names are safe as labels.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::config::Receiver;
use tidegate_delivery::names::ReceiverName;

/// Counts of every receiver.
#[derive(Debug, Default)]
pub struct Stats(Mutex<BTreeMap<ReceiverName, Arc<Counts>>>);

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
    /// The receivers and their counts.
    #[must_use]
    pub fn all(&self) -> Vec<(ReceiverName, Arc<Counts>)> {
        self.0.lock().iter().map(|(name, counts)| (name.clone(), Arc::clone(counts))).collect()
    }

    /// Counts these receivers from now on, and no others: the new ones from nothing.
    pub(super) fn keep(&self, receivers: &[Receiver]) {
        let mut counted = self.0.lock();
        counted.retain(|name, _| receivers.iter().any(|it| it.name == *name));
        for receiver in receivers {
            counted.entry(receiver.name.clone()).or_default();
        }
    }

    pub(super) fn of(&self, receiver: &ReceiverName) -> Arc<Counts> {
        self.0.lock().get(receiver).cloned().unwrap_or_default()
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
