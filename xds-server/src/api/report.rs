//! `/report`: the delivery figures. `/state`: the digest of the state, to compare with a replay of the journal.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use super::Api;
use super::problem::Problem;
use super::services::find;
use super::views::StateView;
use crate::journal;
use tidegate_delivery::figures::{Bucket, DeliveryReport, ReportPeriod};
use tidegate_delivery::names::ServiceName;
use tidegate_delivery::units::{Timestamp, rfc3339};

/// Default length of a report in days.
pub(super) const DAYS: u32 = 30;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/report", get(report)).route("/state", get(state))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportQuery {
    service: Option<ServiceName>,
    #[serde(default, with = "rfc3339::option")]
    since: Option<Timestamp>,
    #[serde(default, with = "rfc3339::option")]
    until: Option<Timestamp>,
    #[serde(default)]
    bucket: Bucket,
}

async fn report(
    State(api): State<Api>,
    query: Result<Query<ReportQuery>, QueryRejection>,
) -> Result<Json<DeliveryReport>, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let now = api.backend.now();
    let until = query.until.map_or(now, |until| until.min(now));
    let window = match query.since {
        Some(since) if since > until => {
            return Err(Problem::bad_request("`since` is later than `until`, or in the future"));
        }
        Some(since) => ReportPeriod { since, until },
        None => ReportPeriod::days_before(DAYS, until),
    };
    let view = api.view();
    if let Some(service) = &query.service
        && !view.figures.has(service)
    {
        find(&view, service.as_str())?;
    }
    Ok(Json(view.figures.report(window, query.bucket, query.service.as_ref())))
}

async fn state(State(api): State<Api>) -> Result<Json<StateView>, Problem> {
    let view = api.view();
    let digest = journal::digest(&view.state).map_err(crate::controller::CommandError::Journal)?;
    Ok(Json(StateView { seq: view.seq, digest: digest.to_string() }))
}
