//! `/releases`: how one goes, and what can be asked of it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::Api;
use super::body::OptionalBody;
use super::explain::{self, Explanation};
use super::origin::Given;
use super::problem::Problem;
use super::views::ReleaseView;
use crate::controller::DeliveryView;
use tidegate_delivery::model::command::{Command, Outcome, Refusal, ReleaseCommand};
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::ReleaseId;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/releases/{id}", get(show))
        .route("/releases/{id}/explain", get(explain))
        .route("/releases/{id}/{verb}", post(ask))
}

async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<ReleaseView>, Problem> {
    let view = api.view();
    let (_, release) = find(&view, &id)?;
    Ok(Json(ReleaseView::of(release, &view)))
}

fn find<'a>(view: &'a DeliveryView, id: &str) -> Result<(&'a ServiceState, &'a Release), Problem> {
    let services = view.state.services.values();
    let mut releases = services.filter_map(|it| Some((&**it, it.release.as_ref()?)));
    releases.find(|(_, release)| release.id.as_str() == id).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "unknown-release",
            "this is not the newest release of any service; /api/v1/events lists older ones",
        )
    })
}

async fn explain(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Explanation>, Problem> {
    let view = api.view();
    let (service, release) = find(&view, &id)?;
    let mut records = Vec::new();
    let mut after = view.seq.saturating_sub(explain::LOOKED_THROUGH);
    // What happens meanwhile is not what is explained.
    while after < view.seq {
        let left = usize::try_from(view.seq - after).unwrap_or(usize::MAX);
        let page = api.backend.events(after, left).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        records.extend(page);
    }
    let nodes = api.backend.nodes();
    Ok(Json(explain::explain(&view, service, release, &nodes, &records)))
}

/// What comes along with a verb.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Details {
    /// `promote` only: to 100 % at once.
    all: Option<bool>,
    /// `approve` only, and needed there: as what.
    role: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
}

async fn ask(
    State(api): State<Api>,
    Path((id, verb)): Path<(String, String)>,
    OptionalBody(details): OptionalBody<Details>,
) -> Result<Json<Outcome>, Problem> {
    let (command, origin) = details.asks(&verb)?;
    // A name that cannot be is a release that is not there.
    let id: ReleaseId = id.parse().map_err(|_| Refusal::UnknownRelease(id))?;
    let command = Command::Release(id, command);
    let outcome = api.backend.submit(command, origin.origin()?).await?;
    Ok(Json(outcome))
}

impl Details {
    /// The command of a verb and its origin.
    pub(super) fn asks(self, verb: &str) -> Result<(ReleaseCommand, Given), Problem> {
        let Self { all, role, actor, reason } = self;
        Ok((command(verb, all, role)?, Given { actor, reason }))
    }
}

fn command(verb: &str, all: Option<bool>, role: Option<String>) -> Result<ReleaseCommand, Problem> {
    Ok(match (verb, all, role) {
        ("promote", all, None) => ReleaseCommand::Promote { all: all.unwrap_or(false) },
        ("approve", None, Some(role)) => {
            ReleaseCommand::Approve { role: role.parse().map_err(Refusal::Name)? }
        }
        ("approve", None, None) => {
            return Err(Problem::bad_request("`role` is required for approve"));
        }
        ("pause", None, None) => ReleaseCommand::Pause,
        ("resume", None, None) => ReleaseCommand::Resume,
        ("abort", None, None) => ReleaseCommand::Abort,
        ("rollback", None, None) => ReleaseCommand::Rollback,
        ("promote" | "approve" | "pause" | "resume" | "abort" | "rollback", ..) => {
            let detail = "`all` goes with promote only, and `role` with approve only";
            return Err(Problem::bad_request(detail));
        }
        _ => {
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                "unknown-verb",
                "the verbs of a release are promote, pause, resume, approve, abort and rollback",
            ));
        }
    })
}
