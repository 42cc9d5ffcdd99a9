//! Report intake: [`grpc`] receives reports, [`intake`] validates them, [`sessions`] removes duplicates, [`counts`] sums
//! them per version, and the controller reads the sums as evidence. `report_interval` sets the interval between reports,
//! `report_coverage` detects gaps.
//!
//! Memory is bounded by the catalogue and by [`sessions::MAX_SESSIONS`].

pub mod counts;
pub mod grpc;
pub mod intake;
mod report_coverage;
mod report_interval;
pub mod sessions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use counts::{Counts, ServiceCounts};
use intake::Report;
use report_coverage::ReportCoverage;
use report_interval::ReportInterval;
use sessions::{Arrival, Sessions, TooManySessions};
use tidegate_delivery::judge::Evidence;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::statistics::Units;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::Timestamp;

/// Counts of all reports since the start of the server.
#[derive(Debug)]
pub struct Telemetry {
    services: DashMap<ServiceName, ServiceCounts>,
    sessions: Sessions,
    report_interval: Mutex<ReportInterval>,
    report_coverage: Mutex<ReportCoverage>,
    wake: Arc<Notify>,
    /// For `/metrics`.
    pub stats: IntakeStats,
}

/// Counters of report intake.
#[derive(Debug, Default)]
pub struct IntakeStats {
    /// Reports counted.
    pub accepted: AtomicU64,
    /// Retransmissions of counted reports.
    pub repeated: AtomicU64,
    /// Invalid reports, and reports beyond [`sessions::MAX_SESSIONS`].
    pub rejected: AtomicU64,
    /// Entries of accepted reports that name a service or version that is not in the catalogue.
    pub unknown: AtomicU64,
    /// Counts that sidecars dropped because their memory is bounded.
    pub dropped: AtomicU64,
}

impl Telemetry {
    /// `wake` is notified when a running release has new evidence.
    #[must_use]
    pub fn new(wake: Arc<Notify>) -> Self {
        Self {
            services: DashMap::new(),
            sessions: Sessions::default(),
            report_interval: Mutex::default(),
            report_coverage: Mutex::default(),
            wake,
            stats: IntakeStats::default(),
        }
    }

    /// Sets services, versions and running releases. Counts under other names are dropped, so sidecars cannot fill the
    /// memory.
    pub fn update(&self, state: &State) {
        self.services.retain(|name, _| state.services.contains_key(name));
        for (name, service) in &state.services {
            let release = service.running().map(|release| release.id.clone());
            self.services.entry(name.clone()).or_default().update(&service.spec, release);
        }
        let releasing = state.services.values().any(|service| service.running().is_some());
        self.report_interval.lock().set_releasing(releasing);
    }

    /// Counts a report, unless it was counted before. Returns the sequence number to acknowledge.
    ///
    /// # Errors
    /// If there are too many sessions. Nothing is counted then.
    pub fn ingest(&self, report: Report, now: Timestamp) -> Result<u64, TooManySessions> {
        let arrival =
            self.sessions.record(report.sender, report.sequence, now).inspect_err(|_| {
                self.stats.rejected.fetch_add(1, Ordering::Relaxed);
            })?;
        self.report_coverage.lock().record(now);
        if let Arrival::Repeated { acknowledged } = arrival {
            self.stats.repeated.fetch_add(1, Ordering::Relaxed);
            return Ok(acknowledged);
        }
        self.stats.accepted.fetch_add(1, Ordering::Relaxed);
        self.stats.dropped.fetch_add(report.dropped, Ordering::Relaxed);
        let mut is_evidence = false;
        for entry in report.entries {
            match self.services.get_mut(entry.service.as_str()) {
                Some(mut service) => match service.add(&entry) {
                    Ok(counted_for_release) => is_evidence |= counted_for_release,
                    Err(counts::UnknownVersion) => self.count_unknown(),
                },
                None => self.count_unknown(),
            }
        }
        if is_evidence {
            self.wake.notify_one();
        }
        Ok(report.sequence)
    }

    /// Adds the CPU time of one report. If reports use too much of a core, the interval grows.
    pub fn charge(&self, now: Timestamp, handling: Duration) {
        self.report_interval.lock().charge(now, handling);
    }

    /// Time since the end of the last report gap; zero during a gap.
    #[must_use]
    pub fn time_since_gap(&self, now: Timestamp) -> Duration {
        self.report_coverage.lock().time_since_gap(now)
    }

    /// Milliseconds that a sidecar waits before its next report.
    #[must_use]
    pub fn interval_ms(&self) -> u32 {
        self.report_interval.lock().interval_ms()
    }

    /// Evidence of a version in a running release.
    #[must_use]
    pub fn evidence(
        &self,
        release: &ReleaseId,
        service: &ServiceName,
        version: &VersionName,
        guardrails: &Guardrails,
    ) -> Evidence {
        self.services
            .get(service)
            .map_or_else(Evidence::default, |counts| counts.evidence(release, version, guardrails))
    }

    /// Raw counts of a version in a running release; empty unless that release is running.
    #[must_use]
    pub fn counts(
        &self,
        release: &ReleaseId,
        service: &ServiceName,
        version: &VersionName,
    ) -> Counts {
        let counts = self.services.get(service);
        counts.and_then(|it| it.of_release(release, version).cloned()).unwrap_or_default()
    }

    /// All requests of a version and the failed ones, since the start of the server.
    #[must_use]
    pub fn total(&self, service: &ServiceName, version: &VersionName) -> Units {
        let counts = self.services.get(service);
        let total = counts.as_ref().and_then(|it| it.totals().get(version));
        total.map_or_else(Units::default, |it| Units { bad: it.errors, all: it.requests })
    }

    /// Counts per version of a service since the start of the server.
    #[must_use]
    pub fn totals(&self, service: &ServiceName) -> BTreeMap<VersionName, Counts> {
        self.services.get(service).map_or_else(BTreeMap::new, |counts| counts.totals().clone())
    }

    fn count_unknown(&self) {
        self.stats.unknown.fetch_add(1, Ordering::Relaxed);
    }
}
