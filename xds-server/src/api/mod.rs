//! The REST API: everything that an operator or CI can see and ask for, under `/api/v1`, beside
//! `/metrics` and the health probes. One file a resource; errors are RFC 9457 problem details.

pub mod backend;
mod body;
pub mod configuration;
mod events;
pub mod explain;
mod flags;
mod foreign;
pub mod freeze;
pub mod groups;
mod health;
mod metrics;
mod nodes;
mod origin;
pub mod problem;
mod releases;
mod report;
pub mod serve;
mod services;
mod versions;
pub mod views;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use tokio::sync::{Semaphore, watch};

use crate::controller::DeliveryView;
use backend::Backend;

/// Largest body that is read, in bytes: all flags at once.
const MAX_BODY: usize = 1024 * 1024;
/// Longest time that an answer may take to begin.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most event streams at a time: each costs a task and reads of the journal.
const MAX_STREAMS: usize = 64;

/// What every handler gets.
#[derive(Clone)]
struct Api {
    backend: Arc<dyn Backend>,
    streams: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Api {
    /// What is decided and seen now.
    fn view(&self) -> Arc<DeliveryView> {
        self.backend.view().borrow().clone()
    }
}

/// The whole API. When `stop` turns true, event streams end.
pub fn router(backend: Arc<dyn Backend>, stop: watch::Receiver<bool>) -> Router {
    let api = Api { backend, streams: Arc::new(Semaphore::new(MAX_STREAMS)), stop };
    let v1 = Router::new()
        .merge(configuration::routes())
        .merge(services::routes())
        .merge(versions::routes())
        .merge(releases::routes())
        .merge(groups::routes())
        .merge(freeze::routes())
        .merge(flags::routes())
        .merge(nodes::routes())
        .merge(events::routes())
        .merge(report::routes());
    Router::new()
        .nest("/api/v1", v1)
        .merge(health::routes())
        .merge(metrics::routes())
        .fallback(problem::no_such_path)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(foreign::refuse))
        .layer(from_fn(problem::finish))
        .with_state(api)
}
