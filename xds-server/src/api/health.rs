//! Probes: alive, and ready to decide.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use super::Api;
use super::problem::Problem;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(ready))
}

/// Not ready while nothing can be decided: the journal cannot be written.
async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    match &api.view().halted {
        None => Ok("ok\n"),
        Some(why) => {
            let detail = format!("no decision can be written down: {why}; traffic stays as it is");
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "halted", detail))
        }
    }
}
