//! What the sidecars report: taken in once, summed per version, read by the controller.
//!
//! [`intake`] checks what came from the network, [`sessions`] counts each report once, [`counts`]
//! sums, [`grpc`] carries, `pace` says how often. All memory is bounded by the catalogue and by [`sessions::MAX_SESSIONS`].

pub mod counts;
pub mod grpc;
pub mod intake;
mod pace;
mod report_coverage;
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
use pace::Pace;
use report_coverage::ReportCoverage;
use sessions::{Arrival, Full, Sessions};
use tidegate_delivery::judge::Evidence;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::Timestamp;

/// All that was reported since the server started.
#[derive(Debug)]
pub struct Telemetry {
    services: DashMap<ServiceName, ServiceCounts>,
    sessions: Sessions,
    pace: Mutex<Pace>,
    report_coverage: Mutex<ReportCoverage>,
    arrived: Arc<Notify>,
    /// How reports fared, for `/metrics`.
    pub stats: IntakeStats,
}

/// How reports fared.
#[derive(Debug, Default)]
pub struct IntakeStats {
    /// Counted.
    pub accepted: AtomicU64,
    /// Sent again after they had been counted.
    pub repeated: AtomicU64,
    /// Malformed, or one session too many.
    pub refused: AtomicU64,
    /// Entries of accepted reports that name a service or version that is not in the catalogue.
    pub unknown: AtomicU64,
    /// Counts that sidecars gave up because their memory was bounded.
    pub dropped: AtomicU64,
}

impl Telemetry {
    /// Nothing reported yet. `arrived` is notified when a running release got new evidence.
    #[must_use]
    pub fn new(arrived: Arc<Notify>) -> Self {
        Self {
            services: DashMap::new(),
            sessions: Sessions::default(),
            pace: Mutex::default(),
            report_coverage: Mutex::default(),
            arrived,
            stats: IntakeStats::default(),
        }
    }

    /// Takes over which services, versions and releases there are. Anything else that is reported is
    /// not kept, so that a sidecar cannot fill the memory with names.
    pub fn follow(&self, state: &State) {
        self.services.retain(|name, _| state.services.contains_key(name));
        for (name, service) in &state.services {
            let release = service.running().map(|release| release.id.clone());
            self.services.entry(name.clone()).or_default().follow(&service.spec, release);
        }
        let releasing = state.services.values().any(|service| service.running().is_some());
        self.pace.lock().follow(releasing);
    }

    /// Counts a report, unless it was counted before. Returns the number to acknowledge.
    ///
    /// # Errors
    /// When there are too many sessions; nothing is counted then.
    pub fn take_in(&self, report: Report, now: Timestamp) -> Result<u64, Full> {
        let arrival =
            self.sessions.arrive(report.sender, report.sequence, now).inspect_err(|_| {
                self.stats.refused.fetch_add(1, Ordering::Relaxed);
            })?;
        self.report_coverage.lock().note(now);
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
            self.arrived.notify_one();
        }
        Ok(report.sequence)
    }

    /// Notes how long a report took to handle. When reports take too much of a core, sidecars are
    /// asked for fewer.
    pub fn charge(&self, now: Timestamp, handling: Duration) {
        self.pace.lock().charge(now, handling);
    }

    /// How long reports have come without a silence.
    #[must_use]
    pub fn unbroken(&self, now: Timestamp) -> Duration {
        self.report_coverage.lock().unbroken(now)
    }

    /// How long a sidecar should wait before its next report.
    #[must_use]
    pub fn interval_ms(&self) -> u32 {
        self.pace.lock().interval_ms()
    }

    /// What a version did in a running release.
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

    /// What each version of a service did since the server started.
    #[must_use]
    pub fn totals(&self, service: &ServiceName) -> BTreeMap<VersionName, Counts> {
        self.services.get(service).map_or_else(BTreeMap::new, |counts| counts.totals().clone())
    }

    fn count_unknown(&self) {
        self.stats.unknown.fetch_add(1, Ordering::Relaxed);
    }
}
