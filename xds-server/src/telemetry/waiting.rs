//! The requests in flight that each filter instance reported last. A report replaces what its instance reported before, so
//! they are sums of now and not since a start.
//!
//! Memory is bounded by [`MAX_ENTRIES`]; what is above it is not known, and so it is no evidence.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tidegate_core::histogram::Histogram;
use tidegate_delivery::names::ServiceName;
use tidegate_delivery::units::Timestamp;

use super::intake::Sender;

/// Limit of the entries of all instances, about 1.5 kB each.
const MAX_ENTRIES: usize = 32_768;
/// What an instance reported is dropped if it does not report again: longer than the longest report interval.
const EXPIRY: Duration = Duration::from_secs(180);
/// Shortest time between two searches for expired instances.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Requests in flight of one version, at one filter instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WaitingEntry {
    pub(super) service: ServiceName,
    pub(super) version: String,
    pub(super) release: String,
    pub(super) ages: Histogram,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct WaitingRequests {
    by_sender: DashMap<Sender, (Timestamp, Vec<WaitingEntry>)>,
    entries: AtomicUsize,
    swept_ms: AtomicU64,
}

impl WaitingRequests {
    /// Replaces what an instance reported. Returns what must be taken from the sums: that of before, and that of instances
    /// that have ended; and what must be added.
    pub(super) fn replace(
        &self,
        sender: Sender,
        now: Timestamp,
        mut entries: Vec<WaitingEntry>,
    ) -> (Vec<WaitingEntry>, Vec<WaitingEntry>) {
        let mut gone = self.sweep(now);
        gone.extend(self.remove(&sender));
        let room = MAX_ENTRIES.saturating_sub(self.entries.load(Ordering::Relaxed));
        entries.truncate(room);
        if !entries.is_empty() {
            self.entries.fetch_add(entries.len(), Ordering::Relaxed);
            self.by_sender.insert(sender, (now, entries.clone()));
        }
        (gone, entries)
    }

    fn remove(&self, sender: &Sender) -> Vec<WaitingEntry> {
        let entries = self.by_sender.remove(sender).map_or_else(Vec::new, |(_, (_, it))| it);
        self.entries.fetch_sub(entries.len(), Ordering::Relaxed);
        entries
    }

    fn sweep(&self, now: Timestamp) -> Vec<WaitingEntry> {
        let swept = Timestamp(self.swept_ms.load(Ordering::Relaxed));
        if now.since(swept) < SWEEP_INTERVAL {
            return Vec::new();
        }
        self.swept_ms.store(now.0, Ordering::Relaxed);
        let is_expired = |at: Timestamp| now.since(at) >= EXPIRY;
        let expired = self.by_sender.iter().filter(|it| is_expired(it.value().0));
        let expired: Vec<Sender> = expired.map(|it| it.key().clone()).collect();
        expired.iter().flat_map(|sender| self.remove(sender)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(instance: u64) -> Sender {
        Sender { node: "edge-1".to_owned(), instance }
    }

    fn entry(requests: u64) -> WaitingEntry {
        let mut ages = Histogram::default();
        (0..requests).for_each(|_| ages.record(Duration::from_secs(1)));
        WaitingEntry {
            service: "order".parse().unwrap(),
            version: "v2".to_owned(),
            release: "order.1".to_owned(),
            ages,
        }
    }

    #[test]
    fn a_report_replaces_the_one_before_of_its_instance() {
        let waiting = WaitingRequests::default();
        let at = |seconds: u64| Timestamp(seconds * 1_000);
        let replace =
            |instance, seconds, entries| waiting.replace(sender(instance), at(seconds), entries);
        assert_eq!(replace(1, 1, vec![entry(3)]), (vec![], vec![entry(3)]));
        assert_eq!(replace(2, 2, vec![entry(5)]), (vec![], vec![entry(5)]));
        assert_eq!(replace(1, 3, vec![entry(2)]), (vec![entry(3)], vec![entry(2)]));
        assert_eq!(replace(1, 4, vec![]), (vec![entry(2)], vec![]));
        assert_eq!(replace(1, 5, vec![]), (vec![], vec![]));
        // The second instance has ended.
        assert_eq!(replace(1, 200, vec![]), (vec![entry(5)], vec![]));
        assert_eq!(waiting.entries.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let waiting = WaitingRequests::default();
        for instance in 0..100 {
            waiting.replace(sender(instance), Timestamp(0), vec![entry(1); 500]);
        }
        assert_eq!(waiting.entries.load(Ordering::Relaxed), MAX_ENTRIES);
        assert!(waiting.by_sender.len() <= MAX_ENTRIES.div_ceil(500));
    }
}
