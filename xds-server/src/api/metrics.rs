//! `/metrics`: computed from the state at each scrape. Labels are declared services and their versions only, so their
//! number is bounded.

mod delivery;

use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Api;
use super::backend::Backend;
use super::problem::Problem;
use super::views::{self, PhaseKind};
use crate::controller::DeliveryView;
use tidegate_delivery::model::hook::CallState;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/metrics", get(scrape))
}

async fn scrape(State(api): State<Api>) -> Result<impl IntoResponse, Problem> {
    let mut registry = Registry::with_prefix("tidegate");
    let view = api.view();
    state(&view, &mut registry);
    services(api.backend.as_ref(), &view, &mut registry);
    sidecars(api.backend.as_ref(), &view, &mut registry);
    delivery::figures(api.backend.as_ref(), &view, &mut registry);
    api.backend.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "metrics", error.to_string())
    })?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}

type Ratio = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfVersion {
    service: String,
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfService {
    service: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPhase {
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFleet {
    fleet: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    service: String,
    cause: &'static str,
}

fn state(view: &DeliveryView, registry: &mut Registry) {
    let number = |value: u64| {
        let gauge: Gauge<u64, AtomicU64> = Gauge::default();
        gauge.set(value);
        gauge
    };
    registry.register(
        "journal_seq",
        "Number of the newest record of the journal",
        number(view.seq),
    );
    registry.register(
        "snapshot_serial",
        "Number of the newest published xDS snapshot",
        number(view.serial),
    );
    registry.register(
        "halted",
        "1 while the journal cannot be written, so no decisions are taken",
        number(view.halted.is_some().into()),
    );
    let phases: Family<OfPhase, Gauge> = Family::default();
    for phase in PhaseKind::ALL {
        // A phase without releases is exported as 0.
        drop(phases.get_or_create(&OfPhase { phase: phase.as_str() }));
    }
    let releases = view.state.services.values().filter_map(|it| it.release.as_ref());
    for release in releases {
        let phase = views::phase(release).0.as_str();
        phases.get_or_create(&OfPhase { phase }).inc();
    }
    registry.register("releases_by_phase", "Newest release of each service, by phase", phases);
}

fn services(backend: &dyn Backend, view: &DeliveryView, registry: &mut Registry) {
    let weights: Family<OfVersion, Ratio> = Family::default();
    let actual_weights: Family<OfVersion, Ratio> = Family::default();
    let requests: Family<OfVersion, Counter> = Family::default();
    let errors: Family<OfVersion, Counter> = Family::default();
    let client_errors: Family<OfVersion, Counter> = Family::default();
    let cancelled: Family<OfVersion, Counter> = Family::default();
    let releases: Family<OfService, Counter> = Family::default();
    let rollbacks: Family<OfCause, Counter> = Family::default();
    let hooks_pending: Family<OfService, Gauge> = Family::default();
    let hooks_failed: Family<OfService, Gauge> = Family::default();
    let dns_failing: Family<OfService, Gauge> = Family::default();
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    for (name, service) in &view.state.services {
        let totals = backend.totals(name);
        for version in service.spec.versions.keys() {
            let labels = OfVersion { service: name.to_string(), version: version.to_string() };
            let weight = views::weight(service, version).fraction();
            weights.get_or_create(&labels).set(weight);
            if let Some(counts) = totals.get(version) {
                requests.get_or_create(&labels).inc_by(counts.requests);
                errors.get_or_create(&labels).inc_by(counts.errors);
                client_errors.get_or_create(&labels).inc_by(counts.client_errors);
                cancelled.get_or_create(&labels).inc_by(counts.cancelled);
            }
        }
        let running = service.running();
        let progress = running.and_then(|release| view.progress.get(&release.id));
        let actual = progress.and_then(views::actual_share);
        if let (Some(release), Some(actual)) = (running, actual) {
            let labels =
                OfVersion { service: name.to_string(), version: release.candidate.to_string() };
            actual_weights.get_or_create(&labels).set(actual.fraction());
        }
        let service_label = OfService { service: name.to_string() };
        releases.get_or_create(&service_label).inc_by(service.releases);
        for (kind, count) in view.figures.rollbacks(name.as_str()) {
            let labels = OfCause { service: name.to_string(), cause: kind.as_str() };
            rollbacks.get_or_create(&labels).inc_by(count);
        }
        let calls = service.release.iter().flat_map(|release| &release.calls);
        let failed = calls.filter(|call| matches!(call.end, CallState::Failed { .. })).count();
        hooks_pending.get_or_create(&service_label).set(number(service.due_calls().count()));
        hooks_failed.get_or_create(&service_label).set(number(failed));
        if service.spec.dns.is_some() {
            dns_failing.get_or_create(&service_label).set(service.dns.error.is_some().into());
        }
    }
    registry.register("hooks_pending", "Hook calls that are not yet delivered", hooks_pending);
    registry.register("hooks_failed", "Hook calls of the newest release that failed", hooks_failed);
    registry.register("dns_update_failing", "1 while the last DNS update failed", dns_failing);
    registry.register("weight_ratio", "Intended share of requests of a version", weights);
    registry.register(
        "actual_weight_ratio",
        "Share of requests that the candidate received since its step began",
        actual_weights,
    );
    registry.register("requests", "Finished requests, including failed ones", requests);
    registry.register("errors", "Requests failed by the version", errors);
    registry.register("client_errors", "Requests failed by the client", client_errors);
    registry.register("cancelled", "Requests cancelled by the client", cancelled);
    registry.register("releases", "Releases started, over the life of the journal", releases);
    registry.register("rollbacks", "Releases rolled back, over the life of the journal", rollbacks);
}

fn sidecars(backend: &dyn Backend, view: &DeliveryView, registry: &mut Registry) {
    let connected: Family<OfFleet, Gauge> = Family::default();
    let synced: Family<OfFleet, Gauge> = Family::default();
    let nacked: Family<OfFleet, Gauge> = Family::default();
    let silent: Family<OfFleet, Gauge> = Family::default();
    for node in backend.nodes().iter().filter(|node| node.connected) {
        let fleet = OfFleet { fleet: node.fleet.to_string() };
        connected.get_or_create(&fleet).inc();
        synced.get_or_create(&fleet).inc_by(i64::from(views::is_synced(node, view.serial)));
        nacked.get_or_create(&fleet).inc_by(i64::from(!node.nacks.is_empty()));
        silent.get_or_create(&fleet).inc_by(node.silent.into());
    }
    registry.register("sidecars_connected", "Connected sidecars", connected);
    registry.register(
        "sidecars_synced",
        "Connected sidecars that ACKed the newest snapshot",
        synced,
    );
    registry.register("sidecars_nacked", "Connected sidecars with a NACK", nacked);
    let help = "Connected sidecars that have the filter and do not report";
    registry.register("sidecars_silent", help, silent);
}
