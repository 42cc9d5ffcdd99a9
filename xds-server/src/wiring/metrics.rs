//! What the parts count in plain atomics, in Prometheus' words.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tidegate::clock::Skew;
use tidegate::counters::{ByKind, Counters};
use tidegate::door::Door;
use tidegate::door::refusals::Reason;
use tidegate::door::tls::reload::TlsStats;
use tidegate::effects::notify::stats::Stats;
use tidegate::reload::FileStatus;
use tidegate::telemetry::Telemetry;
use tidegate_delivery::model::progress::AckTimes;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfType {
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

/// How reports fared.
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
    registry.register("report_entries_unknown", "Entries of versions that are not known", unknown);
    let dropped = total(stats.dropped.load(Ordering::Relaxed));
    registry.register("report_counts_dropped", "Counts that sidecars had no room for", dropped);
    let interval: Gauge<f64, AtomicU64> = Gauge::default();
    interval.set(f64::from(telemetry.interval_ms()) / 1e3);
    registry.register(
        "report_interval_seconds",
        "How long sidecars wait between reports",
        interval,
    );
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

/// Whether the server runs on what its file says.
pub(super) fn of_configuration(file: &FileStatus, registry: &mut Registry) {
    let good: Gauge = Gauge::default();
    good.set(file.trouble.is_none().into());
    let help = "0 while the configuration file says what the server could not take";
    registry.register("config_last_reload_successful", help, good);
}

/// Whether the journal's past is whole, and its time right.
pub(super) fn of_journal(damaged: bool, skew: Skew, registry: &mut Registry) {
    let found: Gauge = Gauge::default();
    found.set(damaged.into());
    registry.register("journal_damaged", "1 if the journal's past was found to be damaged", found);
    let ahead: Gauge<f64, AtomicU64> = Gauge::default();
    ahead.set(skew.seconds());
    let help = "How far the journal's time is ahead of the machine's clock, or behind it";
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

/// How notifications fare. Receivers are those of the configuration.
pub(super) fn of_notifications(stats: &Stats, newest: u64, registry: &mut Registry) {
    let told: Family<OfDelivery, Counter> = Family::default();
    let behind: Family<OfReceiver, Gauge> = Family::default();
    for (name, counts) in stats.all() {
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
        ("xds_streams_delayed", "Streams that waited for their turn", counters.delayed.get()),
        ("xds_streams_aged", "Streams ended of age", counters.aged.get()),
    ] {
        registry.register(name, help, total(count));
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    reason: &'static str,
}

/// Who came to the port for xDS and reports, and who was turned away.
pub(super) fn of_the_door(door: &Door, registry: &mut Registry) {
    for (name, help, count) in [
        ("door_connections", "Connections of sidecars", door.connections()),
        ("door_handshakes", "TLS handshakes under way", door.handshakes()),
    ] {
        let gauge: Gauge<u64, AtomicU64> = Gauge::default();
        gauge.set(count as u64);
        registry.register(name, help, gauge);
    }
    let refused: Family<OfReason, Counter> = Family::default();
    for reason in Reason::ALL {
        let count = door.refusals().count(reason);
        refused.get_or_create(&OfReason { reason: reason.label() }).inc_by(count);
    }
    registry.register("door_refused", "Connections, streams and reports turned away", refused);
}

/// How the server's own certificates fare.
pub(super) fn of_tls(stats: &TlsStats, registry: &mut Registry) {
    let not_after: Gauge<i64, AtomicI64> = Gauge::default();
    not_after.set(stats.not_after.load(Ordering::Relaxed));
    registry.register(
        "tls_not_after_seconds",
        "When the server's certificate expires, in seconds since 1970",
        not_after,
    );
    let reloads: Family<OfResult, Counter> = Family::default();
    for (result, count) in [("taken", &stats.reloaded), ("failed", &stats.failed)] {
        reloads.get_or_create(&OfResult { result }).inc_by(count.get());
    }
    registry.register("tls_reloads", "New certificates found in the files", reloads);
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
