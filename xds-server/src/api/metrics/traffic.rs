//! Weights of the versions, and what the sidecars counted for each since the server started.

use std::collections::BTreeMap;
use std::fmt;

use super::super::backend::Backend;
use super::super::views;
use crate::controller::DeliveryView;
use crate::metrics::families::Families;
use crate::telemetry::counts::{Counts, Utilization};
use tidegate_delivery::names::{ServiceName, VersionName};

pub(super) fn encode(
    backend: &dyn Backend,
    view: &DeliveryView,
    metrics: &mut Families<'_>,
) -> fmt::Result {
    weights(view, metrics)?;
    let totals = view.state.services.keys().map(|name| (name, backend.totals(name)));
    let totals: BTreeMap<&ServiceName, BTreeMap<VersionName, Counts>> = totals.collect();
    let declared = totals.iter().flat_map(|(service, versions)| {
        let spec = view.state.services.get(*service).map(|it| &it.spec);
        let versions = versions.iter();
        let versions = versions
            .filter(move |(name, _)| spec.is_some_and(|it| it.versions.contains_key(*name)));
        versions.map(|(version, counts)| {
            ([("service", service.as_str()), ("version", version.as_str())], counts)
        })
    });
    let mut counters = |name: &str, help: &str, count: fn(&Counts) -> u64| {
        metrics.counters(name, help, declared.clone().map(|(labels, it)| (labels, count(it))))
    };
    counters("requests", "Finished requests, including failed ones", |it| it.requests)?;
    counters("errors", "Requests failed by the version", |it| it.errors)?;
    counters("client_errors", "Requests failed by the client", |it| it.client_errors)?;
    counters("cancelled", "Requests cancelled by the client", |it| it.cancelled)?;
    metrics.histograms(
        "response_seconds",
        "Response times; the sum is that of the middles of narrower buckets, within 6.25 %",
        declared.clone().map(|(labels, counts)| (labels, &counts.latency)),
    )?;
    metrics.ratio_histograms(
        "utilization_ratio",
        "Use of a resource by the instances of a version, as they report it with their responses",
        declared.clone().flat_map(|(labels, counts)| {
            let Utilization { cpu, memory, disk } = &counts.utilization;
            let resources = [("cpu", cpu), ("memory", memory), ("disk", disk)];
            let reported = resources.into_iter().filter(|(_, samples)| samples.total() > 0);
            reported.map(move |(resource, samples)| ((labels, [("resource", resource)]), samples))
        }),
    )?;
    let business = declared.flat_map(|(labels, counts)| {
        counts
            .business
            .iter()
            .map(move |(metric, share)| ((labels, [("metric", metric.as_str())]), *share))
    });
    let help = "Requests that are judged by a business metric";
    let requests = business.clone().map(|(labels, share)| (labels, share.requests));
    metrics.counters("business_requests", help, requests)?;
    let help = "Requests that are bad by a business metric";
    metrics.counters("business_bad", help, business.map(|(labels, share)| (labels, share.bad)))
}

fn weights(view: &DeliveryView, metrics: &mut Families<'_>) -> fmt::Result {
    let intended = view.state.services.iter().flat_map(|(name, service)| {
        service.spec.versions.keys().map(move |version| {
            let labels = [("service", name.as_str()), ("version", version.as_str())];
            (labels, views::weight(service, version).fraction())
        })
    });
    metrics.gauges("weight_ratio", "Intended share of requests of a version", intended)?;
    let actual = view.state.services.iter().filter_map(|(name, service)| {
        let release = service.running()?;
        let actual = views::actual_share(view.progress.get(&release.id)?)?;
        let labels = [("service", name.as_str()), ("version", release.candidate.as_str())];
        Some((labels, actual.fraction()))
    });
    let help = "Share of requests that the candidate received since its step began";
    metrics.gauges("actual_weight_ratio", help, actual)
}
