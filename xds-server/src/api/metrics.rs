//! The metrics of the state: computed at each scrape.

mod delivery;
mod releases;
mod traffic;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::Api;
use super::backend::Backend;
use super::problem::Problem;
use super::views;
use crate::controller::DeliveryView;
use crate::metrics::families::Families;
use crate::metrics::{Computed, Exposition, Format};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/metrics", get(scrape))
}

/// All metrics of a server.
pub(super) fn exposition(backend: &Arc<dyn Backend>) -> Exposition {
    Exposition::new(|registry| {
        backend.register(registry);
        let backend = Arc::clone(backend);
        registry.register_collector(Box::new(Computed(move |metrics: &mut Families<'_>| {
            let view = backend.view().borrow().clone();
            state(&view, metrics)?;
            traffic::encode(backend.as_ref(), &view, metrics)?;
            releases::encode(&view, metrics)?;
            sidecars(backend.as_ref(), &view, metrics)?;
            delivery::encode(backend.as_ref(), &view, metrics)
        })));
    })
}

async fn scrape(State(api): State<Api>, headers: HeaderMap) -> Result<impl IntoResponse, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::accepted(accept.unwrap_or_default());
    let text = api.metrics.render(format).map_err(|error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "metrics", error.to_string())
    })?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], text))
}

fn state(view: &DeliveryView, metrics: &mut Families<'_>) -> fmt::Result {
    metrics.gauge("journal_seq", "Number of the newest record of the journal", view.seq)?;
    let help = "Number of the newest published xDS snapshot";
    metrics.gauge("snapshot_serial", help, view.serial)?;
    let help = "1 while the journal cannot be written, so no decisions are taken";
    metrics.gauge("halted", help, u32::from(view.halted.is_some()))
}

/// The connected sidecars of a fleet.
#[derive(Default)]
struct Sidecars {
    connected: u64,
    synced: u64,
    nacked: u64,
    silent: u64,
}

fn sidecars(backend: &dyn Backend, view: &DeliveryView, metrics: &mut Families<'_>) -> fmt::Result {
    let nodes = backend.nodes();
    let mut fleets: BTreeMap<&str, Sidecars> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.connected) {
        let fleet = fleets.entry(node.fleet.as_str()).or_default();
        fleet.connected += 1;
        fleet.synced += u64::from(views::is_synced(node, view.serial));
        fleet.nacked += u64::from(!node.nacks.is_empty());
        fleet.silent += u64::from(node.silent);
    }
    let mut gauges = |name: &str, help: &str, count: fn(&Sidecars) -> u64| {
        let samples = fleets.iter().map(|(fleet, it)| ([("fleet", *fleet)], count(it)));
        metrics.gauges(name, help, samples)
    };
    gauges("sidecars_connected", "Connected sidecars", |it| it.connected)?;
    let help = "Connected sidecars that ACKed the newest snapshot";
    gauges("sidecars_synced", help, |it| it.synced)?;
    gauges("sidecars_nacked", "Connected sidecars with a NACK", |it| it.nacked)?;
    let help = "Connected sidecars that have the filter and do not report";
    gauges("sidecars_silent", help, |it| it.silent)
}
