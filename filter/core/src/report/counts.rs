//! What was counted since the last report was sealed.

use std::time::Duration;

use tidegate_proto::report::v1::VersionCounts;

use super::Key;
use crate::{histogram::Histogram, outcome::Outcome};

/// Versions counted apart between two reports. A sidecar that meets more of them is misconfigured,
/// and must not eat its Envoy's memory.
const MAX_KEYS: usize = 512;

/// Counts by version, ascending by key.
#[derive(Debug, Default)]
pub(super) struct Counts(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    service: Box<str>,
    version: Box<str>,
    release: Box<str>,
    errors: u64,
    client_errors: u64,
    cancelled: u64,
    latency: Histogram,
}

impl Entry {
    fn new(key: Key<'_>) -> Self {
        Self {
            service: key.service.into(),
            version: key.version.into(),
            release: key.release.into(),
            errors: 0,
            client_errors: 0,
            cancelled: 0,
            latency: Histogram::default(),
        }
    }

    fn key(&self) -> Key<'_> {
        Key { service: &self.service, version: &self.version, release: &self.release }
    }

    fn add(&mut self, outcome: Outcome, duration: Duration) {
        match outcome {
            // How long a client waited before it left says nothing about the answer's latency.
            Outcome::Cancelled => {
                self.cancelled += 1;
                return;
            }
            Outcome::Error => self.errors += 1,
            Outcome::ClientError => self.client_errors += 1,
            Outcome::Success => {}
        }
        self.latency.record(duration);
    }
}

impl Counts {
    /// Counts a request; false if there is no room for its version.
    pub(super) fn record(&mut self, key: Key<'_>, outcome: Outcome, duration: Duration) -> bool {
        let at = match self.0.binary_search_by(|entry| entry.key().cmp(&key)) {
            Ok(at) => at,
            Err(_) if self.0.len() >= MAX_KEYS => return false,
            Err(at) => {
                self.0.insert(at, Entry::new(key));
                at
            }
        };
        if let Some(entry) = self.0.get_mut(at) {
            entry.add(outcome, duration);
        }
        true
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Hands out all counts, and how many requests they stand for, and starts anew.
    pub(super) fn take(&mut self) -> (Vec<VersionCounts>, u64) {
        let mut total = 0_u64;
        let counts = self.0.drain(..).map(|entry| {
            let requests = entry.latency.total();
            total = total.saturating_add(requests);
            VersionCounts {
                requests,
                errors: entry.errors,
                client_errors: entry.client_errors,
                cancelled: entry.cancelled,
                latency: Some((&entry.latency).into()),
                service: entry.service.into(),
                version: entry.version.into(),
                release: entry.release.into(),
            }
        });
        (counts.collect(), total)
    }
}
