//! Metrics that are computed from the components at each scrape.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate::clock::Clock;
use tidegate::controller::DeliveryView;
use tidegate::effects::notifier::stats::DeliveryStats;
use tidegate::journal::Scrub;
use tidegate::metrics::families::Families;
use tidegate::reload::FileStatus;
use tidegate::telemetry::Telemetry;
use tidegate::xds::fleet::AckTracker;
use tidegate::xds::fleet::reporters::Reporters;
use tokio::sync::watch;

use super::live::Live;

/// The components whose state is exported.
pub(super) struct Components {
    file: watch::Receiver<FileStatus>,
    view: watch::Receiver<Arc<DeliveryView>>,
    telemetry: Arc<Telemetry>,
    ack_tracker: Arc<AckTracker>,
    reporters: Arc<Reporters>,
    delivery_stats: Arc<DeliveryStats>,
    clock: Clock,
    scrub: Scrub,
}

impl Components {
    pub(super) fn of(live: &Live) -> Self {
        Self {
            file: live.file.clone(),
            view: live.controller.view(),
            telemetry: Arc::clone(&live.telemetry),
            ack_tracker: Arc::clone(&live.ack_tracker),
            reporters: Arc::clone(&live.reporters),
            delivery_stats: Arc::clone(&live.delivery_stats),
            clock: live.clock.clone(),
            scrub: live.scrub.clone(),
        }
    }

    pub(super) fn encode(&self, metrics: &mut Families<'_>) -> fmt::Result {
        let help =
            "0 while the configuration file is invalid, so that the server runs an older one";
        let is_valid = self.file.borrow().failure.is_none();
        metrics.gauge("config_last_reload_successful", help, u32::from(is_valid))?;
        let help = "1 if the verification of the journal found damage";
        metrics.gauge("journal_damaged", help, u32::from(self.scrub.damage().is_some()))?;
        let help = "Difference between the clock of the journal and the system clock";
        metrics.gauge("clock_ahead_seconds", help, self.clock.skew().seconds())?;
        self.reports(metrics)?;
        self.reporters(metrics)?;
        self.notifications(metrics)?;
        let help =
            "Time from a publication until a sidecar ACKed it, or reported with its configuration";
        metrics.histogram("convergence_seconds", help, &self.ack_tracker.times().all())
    }

    fn reports(&self, metrics: &mut Families<'_>) -> fmt::Result {
        let stats = &self.telemetry.stats;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let results = [
            ("accepted", &stats.accepted),
            ("repeated", &stats.repeated),
            ("rejected", &stats.rejected),
        ];
        let results = results.map(|(result, it)| ([("result", result)], count(it)));
        metrics.counters("reports", "Reports from sidecars", results)?;
        let help = "Report entries for unknown versions";
        metrics.counter("report_entries_unknown", help, count(&stats.unknown))?;
        let help =
            "Report entries refused because the fleet of the sidecar does not carry the service";
        metrics.counter("report_entries_refused", help, count(&stats.foreign))?;
        let help = "Requests that sidecars did not count for lack of memory";
        metrics.counter("report_counts_dropped", help, count(&stats.dropped))?;
        let help = "Interval between reports that sidecars are asked for";
        let interval = f64::from(self.telemetry.interval_ms()) / 1e3;
        metrics.gauge("report_interval_seconds", help, interval)
    }

    fn reporters(&self, metrics: &mut Families<'_>) -> fmt::Result {
        let counts = self.reporters.counts();
        let samples = counts.iter().flat_map(|(fleet, it)| {
            let states = [("synced", it.synced), ("lagging", it.lagging), ("silent", it.silent)];
            states.map(|(state, count)| ([("fleet", fleet.as_str()), ("state", state)], count))
        });
        let help = "Sidecars of Istio fleets whose configuration is the newest, those with an older one, and those of which \
                    a filter instance has stopped reporting";
        metrics.gauges("istio_sidecars", help, samples)
    }

    fn notifications(&self, metrics: &mut Families<'_>) -> fmt::Result {
        let newest = self.view.borrow().seq;
        let receivers = self.delivery_stats.all();
        let results = receivers.iter().flat_map(|(name, counts)| {
            let results = [
                ("sent", &counts.sent),
                ("failed", &counts.failed),
                ("dropped", &counts.dropped),
                ("suppressed", &counts.suppressed),
            ];
            results.map(|(result, count)| {
                let labels = [("receiver", name.as_str()), ("result", result)];
                (labels, count.load(Ordering::Relaxed))
            })
        });
        let help = "Notifications by result: sent, dropped, suppressed; failed counts attempts";
        metrics.counters("notifications", help, results)?;
        let lag = receivers.iter().map(|(name, counts)| {
            let lag = newest.saturating_sub(counts.position.load(Ordering::Relaxed));
            ([("receiver", name.as_str())], lag)
        });
        let help = "Journal records that a receiver has not processed";
        metrics.gauges("notification_lag_records", help, lag)
    }
}
