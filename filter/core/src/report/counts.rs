//! What was counted since the last report was sealed.

use tidegate_proto::report::v1::{BusinessCounts, VersionCounts};

use super::{Key, Seen};
use crate::{histogram::Histogram, load::Load, outcome::Outcome, utilization::UtilizationHistogram};

/// Versions counted apart between two reports. A sidecar that meets more of them is misconfigured,
/// and must not eat its Envoy's memory.
const MAX_KEYS: usize = 512;
/// Business rules counted apart for one version. A service has few, and may get others now and then.
const MAX_RULES: usize = 16;

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
    cpu: UtilizationHistogram,
    memory: UtilizationHistogram,
    disk: UtilizationHistogram,
    business: Vec<BusinessCounts>,
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
            cpu: UtilizationHistogram::default(),
            memory: UtilizationHistogram::default(),
            disk: UtilizationHistogram::default(),
            business: Vec::new(),
        }
    }

    fn key(&self) -> Key<'_> {
        Key { service: &self.service, version: &self.version, release: &self.release }
    }

    fn add(&mut self, seen: &Seen<'_>) {
        match seen.outcome {
            // How long a client waited before it left says nothing about the answer's latency.
            Outcome::Cancelled => {
                self.cancelled += 1;
                return;
            }
            Outcome::Error => self.errors += 1,
            Outcome::ClientError => self.client_errors += 1,
            Outcome::Success => {}
        }
        self.latency.record(seen.duration);
        let Load { cpu, memory, disk } = seen.load;
        for (samples, said) in
            [(&mut self.cpu, cpu), (&mut self.memory, memory), (&mut self.disk, disk)]
        {
            if let Some(fraction) = said {
                samples.record(fraction);
            }
        }
        for (rule, ended_well) in &seen.business {
            self.count_business(rule, *ended_well);
        }
    }

    fn count_business(&mut self, rule: &str, ended_well: bool) {
        let known = self.business.iter().position(|counts| counts.rule == rule);
        if known.is_none() && self.business.len() < MAX_RULES {
            self.business.push(BusinessCounts { rule: rule.to_owned(), ..Default::default() });
        }
        let at = known.unwrap_or(self.business.len().saturating_sub(1));
        if let Some(counts) = self.business.get_mut(at).filter(|counts| counts.rule == rule) {
            counts.requests += 1;
            counts.bad += u64::from(!ended_well);
        }
    }
}

impl Counts {
    /// Counts a request; false if there is no room for its version.
    pub(super) fn record(&mut self, key: Key<'_>, seen: &Seen<'_>) -> bool {
        let at = match self.0.binary_search_by(|entry| entry.key().cmp(&key)) {
            Ok(at) => at,
            Err(_) if self.0.len() >= MAX_KEYS => return false,
            Err(at) => {
                self.0.insert(at, Entry::new(key));
                at
            }
        };
        if let Some(entry) = self.0.get_mut(at) {
            entry.add(seen);
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
                cpu: (&entry.cpu).into(),
                memory: (&entry.memory).into(),
                disk: (&entry.disk).into(),
                business: entry.business,
                service: entry.service.into(),
                version: entry.version.into(),
                release: entry.release.into(),
            }
        });
        (counts.collect(), total)
    }
}
