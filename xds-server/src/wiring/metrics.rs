//! What the parts count in plain atomics, in Prometheus' words.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tidegate::delivery::progress::AckTimes;
use tidegate::effects::notify::stats::Stats;
use tidegate::telemetry::IntakeStats;
use tidegate::xds::counters::{ByKind, Counters};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfType {
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

/// How reports fared.
pub(super) fn of_reports(stats: &IntakeStats, registry: &mut Registry) {
    let reports: Family<OfResult, Counter> = Family::default();
    for (result, count) in
        [("accepted", &stats.accepted), ("repeated", &stats.repeated), ("refused", &stats.refused)]
    {
        reports.get_or_create(&OfResult { result }).inc_by(count.load(Ordering::Relaxed));
    }
    registry.register("reports", "Reports from sidecars", reports);
    let unknown = total(stats.unknown.load(Ordering::Relaxed));
    registry.register("report_entries_unknown", "Entries of versions that are not known", unknown);
    let dropped = total(stats.dropped.load(Ordering::Relaxed));
    registry.register("report_counts_dropped", "Counts that sidecars had no room for", dropped);
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfQuantile {
    quantile: &'static str,
}

/// How long the newest publication took to reach the sidecars.
pub(super) fn of_convergence(times: Option<AckTimes>, registry: &mut Registry) {
    let family: Family<OfQuantile, Gauge<f64, AtomicU64>> = Family::default();
    let quantiles = times.map(|times| [("0.5", times.p50), ("0.99", times.p99)]);
    for (quantile, time) in quantiles.into_iter().flatten() {
        family.get_or_create(&OfQuantile { quantile }).set(time.as_secs_f64());
    }
    registry.register(
        "convergence_seconds",
        "From the newest decision that a sidecar accepted to when sidecars accepted it",
        family,
    );
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

/// How notifications fare. Receivers are those of the configuration.
pub(super) fn of_notifications(stats: &Stats, newest: u64, registry: &mut Registry) {
    let told: Family<OfDelivery, Counter> = Family::default();
    let behind: Family<OfReceiver, Gauge> = Family::default();
    for (name, counts) in stats.iter() {
        for (result, count) in [
            ("sent", &counts.sent),
            ("failed", &counts.failed),
            ("dropped", &counts.dropped),
            ("quieted", &counts.quieted),
        ] {
            let labels = OfDelivery { receiver: name.to_string(), result };
            told.get_or_create(&labels).inc_by(count.load(Ordering::Relaxed));
        }
        let labels = OfReceiver { receiver: name.to_string() };
        let records = newest.saturating_sub(counts.told_up_to.load(Ordering::Relaxed));
        let records = i64::try_from(records).unwrap_or(i64::MAX);
        behind.get_or_create(&labels).set(records);
    }
    registry.register("notifications", "Messages: sent, or failed attempts, …", told);
    registry.register("notifications_behind", "Records that a receiver is behind", behind);
}

/// How xDS fares.
pub(super) fn of_xds(counters: &Counters, registry: &mut Registry) {
    for (name, help, counts) in [
        ("xds_pushes", "Responses sent", &counters.pushes),
        ("xds_acks", "Responses that a sidecar accepted", &counters.acks),
        ("xds_nacks", "Responses that a sidecar refused", &counters.nacks),
    ] {
        registry.register(name, help, by_kind(counts));
    }
    for (name, help, count) in [
        ("xds_streams", "Streams served", counters.streams.get()),
        ("xds_streams_refused", "Streams ended for what was sent", counters.refused.get()),
        ("xds_streams_overload", "Streams turned away: too many", counters.overload.get()),
        ("xds_streams_stuck", "Streams ended: nothing was read", counters.stuck.get()),
    ] {
        registry.register(name, help, total(count));
    }
}

fn by_kind(counts: &ByKind) -> Family<OfType, Counter> {
    let family: Family<OfType, Counter> = Family::default();
    for (r#type, count) in counts.iter() {
        family.get_or_create(&OfType { r#type }).inc_by(count);
    }
    family
}

fn total(count: u64) -> Counter {
    let counter = Counter::default();
    counter.inc_by(count);
    counter
}
