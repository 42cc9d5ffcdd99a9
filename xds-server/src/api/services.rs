//! `/services`: services, deployment and removal of versions, start and rollback of releases.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;

use super::power;
use super::problem::Problem;
use super::request::{Body, Change, OptionalBody};
use super::views::{OutcomeView, Service};
use super::{Answer, Api};
use crate::config;
use crate::controller::{DeliveryView, Origin};
use tidegate_delivery::model::catalogue::{Environment, VersionSpec};
use tidegate_delivery::model::command::{
    Command, CommandContext, Outcome, Refusal, ReleaseCommand,
};
use tidegate_delivery::model::commit::Commit;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::plan::Plan;
use tidegate_delivery::model::refusal::Known;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::{NameError, ReleaseId, VersionName};
use tidegate_delivery::reducer::decide_command;
use tidegate_delivery::units::{Timestamp, rfc3339};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/services", get(list))
        .route("/services/{service}", get(show))
        .route("/services/{service}/versions/{version}", put(register).delete(remove))
        .route("/services/{service}/releases", post(start))
        .route("/services/{service}/rollback", post(rollback))
}

async fn list(State(api): State<Api>) -> Json<Vec<Service>> {
    let view = api.view();
    let services = view.state.services.values();
    Json(services.map(|service| Service::of(api.backend.as_ref(), &view, service)).collect())
}

async fn show(
    State(api): State<Api>,
    Path(service): Path<String>,
) -> Result<Json<Service>, Problem> {
    let view = api.view();
    let service = find(&view, &service)?;
    let mut shown = Service::of(api.backend.as_ref(), &view, service);
    if let (Some(shown), Some(release)) = (&mut shown.release, &service.release) {
        shown.power = power::current(&api, &view, service, release).await;
    }
    Ok(Json(shown))
}

/// A deployed version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deployment {
    /// `host:port` of each instance; optional if Istio has them.
    #[serde(default)]
    endpoints: Vec<String>,
    /// The target in Istio, in the format of `istio` of a version in the configuration.
    istio: Option<serde_json::Value>,
    environment: Option<Environment>,
    /// The commit that the version was built from.
    commit: Option<String>,
    /// The time of that commit.
    #[serde(default, with = "rfc3339::option")]
    committed_at: Option<Timestamp>,
    actor: Option<String>,
    reason: Option<String>,
}

async fn register(
    State(api): State<Api>,
    Path((service, version)): Path<(String, String)>,
    Body(body): Body<Deployment>,
) -> Answer {
    let service_spec = find(&api.view(), &service)?.spec.clone();
    let (service, version) = (service_spec.name, name(&version)?);
    let in_istio = service_spec.istio.is_some();
    if body.endpoints.is_empty() && !in_istio {
        return Err(Problem::bad_request(
            "`endpoints` is empty; name at least one host:port that serves the version",
        ));
    }
    let endpoints = body.endpoints.iter().map(|text| config::endpoint(text));
    let endpoints = endpoints
        .collect::<Result<Vec<_>, _>>()
        .map_err(|fault| Problem::bad_request(fault.to_string()))?;
    let commit = commit(body.commit, body.committed_at);
    let change = Change { actor: body.actor, reason: body.reason };
    let istio = body.istio.map(|target| config::istio_target(version.as_str(), &target));
    let istio = istio.transpose().map_err(|problems| faults("`istio`", &problems))?;
    let spec = VersionSpec { endpoints, istio, environment: body.environment, commit };
    api.answer(Command::RegisterVersion { service, version, spec }, change).await
}

async fn remove(
    State(api): State<Api>,
    Path((service, version)): Path<(String, String)>,
    OptionalBody(change): OptionalBody<Change>,
) -> Result<Json<Outcome>, Problem> {
    let service = find(&api.view(), &service)?.spec.name.clone();
    let version = name(&version)?;
    let command = Command::RemoveVersion { service, version };
    let outcome = api.backend.submit(command, change.origin()?).await?;
    Ok(Json(outcome))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRelease {
    version: String,
    /// Replaces the plan of the service; in the format of `strategy` in the configuration.
    plan: Option<serde_json::Value>,
    /// The commit that the version was built from.
    commit: Option<String>,
    /// The time of that commit.
    #[serde(default, with = "rfc3339::option")]
    committed_at: Option<Timestamp>,
    actor: Option<String>,
    reason: Option<String>,
}

/// Parameters of the start of a release.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StartOptions {
    /// Nothing is started: the answer is what the release could show.
    #[serde(default)]
    preview: bool,
}

async fn start(
    State(api): State<Api>,
    Path(service): Path<String>,
    options: Result<Query<StartOptions>, QueryRejection>,
    Body(body): Body<NewRelease>,
) -> Result<Response, Problem> {
    let Query(options) = options.map_err(|error| Problem::bad_request(error.body_text()))?;
    let view = api.view();
    let state = find(&view, &service)?;
    let service = state.spec.name.clone();
    let version = name(&body.version)?;
    let plan = plan(body.plan.as_ref())?;
    if options.preview {
        let change = Change { actor: body.actor, reason: body.reason };
        return preview(&api, &view, state, version, plan, change).await;
    }
    let commit = commit(body.commit, body.committed_at);
    let change = Change { actor: body.actor, reason: body.reason };
    let command = Command::StartRelease { service, version, plan, commit };
    let outcome = api.submit(command, change).await?;
    let location = match &outcome.release {
        Some(id) => format!("/api/v1/releases/{id}"),
        None => "/api/v1/services".to_owned(),
    };
    let headers = [(header::LOCATION, location)];
    Ok((created(&outcome), headers, Json(OutcomeView::from(outcome))).into_response())
}

/// Decides as if the release were started, and answers with what it could show.
async fn preview(
    api: &Api,
    view: &DeliveryView,
    service: &ServiceState,
    version: VersionName,
    plan: Option<Plan>,
    change: Change,
) -> Result<Response, Problem> {
    let now = api.backend.now();
    let Origin { actor, reason } = change.origin()?;
    let context = CommandContext { actor: &actor, reason: reason.as_deref(), at: now, wall: now };
    let name = service.spec.name.clone();
    let command =
        Command::StartRelease { service: name, version: version.clone(), plan, commit: None };
    let (events, _) = decide_command(&view.state, &context, &command)?;
    let started = events.into_iter().find_map(|event| match event {
        Event::ReleaseStarted { plan, .. } => Some(plan),
        _ => None,
    });
    let plan = started.unwrap_or_else(|| service.spec.plan.clone());
    Ok(Json(power::preview(api, service, version, plan).await?).into_response())
}

/// The rollback of a service.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollback {
    /// The release to roll back: the newest one, or the one that completed last. Absent: the newest.
    release: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
}

async fn rollback(
    State(api): State<Api>,
    Path(service): Path<String>,
    OptionalBody(body): OptionalBody<Rollback>,
) -> Answer {
    let view = api.view();
    let service = find(&view, &service)?;
    let name = &service.spec.name;
    let id: ReleaseId = match body.release {
        Some(id) => id.parse().map_err(|_| Refusal::UnknownRelease(id))?,
        None => service.release.as_ref().map(|it| it.id.clone()).ok_or_else(|| {
            let detail = format!(
                "service `{name}` has no release; start one: tidegate release start {name} VERSION"
            );
            Problem::new(StatusCode::CONFLICT, "no-release", detail)
        })?,
    };
    if id.service() != name.as_str() {
        let detail = format!("`{id}` is not a release of `{name}`; its releases are `{name}.N`");
        return Err(Problem::bad_request(detail));
    }
    let change = Change { actor: body.actor, reason: body.reason };
    api.answer(Command::Release(id, ReleaseCommand::Rollback), change).await
}

/// 201 if something was started, 200 if it was running already.
pub(super) const fn created(outcome: &Outcome) -> StatusCode {
    if outcome.changed { StatusCode::CREATED } else { StatusCode::OK }
}

/// The plan in a request.
pub(super) fn plan(given: Option<&serde_json::Value>) -> Result<Option<Plan>, Problem> {
    given.map(config::plan).transpose().map_err(|problems| faults("the plan", &problems))
}

fn faults(what: &str, problems: &[config::Problem]) -> Problem {
    let faults: Vec<String> = problems.iter().map(|it| it.fault.to_string()).collect();
    Problem::bad_request(format!("{what}: {}", faults.join(". ")))
}

/// The commit in a request.
pub(super) fn commit(id: Option<String>, at: Option<Timestamp>) -> Option<Commit> {
    (id.is_some() || at.is_some()).then_some(Commit { id, at })
}

pub(super) fn find<'a>(view: &'a DeliveryView, service: &str) -> Result<&'a ServiceState, Problem> {
    view.state.services.get(service).map(|it| &**it).ok_or_else(|| {
        let known = Known::of(view.state.services.keys());
        let service = service.chars().take(tidegate_delivery::names::MAX_SERVICE_LEN).collect();
        Refusal::UnknownService { service, known }.into()
    })
}

pub(super) fn name(version: &str) -> Result<VersionName, Problem> {
    version.parse().map_err(|error: NameError| Refusal::from(error).into())
}
