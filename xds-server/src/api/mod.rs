//! The REST API under `/api/v1`, the metrics and the health probes. One file per resource; errors are RFC 9457 problem
//! details. The handlers depend on the rest of the control plane through [`backend::Backend`] only.

pub mod backend;
pub mod configuration;
mod events;
pub mod explain;
mod flags;
pub mod freeze;
pub mod groups;
pub mod history;
mod metrics;
mod nodes;
mod origin_guard;
pub mod power;
pub mod problem;
mod releases;
mod report;
mod request;
pub mod serve;
mod services;
mod versions;
pub mod views;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::{Semaphore, watch};

use crate::controller::DeliveryView;
use crate::metrics::Exposition;
use backend::Backend;
use problem::Problem;
use request::Change;
use tidegate_delivery::model::command::{Command, Outcome};
use views::OutcomeView;

/// Largest request body in bytes: all flags at once.
const MAX_BODY: usize = 1024 * 1024;
/// Longest time until a response begins.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most concurrent event streams: each has a task, and reads the journal.
const MAX_STREAMS: usize = 64;

/// The state of the handlers.
#[derive(Clone)]
struct Api {
    backend: Arc<dyn Backend>,
    streams: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
    metrics: Arc<Exposition>,
    powers: Arc<power::Powers>,
}

/// The answer to a command.
type Answer = Result<Json<OutcomeView>, Problem>;

impl Api {
    fn view(&self) -> Arc<DeliveryView> {
        self.backend.view().borrow().clone()
    }

    async fn submit(&self, command: Command, change: Change) -> Result<Outcome, Problem> {
        Ok(self.backend.submit(command, change.origin()?).await?)
    }

    /// Submits a command, and answers with its outcome.
    async fn answer(&self, command: Command, change: Change) -> Answer {
        Ok(Json(self.submit(command, change).await?.into()))
    }
}

/// The routes of the API. Event streams end when `stop` becomes true.
pub fn router(backend: Arc<dyn Backend>, stop: watch::Receiver<bool>) -> Router {
    let metrics = Arc::new(metrics::exposition(&backend));
    let streams = Arc::new(Semaphore::new(MAX_STREAMS));
    let api = Api { backend, streams, stop, metrics, powers: Arc::default() };
    let v1 = Router::new()
        .merge(configuration::routes())
        .merge(services::routes())
        .merge(versions::routes())
        .merge(releases::routes())
        .merge(history::routes())
        .merge(groups::routes())
        .merge(freeze::routes())
        .merge(flags::routes())
        .merge(nodes::routes())
        .merge(events::routes())
        .merge(report::routes());
    Router::new()
        .nest("/api/v1", v1)
        .merge(probes())
        .merge(metrics::routes())
        .fallback(problem::no_such_path)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(origin_guard::reject))
        .layer(from_fn(problem::finish))
        .with_state(api)
}

fn probes() -> Router<Api> {
    Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(ready))
}

/// Not ready while the journal cannot be written, or after its background verification failed.
async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    let unavailable =
        |kind, detail: String| Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail));
    if let Some(error) = &api.view().halted {
        let detail = format!(
            "the journal cannot be written: {error}; no decisions are taken and traffic is unchanged"
        );
        return unavailable("halted", detail);
    }
    if let Some(damage) = api.backend.damage() {
        let detail = format!(
            "{damage}. Decisions continue, and are appended after the damage; restore a backup of the journal"
        );
        return unavailable("journal-damaged", detail);
    }
    Ok("ok\n")
}
