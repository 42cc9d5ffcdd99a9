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
    let serial = api.view().serial;
    let nodes = api.backend.nodes().into_iter();
    Json(nodes.map(|node| Node::of(node, serial)).collect())
}
