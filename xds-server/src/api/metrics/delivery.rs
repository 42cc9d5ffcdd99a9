//! The delivery figures of the last 30 days.

use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::super::backend::Backend;
use super::super::report::DAYS;
use super::{OfService, Ratio};
use crate::controller::DeliveryView;
use tidegate_delivery::figures::{Bucket, ReportPeriod};

pub(super) fn figures(backend: &dyn Backend, view: &DeliveryView, registry: &mut Registry) {
    let frequency: Family<OfService, Ratio> = Family::default();
    let lead_time: Family<OfService, Ratio> = Family::default();
    let recovery_time: Family<OfService, Ratio> = Family::default();
    let failure_rate: Family<OfService, Ratio> = Family::default();
    let window = ReportPeriod::days_before(DAYS, backend.now());
    let report = view.figures.report(window, Bucket::Week, None);
    // The report includes services that are no longer declared.
    let declared = |name| view.state.services.contains_key(name);
    for service in report.services.iter().filter(|it| declared(&it.service)) {
        let label = OfService { service: service.service.to_string() };
        let all = &service.all;
        frequency.get_or_create(&label).set(all.per_day);
        if let Some(times) = all.lead_time {
            lead_time.get_or_create(&label).set(seconds(times.median_ms));
        }
        if let Some(times) = all.recovery_time {
            recovery_time.get_or_create(&label).set(seconds(times.mean_ms));
        }
        if let Some(rate) = all.change_failure_rate {
            failure_rate.get_or_create(&label).set(rate.fraction());
        }
    }
    for (name, help, family) in [
        (
            "deployments_per_day",
            "Releases whose candidate received traffic, mean over 30 days",
            frequency,
        ),
        ("lead_time_seconds", "Time from commit to 100 %, median over 30 days", lead_time),
        (
            "recovery_time_seconds",
            "Time from failure to rollback, mean over 30 days",
            recovery_time,
        ),
        (
            "change_failure_ratio",
            "Share of deployments that were rolled back, over 30 days",
            failure_rate,
        ),
    ] {
        registry.register(name, help, family);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
