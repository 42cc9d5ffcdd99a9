//! `/nodes`: the sidecars and their resources.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use super::Api;
use super::problem::Problem;
use super::views::{Node, NodeDetail};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/nodes", get(list)).route("/nodes/{id}", get(show))
}

async fn list(State(api): State<Api>) -> Json<Vec<Node>> {
    let view = api.view();
    let nodes = api.backend.nodes().into_iter();
    Json(nodes.map(|node| Node::of(node, &view)).collect())
}

/// Selects one of several sidecars with the same node id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selector {
    fleet: Option<String>,
}

async fn show(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
    selector: Result<Query<Selector>, QueryRejection>,
) -> Result<Json<NodeDetail>, Problem> {
    let Path(id) = id.map_err(|error| Problem::bad_request(error.body_text()))?;
    let Query(Selector { fleet }) =
        selector.map_err(|error| Problem::bad_request(error.body_text()))?;
    let view = api.view();
    let mut nodes = api.backend.nodes();
    nodes.retain(|node| {
        node.node == id && fleet.as_deref().is_none_or(|fleet| node.fleet.as_str() == fleet)
    });
    if nodes.len() > 1 {
        let fleets: Vec<_> = nodes.iter().map(|node| node.fleet.as_str()).collect();
        let fleets = fleets.join(", ");
        let detail = format!("`{id}` is in several fleets: select one with `?fleet=`: {fleets}");
        return Err(Problem::new(StatusCode::CONFLICT, "ambiguous-node", detail));
    }
    let node = nodes.pop().ok_or_else(|| {
        let detail = format!(
            "no sidecar `{id}` is connected, or disconnected recently; /api/v1/nodes lists those that are"
        );
        Problem::new(StatusCode::NOT_FOUND, "unknown-node", detail)
    })?;
    let inspection = api.backend.inspect(&node.fleet, &node.node).await;
    Ok(Json(NodeDetail::of(Node::of(node, &view), inspection)))
}
