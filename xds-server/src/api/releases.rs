//! `/releases`: how one goes, and what can be asked of it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::Api;
use super::body::OptionalBody;
use super::origin::Given;
use super::problem::Problem;
use super::views::ReleaseView;
use crate::delivery::command::{Command, Outcome, Refusal, ReleaseCommand};
use crate::delivery::names::ReleaseId;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/releases/{id}", get(show)).route("/releases/{id}/{verb}", post(ask))
}

async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<ReleaseView>, Problem> {
    let view = api.view();
    let mut releases = view.state.services.values().filter_map(|it| it.release.as_ref());
    let release = releases.find(|release| release.id.as_str() == id);
    let release = release.ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "unknown-release",
            "this is not the newest release of any service; /api/v1/events tells of older ones",
        )
    })?;
    Ok(Json(ReleaseView::of(release, &view)))
}

/// What comes along with a verb.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    /// `promote` only: to 100 % at once.
    all: Option<bool>,
    actor: Option<String>,
    reason: Option<String>,
}

async fn ask(
    State(api): State<Api>,
    Path((id, verb)): Path<(String, String)>,
    OptionalBody(details): OptionalBody<Details>,
) -> Result<Json<Outcome>, Problem> {
    let command = match (verb.as_str(), details.all) {
        ("promote", all) => ReleaseCommand::Promote { all: all.unwrap_or(false) },
        ("pause" | "resume" | "abort" | "rollback", Some(_)) => {
            return Err(Problem::bad_request("`all` goes with promote only"));
        }
        ("pause", None) => ReleaseCommand::Pause,
        ("resume", None) => ReleaseCommand::Resume,
        ("abort", None) => ReleaseCommand::Abort,
        ("rollback", None) => ReleaseCommand::Rollback,
        _ => {
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                "unknown-verb",
                "a release can be asked to promote, pause, resume, abort or rollback",
            ));
        }
    };
    // A name that cannot be is a release that is not there.
    let id: ReleaseId = id.parse().map_err(|_| Refusal::UnknownRelease(id))?;
    let origin = Given { actor: details.actor, reason: details.reason };
    let command = Command::Release(id, command);
    let outcome = api.backend.submit(command, origin.origin()?).await?;
    Ok(Json(outcome))
}
