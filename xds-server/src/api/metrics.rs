//! `/metrics`: made anew at each scrape from the state, so that no number can drift from it and no
//! label outlives its service. Only known services and versions are labels.

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
use tidegate_delivery::model::hook::CallEnd;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/metrics", get(scrape))
}

async fn scrape(State(api): State<Api>) -> Result<impl IntoResponse, Problem> {
    let mut registry = Registry::with_prefix("tidegate");
    let view = api.view();
    the_state(&view, &mut registry);
    the_services(api.backend.as_ref(), &view, &mut registry);
    the_sidecars(api.backend.as_ref(), &view, &mut registry);
    delivery::the_figures(api.backend.as_ref(), &view, &mut registry);
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

fn the_state(view: &DeliveryView, registry: &mut Registry) {
    let number = |value: u64| {
        let gauge: Gauge<u64, AtomicU64> = Gauge::default();
        gauge.set(value);
        gauge
    };
    registry.register("journal_seq", "The journal's last record", number(view.seq));
    registry.register("snapshot_serial", "The last published snapshot", number(view.serial));
    registry.register(
        "halted",
        "1 while the journal cannot be written and nothing can be decided",
        number(view.halted.is_some().into()),
    );
    let phases: Family<OfPhase, Gauge> = Family::default();
    for phase in PhaseKind::ALL {
        // So that a phase without releases is 0, not absent.
        drop(phases.get_or_create(&OfPhase { phase: phase.as_str() }));
    }
    let releases = view.state.services.values().filter_map(|it| it.release.as_ref());
    for release in releases {
        let phase = views::phase(release).0.as_str();
        phases.get_or_create(&OfPhase { phase }).inc();
    }
    registry.register("releases_by_phase", "Each service's newest release", phases);
}

fn the_services(backend: &dyn Backend, view: &DeliveryView, registry: &mut Registry) {
    let weights: Family<OfVersion, Ratio> = Family::default();
    let exposures: Family<OfVersion, Ratio> = Family::default();
    let requests: Family<OfVersion, Counter> = Family::default();
    let errors: Family<OfVersion, Counter> = Family::default();
    let client_errors: Family<OfVersion, Counter> = Family::default();
    let cancelled: Family<OfVersion, Counter> = Family::default();
    let releases: Family<OfService, Counter> = Family::default();
    let rollbacks: Family<OfCause, Counter> = Family::default();
    let hooks_due: Family<OfService, Gauge> = Family::default();
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
        let exposure = progress.and_then(views::exposure);
        if let (Some(release), Some(exposure)) = (running, exposure) {
            let labels =
                OfVersion { service: name.to_string(), version: release.candidate.to_string() };
            exposures.get_or_create(&labels).set(exposure.fraction());
        }
        let service_label = OfService { service: name.to_string() };
        releases.get_or_create(&service_label).inc_by(service.releases);
        for (kind, count) in view.figures.rollbacks(name.as_str()) {
            let labels = OfCause { service: name.to_string(), cause: kind.as_str() };
            rollbacks.get_or_create(&labels).inc_by(count);
        }
        let calls = service.release.iter().flat_map(|release| &release.calls);
        let failed = calls.filter(|call| matches!(call.end, CallEnd::Failed { .. })).count();
        hooks_due.get_or_create(&service_label).set(number(service.due_calls().count()));
        hooks_failed.get_or_create(&service_label).set(number(failed));
        if service.spec.dns.is_some() {
            dns_failing.get_or_create(&service_label).set(service.dns.error.is_some().into());
        }
    }
    registry.register("hooks_due", "Hooks with calls that are not yet delivered", hooks_due);
    registry.register(
        "hooks_failed",
        "Hooks of the newest release whose delivery failed",
        hooks_failed,
    );
    registry.register("dns_failing", "1 while DNS does not follow as it should", dns_failing);
    registry.register("weight", "Share of traffic that a version is meant to get", weights);
    registry.register(
        "exposure",
        "Fraction of requests that the candidate received since its step started",
        exposures,
    );
    registry.register("requests", "Finished requests, the failed ones included", requests);
    registry.register("errors", "Requests that the version failed", errors);
    registry.register("client_errors", "Requests that failed by the caller's fault", client_errors);
    registry.register("cancelled", "Requests that the client gave up", cancelled);
    registry.register("releases", "Releases started, over the life of the journal", releases);
    registry.register("rollbacks", "Releases rolled back, over the life of the journal", rollbacks);
}

fn the_sidecars(backend: &dyn Backend, view: &DeliveryView, registry: &mut Registry) {
    let connected: Family<OfFleet, Gauge> = Family::default();
    let synced: Family<OfFleet, Gauge> = Family::default();
    let refusing: Family<OfFleet, Gauge> = Family::default();
    for node in backend.nodes().iter().filter(|node| node.connected) {
        let fleet = OfFleet { fleet: node.fleet.to_string() };
        connected.get_or_create(&fleet).inc();
        synced.get_or_create(&fleet).inc_by(i64::from(views::has_all(node, view.serial)));
        refusing.get_or_create(&fleet).inc_by(i64::from(!node.refused.is_empty()));
    }
    registry.register("sidecars_connected", "Sidecars with an open stream", connected);
    registry.register("sidecars_synced", "Those that have all that is published", synced);
    registry.register("sidecars_refusing", "Those that refuse some of it", refusing);
}
