//! `/groups`: releases of several services that go together.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::Api;
use super::body::{Body, OptionalBody};
use super::origin::Given;
use super::problem::Problem;
use super::releases::Details;
use super::services::{self, commit, name, plan};
use super::views::ReleaseView;
use crate::controller::DeliveryView;
use tidegate_delivery::model::command::{Command, Outcome, Refusal};
use tidegate_delivery::model::group::{Group, MAX_MEMBERS, Member};
use tidegate_delivery::names::{GroupName, NameError};
use tidegate_delivery::units::Timestamp;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/groups", get(list).post(start))
        .route("/groups/{id}", get(show))
        .route("/groups/{id}/{verb}", post(ask))
}

/// A release group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupView {
    /// Its name.
    pub id: GroupName,
    /// The release of each service, in the order in which they were named.
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
            "there is no such group, or one of its services has had another release since; \
             /api/v1/events lists older ones",
        )
    })?;
    Ok(Json(GroupView::of(&id, group, &view)))
}

/// A group to be started.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    name: String,
    members: Vec<NewMember>,
    /// Instead of each service's own plan, in the grammar of `strategy` in the configuration.
    plan: Option<serde_json::Value>,
    actor: Option<String>,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMember {
    service: String,
    version: String,
    /// The id of the commit that it brings to production.
    commit: Option<String>,
    /// When that was committed, in milliseconds since the Unix epoch.
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
    let origin = Given { actor: body.actor, reason: body.reason };
    let command = Command::StartGroup { group: id.clone(), members, plan };
    let outcome = api.backend.submit(command, origin.origin()?).await?;
    let headers = [(header::LOCATION, format!("/api/v1/groups/{id}"))];
    Ok((services::begun(&outcome), headers, Json(outcome)).into_response())
}

async fn ask(
    State(api): State<Api>,
    Path((id, verb)): Path<(String, String)>,
    OptionalBody(details): OptionalBody<Details>,
) -> Result<Json<Outcome>, Problem> {
    let (command, origin) = details.asks(&verb)?;
    let command = Command::Group(group(&id)?, command);
    let outcome = api.backend.submit(command, origin.origin()?).await?;
    Ok(Json(outcome))
}

fn group(name: &str) -> Result<GroupName, Problem> {
    name.parse().map_err(|error: NameError| Refusal::from(error).into())
}
