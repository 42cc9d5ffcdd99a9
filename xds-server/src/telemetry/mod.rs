//! Report intake: [`grpc`] receives reports, [`intake`] validates them, [`sessions`] removes duplicates and refuses impossible
//! counts, [`counts`] and [`service_counts`] sum them per version, [`clients`] finds clients that failed at several filter instances, and the controller
//! reads the sums as evidence. `usual` is how long clients of
//! the stable version wait, `waiting` what is in flight now. [`recent`] has the figures of the last half minute for people.
//! `report_interval` sets the interval between reports.
//!
//! A sidecar reports for the services that its fleet carries; its counts of other services are refused. Memory is bounded by
//! the catalogue and by [`sessions::MAX_SESSIONS`].

pub mod clients;
pub mod counts;
pub mod grpc;
pub mod intake;
pub mod recent;
mod report_interval;
pub mod service_counts;
pub mod sessions;
pub mod splits;
mod usual;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};
use tidegate_core::histogram::Histogram;
use tokio::sync::Notify;

use counts::Counts;
use intake::Report;
use recent::RecentFigures;
use report_interval::ReportInterval;
use service_counts::ServiceCounts;
use sessions::{Arrival, RefusedReport, Sessions};
use splits::SidecarSplits;
use tidegate_delivery::judge::Evidence;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::history::StableCounts;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::Timestamp;
use tidegate_xds::mesh::Mesh;
use usual::Usual;
use waiting::{WaitingEntry, WaitingRequests};

use crate::auth::peer::ClientKey;

/// Counts of all reports since the start of the server.
#[derive(Debug)]
pub struct Telemetry {
    services: DashMap<ServiceName, ServiceCounts>,
    sessions: Sessions,
    waiting: WaitingRequests,
    report_interval: Mutex<ReportInterval>,
    mesh: RwLock<Arc<Mesh>>,
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
    /// Invalid reports, and reports that [`Sessions::record`] refused.
    pub rejected: AtomicU64,
    /// Entries of accepted reports that name a service which the sidecar's fleet does not carry.
    pub foreign: AtomicU64,
    /// Entries of accepted reports that name a service or version that is not in the catalogue.
    pub unknown: AtomicU64,
    /// Counts that sidecars dropped because their memory is bounded.
    pub dropped: AtomicU64,
}

/// A report that was counted, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    /// The sequence number to acknowledge.
    pub acknowledged: u64,
    /// The first service in it that the sidecar's fleet does not carry. Its counts were refused.
    pub foreign: Option<ServiceName>,
}

impl Telemetry {
    /// `wake` is notified when a running release has new evidence.
    #[must_use]
    pub fn new(wake: Arc<Notify>) -> Self {
        Self {
            services: DashMap::new(),
            sessions: Sessions::default(),
            waiting: WaitingRequests::default(),
            report_interval: Mutex::default(),
            mesh: RwLock::new(Arc::new(Mesh::new(String::new(), Vec::new()))),
            wake,
            stats: IntakeStats::default(),
        }
    }

    /// Sets fleets, services, versions and running releases. Counts under other names are dropped, so sidecars cannot fill
    /// the memory.
    pub fn update(&self, mesh: &Arc<Mesh>, state: &State) {
        *self.mesh.write() = Arc::clone(mesh);
        self.services.retain(|name, _| state.services.contains_key(name));
        for (name, service) in &state.services {
            let running = service.running();
            let mut counts = self.services.entry(name.clone()).or_default();
            counts.update(&service.spec, &service.stable, running);
        }
        let releasing = state.services.values().any(|service| service.running().is_some());
        self.report_interval.lock().set_releasing(releasing);
    }

    /// Counts a report of a client, unless it was counted before.
    ///
    /// # Errors
    /// If there are too many sessions, or the counts are impossible. Nothing is counted then.
    pub fn ingest(
        &self,
        report: Report,
        client: &ClientKey,
        now: Timestamp,
    ) -> Result<Ingested, RefusedReport> {
        let requests = report.requests();
        let Report { sender, sequence, fleet, entries, dropped, .. } = report;
        let arrival = self
            .sessions
            .record(sender.clone(), client, sequence, requests, now)
            .inspect_err(|_| {
                self.stats.rejected.fetch_add(1, Ordering::Relaxed);
            })?;
        if let Arrival::Repeated { acknowledged } = arrival {
            self.stats.repeated.fetch_add(1, Ordering::Relaxed);
            return Ok(Ingested { acknowledged, foreign: None });
        }
        self.stats.accepted.fetch_add(1, Ordering::Relaxed);
        self.stats.dropped.fetch_add(dropped, Ordering::Relaxed);
        let mesh = Arc::clone(&self.mesh.read());
        let fleet = mesh.fleet(&fleet);
        let (mut is_evidence, mut foreign) = (false, None);
        let mut waiting = Vec::new();
        for entry in entries {
            let Some(mut service) = self.services.get_mut(entry.service.as_str()) else {
                self.stats.unknown.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            if !fleet.is_some_and(|fleet| fleet.serves(service.key())) {
                self.stats.foreign.fetch_add(1, Ordering::Relaxed);
                foreign.get_or_insert_with(|| service.key().clone());
                continue;
            }
            match service.add(now, &entry) {
                Ok(true) => {
                    is_evidence = true;
                    service.add_split(&sender.node, &entry);
                    if entry.counts.waiting.total() > 0 {
                        waiting.push(WaitingEntry {
                            service: service.key().clone(),
                            version: entry.version,
                            release: entry.release,
                            ages: entry.counts.waiting,
                        });
                    }
                }
                Ok(false) => {}
                Err(service_counts::UnknownVersion) => {
                    self.stats.unknown.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        let (gone, new) = self.waiting.replace(sender, now, waiting);
        gone.iter().for_each(|it| self.change_waiting(it, |sum| sum.remove(&it.ages)));
        new.iter().for_each(|it| self.change_waiting(it, |sum| sum.merge(&it.ages)));
        if is_evidence {
            self.wake.notify_one();
        }
        Ok(Ingested { acknowledged: sequence, foreign })
    }

    fn change_waiting(&self, of: &WaitingEntry, change: impl FnOnce(&mut Histogram)) {
        if let Some(mut service) = self.services.get_mut(&of.service) {
            service.change_waiting(&of.release, &of.version, change);
        }
    }

    /// Whether a fleet carries a service.
    #[must_use]
    pub fn carries(&self, fleet: &str, service: &ServiceName) -> bool {
        self.mesh.read().fleet(fleet).is_some_and(|fleet| fleet.serves(service))
    }

    /// Adds the CPU time of one report. If reports use too much of a core, the interval grows.
    pub fn charge(&self, now: Timestamp, handling: Duration) {
        self.report_interval.lock().charge(now, handling);
    }

    /// Milliseconds that a sidecar waits before its next report.
    #[must_use]
    pub fn interval_ms(&self) -> u32 {
        self.report_interval.lock().interval_ms()
    }

    /// Milliseconds that a sidecar of an Istio fleet waits before its next report.
    #[must_use]
    pub fn istio_interval_ms(&self) -> u32 {
        self.report_interval.lock().istio_interval_ms()
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

    /// Raw counts of a version in a running release, and what is usual there; none unless that release is running.
    #[must_use]
    pub fn counts(
        &self,
        release: &ReleaseId,
        service: &ServiceName,
        version: &VersionName,
    ) -> Option<(Counts, Usual)> {
        let service = self.services.get(service)?;
        service.of_release(release, version).map(|(counts, usual)| (counts.clone(), usual))
    }

    /// The requests of a running release by sidecar.
    #[must_use]
    pub fn splits(&self, release: &ReleaseId, service: &ServiceName) -> SidecarSplits {
        self.services.get(service).map_or_else(SidecarSplits::new, |it| it.splits(release))
    }

    /// Counts of a service's stable version since the start of the server.
    #[must_use]
    pub fn of_stable(&self, service: &ServiceName, stable: &VersionName) -> StableCounts {
        self.services.get(service).map_or_else(StableCounts::default, |it| it.of_stable(stable))
    }

    /// Counts of a version since the start of the server, by guardrails; none without requests.
    #[must_use]
    pub fn of_version(
        &self,
        service: &ServiceName,
        version: &VersionName,
        guardrails: &Guardrails,
    ) -> Option<Evidence> {
        self.services.get(service)?.of_version(version, guardrails)
    }

    /// Counts per version of a service since the start of the server.
    #[must_use]
    pub fn totals(&self, service: &ServiceName) -> BTreeMap<VersionName, Counts> {
        self.services.get(service).map_or_else(BTreeMap::new, |counts| counts.totals().clone())
    }

    /// The requests of the last half minute, per version of a service that had any.
    #[must_use]
    pub fn recent(
        &self,
        service: &ServiceName,
        now: Timestamp,
    ) -> BTreeMap<VersionName, RecentFigures> {
        self.services.get(service).map_or_else(BTreeMap::new, |counts| counts.recent(now))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::clients::ReportedClients;
    use super::intake::{Entry, Sender};
    use super::*;
    use tidegate_delivery::fixtures::{declared, run, start};
    use tidegate_delivery::names::Services;
    use tidegate_xds::mesh::{Fleet, Listener, Purpose};

    /// Fleet `edge` carries `order`, fleet `other` carries `product`.
    fn mesh() -> Arc<Mesh> {
        let fleet = |name: &str, service: &str| {
            let listener = Listener {
                name: "ingress".to_owned(),
                address: ([127, 0, 0, 1], 10_000).into(),
                services: Services::Named([service.parse().unwrap()].into()),
                purpose: Purpose::Traffic,
            };
            Fleet::new(name.parse().unwrap(), vec![listener])
        };
        let fleets = vec![fleet("edge", "order"), fleet("other", "product")];
        Arc::new(Mesh::new("filter.wasm".to_owned(), fleets))
    }

    fn report(fleet: &str, sequence: u64, services: &[&str]) -> Report {
        let entry = |service: &&str| Entry {
            service: (*service).to_owned(),
            version: "v1".to_owned(),
            release: "order.1".to_owned(),
            counts: Counts { requests: 3, ..Counts::default() },
            clients: ReportedClients::default(),
        };
        Report {
            sender: Sender { node: "envoy-1".to_owned(), instance: 1 },
            fleet: fleet.to_owned(),
            sequence,
            config_version: String::new(),
            config_requested: false,
            config_error: String::new(),
            filter_version: None,
            entries: services.iter().map(entry).collect(),
            dropped: 0,
        }
    }

    /// A sidecar of another fleet cannot influence the evidence of a release.
    #[test]
    fn counts_of_services_that_the_fleet_does_not_carry_are_refused() {
        let mut state = declared();
        run(&mut state, Timestamp(0), &start("order", "v2")).unwrap();
        let telemetry = Telemetry::new(Arc::default());
        telemetry.update(&mesh(), &state);
        let client = ClientKey::from_address(Ipv4Addr::LOCALHOST.into());
        let mut sequence = 0;
        let mut ingest = |fleet: &str, services: &[&str]| {
            sequence += 1;
            let report = report(fleet, sequence, services);
            telemetry.ingest(report, &client, Timestamp(sequence * 1000)).unwrap()
        };
        let requests = || {
            let (order, v1) = ("order".parse().unwrap(), "v1".parse().unwrap());
            let id = "order.1".parse().unwrap();
            telemetry.evidence(&id, &order, &v1, &Guardrails::default()).requests
        };
        assert_eq!(ingest("edge", &["order"]).foreign, None);
        assert_eq!(requests(), 3);
        for fleet in ["other", "no-such-fleet"] {
            let ingested = ingest(fleet, &["order"]);
            assert_eq!(ingested.foreign.unwrap().as_str(), "order");
        }
        assert_eq!(requests(), 3);
        let mixed = ingest("edge", &["product", "order"]);
        assert_eq!((mixed.acknowledged, mixed.foreign.unwrap().as_str()), (4, "product"));
        assert_eq!(requests(), 6, "its own services are counted");
        assert_eq!(telemetry.stats.foreign.load(Ordering::Relaxed), 3);
    }
}
