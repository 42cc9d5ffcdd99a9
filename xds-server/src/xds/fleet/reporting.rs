//! Reports as the ACK tracker sees them: a sidecar that has the filter and does not report is silent, and evidence from
//! before a report gap is not current.
//!
//! A filter reports at least every 5 s, also without requests. A sidecar that routes and does not report has traffic that the
//! judge does not see: its filter cannot reach the control plane, or has crashed. It blocks the releases of its fleet's
//! services as a sidecar without an ACK does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_core::config::INTERVAL_IDLE_MS;
use tidegate_core::version::FilterVersion;
use tracing::{info, warn};

use super::ack_tracker::{AckTracker, Key, one_line};
use super::report_coverage::ReportCoverage;
use super::silence::{MISSED_INTERVALS, SilentSidecars};
use super::sync_counts::SyncCounts;
use tidegate_delivery::names::FleetName;

/// Longest time between two reports without a gap. A filter without requests reports every 5 s.
const MAX_INTERVAL: Duration = Duration::from_secs(6);

/// The sidecars of one fleet.
#[derive(Debug, Default)]
pub(super) struct FleetState {
    pub(super) counts: SyncCounts,
    pub(super) silent: SilentSidecars,
    report_coverage: ReportCoverage,
}

/// A report of a sidecar's filter.
#[derive(Debug, Clone, Copy)]
pub struct ReceivedReport<'a> {
    /// Envoy's `node.cluster`.
    pub fleet: &'a str,
    /// Envoy's `node.id`.
    pub node: &'a str,
    /// The version of the filter, if it names one.
    pub filter_version: Option<&'a FilterVersion>,
    /// Whether the filter runs the configuration that is published now.
    pub is_current: bool,
}

impl AckTracker {
    /// Records a report of a connected sidecar. A filter that is older than this server is logged once.
    pub fn record_report(&self, report: &ReceivedReport<'_>) {
        let Ok(fleet) = report.fleet.parse::<FleetName>() else { return };
        let key: Key = (fleet, Arc::from(report.node));
        let now = self.clock.now();
        let Some(node) = self.nodes.get(&key) else { return };
        node.record_report(now);
        let is_new = |version| node.filter_version.as_ref() != Some(version);
        let is_changed = report.filter_version.is_some_and(is_new)
            || (report.is_current && node.filter_nack.is_some());
        drop(node);
        if let Some(fleet) = self.fleets.lock().get_mut(&key.0) {
            fleet.report_coverage.record(now, now.after(MAX_INTERVAL));
        }
        if is_changed {
            self.update_filter(&key, report);
        }
    }

    fn update_filter(&self, key: &Key, report: &ReceivedReport<'_>) {
        let Some(mut node) = self.nodes.get_mut(key) else { return };
        let before = node.state();
        if report.is_current {
            // The filter runs what Envoy had rejected before its reconnection.
            node.filter_nack = None;
        }
        let server = FilterVersion::current();
        let outdated =
            report.filter_version.filter(|version| node.set_filter_version(version, &server));
        let after = node.state();
        self.moved(&key.0, before, after);
        drop(node);
        if before != after {
            self.notify();
        }
        if let Some(version) = outdated {
            let (fleet, node) = (&key.0, one_line(&key.1));
            warn!(%fleet, node, %version, %server, "the sidecar's filter is older than the server; update its WASM module");
        }
    }

    /// Time since the last report gap, among the fleets for which `carries` is true; zero during a gap of any of them. Fleets
    /// without a connected sidecar that has the filter do not count; `None` if there are no others.
    #[must_use]
    pub fn time_since_gap(&self, carries: impl Fn(&FleetName) -> bool) -> Option<Duration> {
        let now = self.clock.now();
        let fleets = self.fleets.lock();
        let reporting = fleets.iter().filter(|(name, fleet)| {
            carries(name)
                && (fleet.counts.with_filter() > 0 || fleet.report_coverage.is_covered(now))
        });
        let times = reporting.map(|(_, fleet)| fleet.report_coverage.time_since_gap(now));
        times.min()
    }

    /// Finds the silent sidecars. The caller does so about every second, with the interval that sidecars are asked to report in.
    pub fn update_silent(&self, interval: Duration) {
        let idle = Duration::from_millis(INTERVAL_IDLE_MS.into());
        let limit = interval.max(idle) * MISSED_INTERVALS;
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.silence_limit_ms.store(limit_ms, Ordering::Relaxed);
        let now = self.clock.now();
        let mut found: Vec<Key> = Vec::new();
        for node in self.nodes.iter().filter(|node| node.is_silent(now, limit)) {
            found.push(node.key().clone());
        }
        found.sort();
        let mut has_changed = false;
        let mut fleets = self.fleets.lock();
        fleets.retain(|name, fleet| {
            let silent: SilentSidecars =
                found.iter().filter(|(of, _)| of == name).map(|(_, node)| &**node).collect();
            if silent != fleet.silent {
                has_changed = true;
                log(name, &fleet.silent, &silent);
                fleet.silent = silent;
            }
            !fleet.counts.is_empty() || fleet.report_coverage.is_covered(now)
        });
        drop(fleets);
        if has_changed {
            self.notify();
        }
    }

    /// The time without a report after which a sidecar is silent; unlimited before the first [`Self::update_silent`].
    pub(super) fn silence_limit(&self) -> Duration {
        Duration::from_millis(self.silence_limit_ms.load(Ordering::Relaxed))
    }
}

fn log(fleet: &FleetName, before: &SilentSidecars, now: &SilentSidecars) {
    let (silent, nodes) = (now.count, now.nodes.join(", "));
    if now.count == 0 {
        info!(%fleet, "all sidecars with the filter report again");
    } else if now.count > before.count {
        warn!(
            %fleet, silent, nodes,
            "sidecars have the filter and do not report; the cluster of the control plane in their bootstrap may have another name than the fleet's `control_plane_cluster`"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::clock::Clock;
    use crate::xds::fleet::Connection;
    use tidegate_delivery::units::Timestamp;
    use tidegate_xds::kind::{Kind, Mode};
    use tidegate_xds::protocol::Event;

    struct World {
        seconds: Arc<AtomicU64>,
        ack_tracker: Arc<AckTracker>,
    }

    impl World {
        fn new() -> Self {
            let seconds = Arc::new(AtomicU64::new(100));
            let time = Arc::clone(&seconds);
            let clock = Clock::new(move || Timestamp(time.load(Ordering::Relaxed) * 1000));
            Self { seconds, ack_tracker: AckTracker::new(clock) }
        }

        /// A sidecar that has ACKed the filter.
        fn connect(&self, fleet: &str, node: &str) -> Connection {
            let mut connection =
                self.ack_tracker.connect(fleet.parse().unwrap(), node, Mode::Delta);
            let acked = Event::Acked { kind: Kind::Extension, version: "v".into() };
            connection.record([acked].into_iter(), 1);
            connection
        }

        fn report(&self, fleet: &str, node: &str) {
            let (filter_version, is_current) = (None, false);
            self.ack_tracker.record_report(&ReceivedReport {
                fleet,
                node,
                filter_version,
                is_current,
            });
        }

        fn pass(&self, seconds: u64) {
            self.seconds.fetch_add(seconds, Ordering::Relaxed);
            self.ack_tracker.update_silent(Duration::from_millis(250));
        }

        fn silent(&self, fleet: &str) -> (u32, Vec<String>) {
            let convergence = self.ack_tracker.convergence(1, |of| of.as_str() == fleet);
            (convergence.silent, convergence.silent_nodes)
        }

        fn since_gap(&self, fleets: &[&str]) -> u64 {
            let carries = |of: &FleetName| fleets.contains(&of.as_str());
            self.ack_tracker.time_since_gap(carries).unwrap_or_default().as_secs()
        }
    }

    #[test]
    fn a_sidecar_with_the_filter_that_does_not_report_is_silent() {
        let world = World::new();
        let _one = world.connect("demo", "one");
        let _two = world.connect("demo", "two");
        let _without = world.ack_tracker.connect("demo".parse().unwrap(), "grpc", Mode::Delta);
        for _ in 0..3 {
            world.pass(5);
            world.report("demo", "one");
            assert_eq!(world.silent("demo"), (0, Vec::new()));
        }
        world.pass(1);
        assert_eq!(world.silent("demo"), (1, vec!["two".to_owned()]));
        assert_eq!(world.silent("other"), (0, Vec::new()), "of another fleet");
        let nodes = world.ack_tracker.nodes();
        let of = |it: &super::super::NodeStatus| (it.node.clone(), it.silent);
        let listed: Vec<_> = nodes.iter().map(of).collect();
        let expected = [("grpc", false), ("one", false), ("two", true)];
        assert_eq!(listed, expected.map(|(node, silent)| (node.to_owned(), silent)));
        world.report("demo", "two");
        world.pass(1);
        assert_eq!(world.silent("demo"), (0, Vec::new()));
        world.pass(20);
        assert_eq!(world.silent("demo").0, 2);
    }

    #[test]
    fn report_coverage_is_that_of_the_fleets_that_carry_the_service() {
        let world = World::new();
        let _one = world.connect("demo", "one");
        let _other = world.connect("other", "one");
        for _ in 0..4 {
            world.report("demo", "one");
            world.pass(5);
        }
        assert_eq!(world.since_gap(&["demo"]), 20);
        assert_eq!(world.since_gap(&["other"]), 0);
        assert_eq!(world.since_gap(&["demo", "other"]), 0);
        assert_eq!(world.since_gap(&["demo", "empty"]), 20, "without sidecars");
        assert_eq!(world.since_gap(&[]), 0);
    }

    #[test]
    fn reports_of_sidecars_that_are_not_connected_are_not_tracked() {
        let world = World::new();
        for fleet in 0..1000 {
            world.report(&format!("fleet-{fleet}"), "one");
        }
        assert!(world.ack_tracker.fleets.lock().is_empty());
        drop(world.connect("demo", "one"));
        world.pass(1);
        assert!(world.ack_tracker.fleets.lock().is_empty(), "a fleet without sidecars");
    }
}
