//! Counts since the last report was built.

use std::time::Duration;

use tidegate_proto::report::v1::{BusinessCounts, Histogram as Message, VersionCounts};

use super::{
    RequestRecord, VersionKey,
    clients::{Attempt, Client},
};
use crate::{
    histogram::Histogram, orca::OrcaLoad, outcome::Outcome, utilization::UtilizationHistogram,
};

/// Limit of versions counted between two reports. It bounds the memory of a sidecar that is
/// misconfigured or routes to arbitrary clusters.
const MAX_VERSIONS: usize = 512;
/// Limit of business rules counted per version. A service has at most four at a time, but a
/// configuration change may replace them between two reports.
const MAX_RULES: usize = 16;
/// Limit of the clients listed per version in one report. Those above it are counted, and the server
/// cannot see whether they have failed elsewhere too.
pub const MAX_LISTED_CLIENTS: usize = 2048;

/// Entries ascending by key.
#[derive(Debug, Default)]
pub(super) struct CountsByVersion(Vec<Entry>);

#[derive(Debug)]
pub(super) struct Entry {
    service: Box<str>,
    version: Box<str>,
    release: Box<str>,
    requests: u64,
    errors: u64,
    client_errors: u64,
    cancelled: u64,
    latency: Histogram,
    abandoned: Histogram,
    waiting: Histogram,
    repeated: Repeated,
    cpu: UtilizationHistogram,
    memory: UtilizationHistogram,
    disk: UtilizationHistogram,
    business: Vec<BusinessCounts>,
}

/// The requests of clients that had failed lately, and the clients that failed.
#[derive(Debug, Default)]
struct Repeated {
    requests: u64,
    errors: u64,
    abandoned: Histogram,
    failed_clients: ClientList,
    gave_up_clients: ClientList,
    failing_clients: ClientList,
}

#[derive(Debug, Default)]
struct ClientList(Vec<u32>);

impl ClientList {
    fn add(&mut self, client: Client) {
        if self.0.len() < MAX_LISTED_CLIENTS {
            self.0.push(client.number());
        }
    }

    /// Ascending. A client that left the set early may have been added twice.
    fn into_message(mut self) -> Vec<u32> {
        self.0.sort_unstable();
        self.0.dedup();
        self.0
    }
}

impl Repeated {
    fn add(&mut self, request: &RequestRecord<'_>, client: Client, attempt: Attempt) {
        let is_cancelled = request.outcome == Outcome::Cancelled;
        match attempt {
            Attempt::Fresh => return,
            Attempt::FirstFailure if is_cancelled => return self.gave_up_clients.add(client),
            Attempt::FirstFailure => return self.failed_clients.add(client),
            Attempt::StillFailing => self.failing_clients.add(client),
            Attempt::Repeated => {}
        }
        if is_cancelled {
            self.abandoned.record(request.wait.unwrap_or_default());
        } else {
            self.requests += 1;
            self.errors += u64::from(request.outcome == Outcome::Error);
        }
    }
}

impl Entry {
    fn new(key: VersionKey<'_>) -> Self {
        Self {
            service: key.service.into(),
            version: key.version.into(),
            release: key.release.into(),
            requests: 0,
            errors: 0,
            client_errors: 0,
            cancelled: 0,
            latency: Histogram::default(),
            abandoned: Histogram::default(),
            waiting: Histogram::default(),
            repeated: Repeated::default(),
            cpu: UtilizationHistogram::default(),
            memory: UtilizationHistogram::default(),
            disk: UtilizationHistogram::default(),
            business: Vec::new(),
        }
    }

    fn key(&self) -> VersionKey<'_> {
        VersionKey { service: &self.service, version: &self.version, release: &self.release }
    }

    /// Counts a request, with what it says about its client.
    pub(super) fn add(&mut self, request: &RequestRecord<'_>, attempt: Option<(Client, Attempt)>) {
        if let Some((client, attempt)) = attempt {
            self.repeated.add(request, client, attempt);
        }
        match request.outcome {
            // The time until the client disconnects is not a latency of the version.
            Outcome::Cancelled => {
                self.cancelled += 1;
                if let Some(age) = request.wait {
                    self.abandoned.record(age);
                }
                return;
            }
            Outcome::Error => self.errors += 1,
            Outcome::ClientError => self.client_errors += 1,
            Outcome::Success => {}
        }
        self.requests += 1;
        self.latency.record(request.wait.unwrap_or_default());
        let OrcaLoad { cpu, memory, disk } = request.load;
        for (samples, sample) in
            [(&mut self.cpu, cpu), (&mut self.memory, memory), (&mut self.disk, disk)]
        {
            if let Some(fraction) = sample {
                samples.record(fraction);
            }
        }
        for (rule, good) in &request.business {
            self.count_business(rule, *good);
        }
    }

    fn count_business(&mut self, rule: &str, good: bool) {
        let existing = self.business.iter().any(|counts| counts.rule == rule);
        if !existing && self.business.len() < MAX_RULES {
            self.business.push(BusinessCounts { rule: rule.to_owned(), ..Default::default() });
        }
        if let Some(counts) = self.business.iter_mut().find(|counts| counts.rule == rule) {
            counts.requests += 1;
            counts.bad += u64::from(!good);
        }
    }
}

impl CountsByVersion {
    /// Counts a request without a response yet. It is no count of finished requests.
    pub(super) fn record_waiting(&mut self, key: VersionKey<'_>, age: Duration) {
        if let Some(entry) = self.entry(key) {
            entry.waiting.record(age);
        }
    }

    /// Adds what waits by other counts.
    pub(super) fn add_waiting(&mut self, other: &Self) {
        for it in &other.0 {
            if let Some(entry) = self.entry(it.key()) {
                entry.waiting.merge(&it.waiting);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// `None` if the version is new and the limit of versions is reached.
    pub(super) fn entry(&mut self, key: VersionKey<'_>) -> Option<&mut Entry> {
        let at = match self.0.binary_search_by(|entry| entry.key().cmp(&key)) {
            Ok(at) => at,
            Err(_) if self.0.len() >= MAX_VERSIONS => return None,
            Err(at) => {
                self.0.insert(at, Entry::new(key));
                at
            }
        };
        self.0.get_mut(at)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all counts, and the number of requests in them.
    pub(super) fn take(&mut self) -> (Vec<VersionCounts>, u64) {
        let mut total = 0_u64;
        let counts = self.0.drain(..).map(|entry| {
            total = total.saturating_add(entry.requests);
            VersionCounts {
                requests: entry.requests,
                errors: entry.errors,
                client_errors: entry.client_errors,
                cancelled: entry.cancelled,
                latency: Some((&entry.latency).into()),
                abandoned: sparse(&entry.abandoned),
                waiting: sparse(&entry.waiting),
                repeated_requests: entry.repeated.requests,
                repeated_errors: entry.repeated.errors,
                repeated_abandoned: sparse(&entry.repeated.abandoned),
                failed_clients: entry.repeated.failed_clients.into_message(),
                gave_up_clients: entry.repeated.gave_up_clients.into_message(),
                failing_clients: entry.repeated.failing_clients.into_message(),
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

/// `None` without counts.
fn sparse(histogram: &Histogram) -> Option<Message> {
    let message = Message::from(histogram);
    (!message.index.is_empty()).then_some(message)
}
