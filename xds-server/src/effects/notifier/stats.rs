//! Counters of notification delivery. Receivers come from the configuration, so the number of labels is bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::config::Receiver;
use tidegate_delivery::names::ReceiverName;

/// Counters of all receivers.
#[derive(Debug, Default)]
pub struct DeliveryStats(Mutex<BTreeMap<ReceiverName, Arc<ReceiverStats>>>);

/// Counters of one receiver since the server started.
#[derive(Debug, Default)]
pub struct ReceiverStats {
    /// Notifications that the receiver accepted.
    pub sent: AtomicU64,
    /// Failed attempts.
    pub failed: AtomicU64,
    /// Notifications that were given up: permanently rejected or too old.
    pub dropped: AtomicU64,
    /// Notifications that were not sent because the receiver knows the condition, or it flaps.
    pub suppressed: AtomicU64,
    /// The last record that was delivered or needs no delivery.
    pub position: AtomicU64,
}

impl DeliveryStats {
    /// All receivers and their counters.
    #[must_use]
    pub fn all(&self) -> Vec<(ReceiverName, Arc<ReceiverStats>)> {
        self.0.lock().iter().map(|(name, stats)| (name.clone(), Arc::clone(stats))).collect()
    }

    /// Adds counters of new receivers and removes those of receivers that are not configured any more.
    pub(super) fn retain(&self, receivers: &[Receiver]) {
        let mut all = self.0.lock();
        all.retain(|name, _| receivers.iter().any(|it| it.name == *name));
        for receiver in receivers {
            all.entry(receiver.name.clone()).or_default();
        }
    }

    pub(super) fn of(&self, receiver: &ReceiverName) -> Arc<ReceiverStats> {
        self.0.lock().get(receiver).cloned().unwrap_or_default()
    }
}

pub(super) fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
