//! `/releases`: the newest release of each service, and its commands.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::explain::{self, Explanation};
use super::power;
use super::problem::Problem;
use super::request::{Change, OptionalBody};
use super::views::ReleaseView;
use super::{Answer, Api};
use crate::controller::DeliveryView;
use tidegate_delivery::model::command::{Command, Refusal, ReleaseCommand};
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::ReleaseId;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/releases/{id}", get(show))
        .route("/releases/{id}/explain", get(explain))
        .route("/releases/{id}/{verb}", post(submit))
}

async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<ReleaseView>, Problem> {
    let view = api.view();
    let (service, release) = find(&view, &id)?;
    let power = power::current(&api, &view, service, release).await;
    Ok(Json(ReleaseView { power, ..ReleaseView::of(release, &view) }))
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
    let mut after = view.seq.saturating_sub(explain::MAX_SEARCHED);
    // Records after the view are not part of the explanation.
    while after < view.seq {
        let left = usize::try_from(view.seq - after).unwrap_or(usize::MAX);
        let page = api.backend.events(after, left).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        records.extend(page);
    }
    let mut nodes = api.backend.nodes();
    nodes.retain(|node| api.backend.carries(&node.fleet, &service.spec.name));
    let power = power::current(&api, &view, service, release).await;
    let explanation = explain::explain(&view, service, release, &nodes, &records, power.as_ref());
    Ok(Json(explanation))
}

/// The body of a command of a release or a group.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerbBody {
    /// `promote`: go to 100 %.
    all: Option<bool>,
    /// `promote`: only if the release is on this step: 0 before the first, then counted from 1.
    from_step: Option<usize>,
    /// `approve`: the role; required.
    role: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
}

async fn submit(
    State(api): State<Api>,
    Path((id, verb)): Path<(String, String)>,
    OptionalBody(body): OptionalBody<VerbBody>,
) -> Answer {
    let (command, change) = body.command(&verb)?;
    // An id that does not parse belongs to no release.
    let id: ReleaseId = id.parse().map_err(|_| Refusal::UnknownRelease(id))?;
    api.answer(Command::Release(id, command), change).await
}

impl VerbBody {
    /// The command, with actor and reason.
    pub(super) fn command(self, verb: &str) -> Result<(ReleaseCommand, Change), Problem> {
        let Self { all, from_step, role, actor, reason } = self;
        let is_promote = verb == "promote";
        if !is_promote && (all.is_some() || from_step.is_some()) {
            return Err(Problem::bad_request("`all` and `from_step` are members of promote only"));
        }
        if verb != "approve" && role.is_some() {
            return Err(Problem::bad_request("`role` is a member of approve only"));
        }
        let command = match verb {
            "promote" => promote(all.unwrap_or(false), from_step)?,
            "approve" => {
                let role = role.ok_or_else(|| {
                    Problem::bad_request("`role` is required for approve: the role of the approval")
                })?;
                ReleaseCommand::Approve { role: role.parse().map_err(Refusal::Name)? }
            }
            "pause" => ReleaseCommand::Pause,
            "resume" => ReleaseCommand::Resume,
            "abort" => ReleaseCommand::Abort,
            "rollback" => ReleaseCommand::Rollback,
            _ => {
                return Err(Problem::new(
                    StatusCode::NOT_FOUND,
                    "unknown-verb",
                    "the commands of a release are promote, pause, resume, approve, abort and rollback",
                ));
            }
        };
        Ok((command, Change { actor, reason }))
    }
}

fn promote(all: bool, from_step: Option<usize>) -> Result<ReleaseCommand, Problem> {
    match from_step {
        Some(_) if all => Err(Problem::bad_request(
            "`all` and `from_step` exclude each other: a repeated `all` has no effect",
        )),
        Some(step) => Ok(ReleaseCommand::PromoteFrom { step }),
        None => Ok(ReleaseCommand::Promote { all }),
    }
}
