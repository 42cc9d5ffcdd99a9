//! `/services/{s}/versions/{v}/…` and `/services/{s}/signals`: what CI, scanners and teams say of
//! versions.

use axum::extract::{Path, State};
use axum::routing::{delete, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::Api;
use super::body::{Body, OptionalBody};
use super::origin::Given;
use super::problem::Problem;
use super::services::{find, name};
use tidegate_delivery::model::command::{Command, Outcome, Refusal};
use tidegate_delivery::model::signals::{Signal, SignalKind, SignalStatus};
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/services/{service}/versions/{version}/checks", post(check_version))
        .route("/services/{service}/versions/{version}/quarantine", delete(unquarantine))
        .route("/services/{service}/signals", post(signal))
        .route("/releases/{id}/checks", post(check_release))
}

/// What a check found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    name: String,
    passed: bool,
    /// Where more can be read.
    url: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
}

async fn check_version(
    State(api): State<Api>,
    Path((service, version)): Path<(String, String)>,
    Body(check): Body<Check>,
) -> Result<Json<Outcome>, Problem> {
    let service = find(&api.view(), &service)?.spec.name.clone();
    checked(api, service, name(&version)?, check).await
}

/// A release's checks are its candidate's.
async fn check_release(
    State(api): State<Api>,
    Path(id): Path<String>,
    Body(check): Body<Check>,
) -> Result<Json<Outcome>, Problem> {
    let known = id.parse::<ReleaseId>().ok();
    let view = api.view();
    let release = known.and_then(|id| view.state.release(&id));
    let release = release.filter(|release| release.is_running());
    let release = release.ok_or(Refusal::UnknownRelease(id))?;
    checked(api, release.service.clone(), release.candidate.clone(), check).await
}

async fn checked(
    api: Api,
    service: ServiceName,
    version: VersionName,
    check: Check,
) -> Result<Json<Outcome>, Problem> {
    let Check { name, passed, url, actor, reason } = check;
    let check = name.parse().map_err(Refusal::Name)?;
    let origin = Given { actor, reason }.origin()?;
    let command = Command::ReportCheck { service, version, check, passed, url };
    let outcome = api.backend.submit(command, origin).await?;
    Ok(Json(outcome))
}

/// What is said of a version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    kind: SignalKind,
    version: String,
    name: String,
    status: SignalStatus,
    actor: Option<String>,
    reason: Option<String>,
}

async fn signal(
    State(api): State<Api>,
    Path(service): Path<String>,
    Body(said): Body<Said>,
) -> Result<Json<Outcome>, Problem> {
    let service = find(&api.view(), &service)?.spec.name.clone();
    let Said { kind, version, name, status, actor, reason } = said;
    let version = self::name(&version)?;
    let signal = Signal { kind, version, name: name.parse().map_err(Refusal::Name)?, status };
    let origin = Given { actor, reason }.origin()?;
    let outcome = api.backend.submit(Command::Signal { service, signal }, origin).await?;
    Ok(Json(outcome))
}

async fn unquarantine(
    State(api): State<Api>,
    Path((service, version)): Path<(String, String)>,
    OptionalBody(given): OptionalBody<Given>,
) -> Result<Json<Outcome>, Problem> {
    let service = find(&api.view(), &service)?.spec.name.clone();
    let version = name(&version)?;
    let command = Command::Unquarantine { service, version };
    let outcome = api.backend.submit(command, given.origin()?).await?;
    Ok(Json(outcome))
}
