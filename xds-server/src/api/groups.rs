//! `/groups`: release groups.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::releases::VerbBody;
use super::request::{Body, Change, OptionalBody};
use super::services::{self, commit, name, plan};
use super::views::{OutcomeView, ReleaseView};
use super::{Answer, Api};
use crate::controller::DeliveryView;
use tidegate_delivery::model::command::{Command, Refusal};
use tidegate_delivery::model::group::{Group, MAX_MEMBERS, Member};
use tidegate_delivery::names::{GroupName, NameError};
use tidegate_delivery::units::{Timestamp, rfc3339};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/groups", get(list).post(start))
        .route("/groups/{id}", get(show))
        .route("/groups/{id}/{verb}", post(submit))
}

/// A release group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupView {
    pub id: GroupName,
    /// The release of each service, in the order of the start command.
    pub members: Vec<ReleaseView>,
}

impl GroupView {
    fn of(id: &GroupName, group: &Group, view: &DeliveryView) -> Self {
        let members = view.state.members(group);
        let members = members.map(|(_, release)| ReleaseView::of(release, view)).collect();
        Self { id: id.clone(), members }
    }
}

async fn list(State(api): State<Api>) -> Json<Vec<GroupView>> {
    let view = api.view();
    let groups = view.state.groups.iter();
    Json(groups.map(|(id, group)| GroupView::of(id, group, &view)).collect())
}

async fn show(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<GroupView>, Problem> {
    let (view, id) = (api.view(), group(&id)?);
    let group = view.state.groups.get(&id).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "unknown-group",
            "the group does not exist, or one of its services has had a later release; \
             /api/v1/events lists older ones",
        )
    })?;
    Ok(Json(GroupView::of(&id, group, &view)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    name: String,
    members: Vec<NewMember>,
    /// Replaces the plan of each service; in the format of `strategy` in the configuration.
    plan: Option<serde_json::Value>,
    actor: Option<String>,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMember {
    service: String,
    version: String,
    /// The commit that the version was built from.
    commit: Option<String>,
    /// The time of that commit.
    #[serde(default, with = "rfc3339::option")]
    committed_at: Option<Timestamp>,
}

async fn start(State(api): State<Api>, Body(body): Body<NewGroup>) -> Result<Response, Problem> {
    let id = group(&body.name)?;
    if body.members.len() > MAX_MEMBERS {
        let detail = format!("`members` may name at most {MAX_MEMBERS} services");
        return Err(Problem::bad_request(detail));
    }
    let view = api.view();
    let members = body.members.into_iter().map(|it| {
        let service = services::find(&view, &it.service)?.spec.name.clone();
        let commit = commit(it.commit, it.committed_at);
        Ok(Member { service, version: name(&it.version)?, commit })
    });
    let members = members.collect::<Result<_, Problem>>()?;
    let plan = plan(body.plan.as_ref())?;
    let change = Change { actor: body.actor, reason: body.reason };
    let command = Command::StartGroup { group: id.clone(), members, plan };
    let outcome = api.submit(command, change).await?;
    let headers = [(header::LOCATION, format!("/api/v1/groups/{id}"))];
    let status = services::created(&outcome);
    Ok((status, headers, Json(OutcomeView::from(outcome))).into_response())
}

async fn submit(
    State(api): State<Api>,
    Path((id, verb)): Path<(String, String)>,
    OptionalBody(body): OptionalBody<VerbBody>,
) -> Answer {
    let (command, change) = body.command(&verb)?;
    api.answer(Command::Group(group(&id)?, command), change).await
}

fn group(name: &str) -> Result<GroupName, Problem> {
    name.parse().map_err(|error: NameError| Refusal::from(error).into())
}
