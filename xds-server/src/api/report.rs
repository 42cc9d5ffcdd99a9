//! `/report`: how delivery went. And `/state`: what names the state, so that a replay of the
//! journal can be held against it.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use super::Api;
use super::problem::Problem;
use super::views::StateView;
use crate::journal;
use tidegate_delivery::figures::{Bucket, DeliveryReport, ReportPeriod};
use tidegate_delivery::names::ServiceName;
use tidegate_delivery::units::Timestamp;

/// Days that a report has unless the request says otherwise.
pub(super) const DAYS: u32 = 30;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/report", get(report)).route("/state", get(state))
}

/// Of what, and of when.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    service: Option<ServiceName>,
    /// In milliseconds since the Unix epoch, as `until`.
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    #[serde(default)]
    bucket: Bucket,
}

async fn report(
    State(api): State<Api>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<DeliveryReport>, Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::bad_request(error.body_text()))?;
    // Nothing has happened later than now.
    let now = api.backend.now();
    let until = wanted.until.map_or(now, |until| until.min(now));
    let window = match wanted.since {
        Some(since) if since > until => {
            return Err(Problem::bad_request(
                "`since` must not be later than `until`, nor than now",
            ));
        }
        Some(since) => ReportPeriod { since, until },
        None => ReportPeriod::days_before(DAYS, until),
    };
    let view = api.view();
    Ok(Json(view.figures.report(window, wanted.bucket, wanted.service.as_ref())))
}

async fn state(State(api): State<Api>) -> Result<Json<StateView>, Problem> {
    let view = api.view();
    let digest = journal::digest(&view.state).map_err(crate::controller::CommandError::Journal)?;
    Ok(Json(StateView { seq: view.seq, digest: digest.to_string() }))
}
