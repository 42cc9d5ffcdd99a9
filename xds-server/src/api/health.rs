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

/// Not ready while nothing can be decided because the journal cannot be written, nor when its past
/// was found to be damaged: an operator has to act.
async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    if let Some(why) = &api.view().halted {
        let detail = format!("no decision can be written down: {why}; traffic stays as it is");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "halted", detail));
    }
    if let Some(damage) = api.backend.damage() {
        let detail = format!("{damage}. Decisions go on, and are written down behind the damage");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "journal-damaged", detail));
    }
    Ok("ok\n")
}
