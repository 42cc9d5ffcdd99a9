//! The delivery figures of the last 30 days.

use std::fmt;

use super::super::backend::Backend;
use super::super::report::DAYS;
use crate::controller::DeliveryView;
use crate::metrics::families::Families;
use tidegate_delivery::figures::{Bucket, ReportPeriod};

pub(super) fn encode(
    backend: &dyn Backend,
    view: &DeliveryView,
    metrics: &mut Families<'_>,
) -> fmt::Result {
    let window = ReportPeriod::days_before(DAYS, backend.now());
    let report = view.figures.report(window, Bucket::Week, None);
    // The report includes services that are no longer declared.
    let declared = |name| view.state.services.contains_key(name);
    let services = report.services.iter().filter(|it| declared(&it.service));
    let services = services.map(|it| ([("service", it.service.as_str())], &it.all));
    let frequency = services.clone().map(|(labels, all)| (labels, all.per_day));
    let help = "Releases whose candidate received traffic, mean over 30 days";
    metrics.gauges("deployments_per_day", help, frequency)?;
    let lead_time = services
        .clone()
        .filter_map(|(labels, all)| Some((labels, seconds(all.lead_time?.median_ms))));
    let help = "Time from commit to 100 %, median over 30 days";
    metrics.gauges("lead_time_seconds", help, lead_time)?;
    let recovery_time = services
        .clone()
        .filter_map(|(labels, all)| Some((labels, seconds(all.recovery_time?.mean_ms))));
    let help = "Time from failure to rollback, mean over 30 days";
    metrics.gauges("recovery_time_seconds", help, recovery_time)?;
    let failure_rate =
        services.filter_map(|(labels, all)| Some((labels, all.change_failure_rate?.fraction())));
    let help = "Share of deployments that were rolled back, over 30 days";
    metrics.gauges("change_failure_ratio", help, failure_rate)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
