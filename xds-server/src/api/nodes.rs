//! `/nodes`: the sidecars.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use super::Api;
use super::views::Node;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/nodes", get(list))
}

async fn list(State(api): State<Api>) -> Json<Vec<Node>> {
    Json(api.backend.nodes())
}
