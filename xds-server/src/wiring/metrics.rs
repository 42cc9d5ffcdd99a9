//! Metrics that are read from the components at each scrape. Components with metrics of their own register those themselves.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tidegate::clock::Skew;
use tidegate::effects::notifier::stats::DeliveryStats;
use tidegate::reload::FileStatus;
use tidegate::telemetry::Telemetry;
use tidegate::xds::fleet::reporters::Reporters;
use tidegate_delivery::model::progress::AckTimes;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

/// Reports from sidecars.
pub(super) fn of_reports(telemetry: &Telemetry, registry: &mut Registry) {
    let stats = &telemetry.stats;
    let reports: Family<OfResult, Counter> = Family::default();
    for (result, count) in [
        ("accepted", &stats.accepted),
        ("repeated", &stats.repeated),
        ("rejected", &stats.rejected),
    ] {
        reports.get_or_create(&OfResult { result }).inc_by(count.load(Ordering::Relaxed));
    }
    registry.register("reports", "Reports from sidecars", reports);
    let unknown = total(stats.unknown.load(Ordering::Relaxed));
    registry.register("report_entries_unknown", "Report entries for unknown versions", unknown);
    let foreign = total(stats.foreign.load(Ordering::Relaxed));
    let help = "Report entries refused because the fleet of the sidecar does not carry the service";
    registry.register("report_entries_refused", help, foreign);
    let dropped = total(stats.dropped.load(Ordering::Relaxed));
    registry.register(
        "report_counts_dropped",
        "Requests that sidecars did not count for lack of memory",
        dropped,
    );
    let interval: Gauge<f64, AtomicU64> = Gauge::default();
    interval.set(f64::from(telemetry.interval_ms()) / 1e3);
    registry.register(
        "report_interval_seconds",
        "Interval between reports that sidecars are asked for",
        interval,
    );
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReporters {
    fleet: String,
    state: &'static str,
}

/// Sidecars of Istio fleets.
pub(super) fn of_reporters(reporters: &Reporters, registry: &mut Registry) {
    let sidecars: Family<OfReporters, Gauge> = Family::default();
    for (fleet, counts) in reporters.counts() {
        for (state, count) in
            [("synced", counts.synced), ("lagging", counts.lagging), ("silent", counts.silent)]
        {
            let labels = OfReporters { fleet: fleet.to_string(), state };
            sidecars.get_or_create(&labels).set(count.into());
        }
    }
    registry.register(
        "istio_sidecars",
        "Sidecars of Istio fleets whose configuration is the newest, those with an older one, and those of which a filter instance has stopped reporting",
        sidecars,
    );
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfQuantile {
    quantile: &'static str,
}

/// Time from publication to ACK.
pub(super) fn of_convergence(times: Option<AckTimes>, registry: &mut Registry) {
    let family: Family<OfQuantile, Gauge<f64, AtomicU64>> = Family::default();
    let quantiles = times.map(|times| [("0.5", times.p50), ("0.99", times.p99)]);
    for (quantile, time) in quantiles.into_iter().flatten() {
        family.get_or_create(&OfQuantile { quantile }).set(time.as_secs_f64());
    }
    registry.register(
        "convergence_seconds",
        "Time from the newest ACKed publication until sidecars ACKed it",
        family,
    );
}

/// The configuration file.
pub(super) fn of_configuration(file: &FileStatus, registry: &mut Registry) {
    let good: Gauge = Gauge::default();
    good.set(file.failure.is_none().into());
    let help = "0 while the configuration file is invalid, so that the server runs an older one";
    registry.register("config_last_reload_successful", help, good);
}

/// The journal and its clock.
pub(super) fn of_journal(damaged: bool, skew: Skew, registry: &mut Registry) {
    let found: Gauge = Gauge::default();
    found.set(damaged.into());
    registry.register(
        "journal_damaged",
        "1 if the verification of the journal found damage",
        found,
    );
    let ahead: Gauge<f64, AtomicU64> = Gauge::default();
    ahead.set(skew.seconds());
    let help = "Difference between the clock of the journal and the system clock";
    registry.register("clock_ahead_seconds", help, ahead);
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReceiver {
    receiver: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDelivery {
    receiver: String,
    result: &'static str,
}

/// Delivery of notifications. The receivers are those of the configuration.
pub(super) fn of_notifications(stats: &DeliveryStats, newest: u64, registry: &mut Registry) {
    let deliveries: Family<OfDelivery, Counter> = Family::default();
    let lag: Family<OfReceiver, Gauge> = Family::default();
    for (name, counts) in stats.all() {
        for (result, count) in [
            ("sent", &counts.sent),
            ("failed", &counts.failed),
            ("dropped", &counts.dropped),
            ("suppressed", &counts.suppressed),
        ] {
            let labels = OfDelivery { receiver: name.to_string(), result };
            deliveries.get_or_create(&labels).inc_by(count.load(Ordering::Relaxed));
        }
        let labels = OfReceiver { receiver: name.to_string() };
        let records = newest.saturating_sub(counts.position.load(Ordering::Relaxed));
        let records = i64::try_from(records).unwrap_or(i64::MAX);
        lag.get_or_create(&labels).set(records);
    }
    let help = "Notifications by result: sent, dropped, suppressed; failed counts attempts";
    registry.register("notifications", help, deliveries);
    let help = "Journal records that a receiver has not processed";
    registry.register("notification_lag_records", help, lag);
}

fn total(count: u64) -> Counter {
    let counter = Counter::default();
    counter.inc_by(count);
    counter
}
