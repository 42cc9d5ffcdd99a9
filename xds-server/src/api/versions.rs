//! `/services/{s}/versions/{v}/…` and `/services/{s}/signals`: check results, signals and quarantine of versions,
//! and whether flags may select them.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{delete, post};
use serde::Deserialize;

use super::problem::Problem;
use super::request::{Body, Change, OptionalBody};
use super::services::{find, name};
use super::{Answer, Api};
use tidegate_delivery::model::command::{Command, Refusal};
use tidegate_delivery::model::signals::{Signal, SignalKind, SignalStatus};
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/services/{service}/versions/{version}/checks", post(check_version))
        .route("/services/{service}/versions/{version}/quarantine", delete(unquarantine))
        .route("/services/{service}/versions/{version}/allow-flags", post(allow_flags))
        .route("/services/{service}/signals", post(signal))
        .route("/releases/{id}/checks", post(check_release))
}

/// A check result.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    name: String,
    passed: bool,
    /// A link to the details.
    url: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
}

async fn check_version(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
    Body(check): Body<Check>,
) -> Answer {
    let (service, version) = of_path(&api, path)?;
    report(&api, service, version, check).await
}

/// Reports for the candidate of a running release.
async fn check_release(
    State(api): State<Api>,
    Path(id): Path<String>,
    Body(check): Body<Check>,
) -> Answer {
    let known = id.parse::<ReleaseId>().ok();
    let view = api.view();
    let release = known.and_then(|id| view.state.release(&id));
    let release = release.filter(|release| release.is_running());
    let release = release.ok_or(Refusal::UnknownRelease(id))?;
    report(&api, release.service.clone(), release.candidate.clone(), check).await
}

async fn report(api: &Api, service: ServiceName, version: VersionName, check: Check) -> Answer {
    let Check { name, passed, url, actor, reason } = check;
    let check = name.parse().map_err(Refusal::Name)?;
    let command = Command::ReportCheck { service, version, check, passed, url };
    api.answer(command, Change { actor, reason }).await
}

/// A signal for a version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSignal {
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
    Body(body): Body<NewSignal>,
) -> Answer {
    let service = find(&api.view(), &service)?.spec.name.clone();
    let NewSignal { kind, version, name, status, actor, reason } = body;
    let version = self::name(&version)?;
    let signal = Signal { kind, version, name: name.parse().map_err(Refusal::Name)?, status };
    api.answer(Command::Signal { service, signal }, Change { actor, reason }).await
}

async fn unquarantine(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
    OptionalBody(change): OptionalBody<Change>,
) -> Answer {
    let (service, version) = of_path(&api, path)?;
    api.answer(Command::Unquarantine { service, version }, change).await
}

async fn allow_flags(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
    OptionalBody(change): OptionalBody<Change>,
) -> Answer {
    let (service, version) = of_path(&api, path)?;
    api.answer(Command::AllowFlags { service, version }, change).await
}

/// A known service and the name of a version, which the service need not have.
fn of_path(
    api: &Api,
    (service, version): (String, String),
) -> Result<(ServiceName, VersionName), Problem> {
    let service = find(&api.view(), &service)?.spec.name.clone();
    Ok((service, name(&version)?))
}
