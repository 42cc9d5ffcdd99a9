//! `/flags`: feature flags in flagd's format. A flag that does not compile, or that routes to an unknown service or
//! version, is rejected before it reaches the journal or a sidecar.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use tidegate_core::flags::FlagError;

use super::Api;
use super::problem::Problem;
use super::request::{Body, Change};
use crate::controller::DeliveryView;
use crate::flags;
use tidegate_delivery::model::command::{Command, Outcome, Refusal};
use tidegate_delivery::names::{ServiceName, VersionName};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/flags", get(list).put(replace).patch(merge))
        .route("/flags/{key}", get(show).put(set).delete(remove))
        .route("/flags/{key}/evaluate", post(evaluate))
        .route("/flags/{key}/enable", post(enable))
        .route("/flags/{key}/disable", post(disable))
}

type ChangeQuery = Result<Query<Change>, QueryRejection>;

async fn list(State(api): State<Api>) -> Json<Value> {
    Json(flags::document(&api.view().state))
}

async fn replace(
    State(api): State<Api>,
    change: ChangeQuery,
    Body(document): Body<Value>,
) -> Result<Json<Outcome>, Problem> {
    flags::check(&document).map_err(bad_flag)?;
    check_routes(members(&document), &api.view())?;
    submit(&api, Command::ReplaceFlags(document), change).await
}

/// Sets the flags of the document, all or none; other flags stay.
async fn merge(
    State(api): State<Api>,
    change: ChangeQuery,
    Body(document): Body<Value>,
) -> Result<Json<Outcome>, Problem> {
    let view = api.view();
    let mut merged = flags::document(&view.state);
    if let Some(flags) = merged.get_mut("flags").and_then(Value::as_object_mut) {
        flags.extend(members(&document).map(|(key, flag)| (key.clone(), flag.clone())));
    }
    flags::check(&merged).map_err(bad_flag)?;
    check_routes(members(&document), &view)?;
    submit(&api, Command::MergeFlags(document), change).await
}

async fn show(State(api): State<Api>, Path(key): Path<String>) -> Result<Json<Value>, Problem> {
    find(&api.view(), &key).map(Json)
}

async fn set(
    State(api): State<Api>,
    Path(key): Path<String>,
    change: ChangeQuery,
    Body(definition): Body<Value>,
) -> Result<Json<Outcome>, Problem> {
    put(&api, key, definition, change).await
}

async fn enable(
    State(api): State<Api>,
    Path(key): Path<String>,
    change: ChangeQuery,
) -> Result<Json<Outcome>, Problem> {
    switch(&api, key, true, change).await
}

async fn disable(
    State(api): State<Api>,
    Path(key): Path<String>,
    change: ChangeQuery,
) -> Result<Json<Outcome>, Problem> {
    switch(&api, key, false, change).await
}

async fn remove(
    State(api): State<Api>,
    Path(key): Path<String>,
    change: ChangeQuery,
) -> Result<Json<Outcome>, Problem> {
    submit(&api, Command::DeleteFlag { key }, change).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Evaluation {
    #[serde(default)]
    context: serde_json::Map<String, Value>,
}

async fn evaluate(
    State(api): State<Api>,
    Path(key): Path<String>,
    Body(evaluation): Body<Evaluation>,
) -> Result<Json<Value>, Problem> {
    let context = Value::Object(evaluation.context);
    let now = api.backend.now();
    let answer = flags::evaluate(&api.view().state, &key, &context, now);
    let answer = answer.map_err(bad_flag)?;
    answer.map(Json).ok_or_else(|| Refusal::UnknownFlag(key).into())
}

async fn put(
    api: &Api,
    key: String,
    definition: Value,
    change: ChangeQuery,
) -> Result<Json<Outcome>, Problem> {
    let view = api.view();
    flags::check_with(&view.state, &key, definition.clone()).map_err(bad_flag)?;
    check_routes([(&key, &definition)], &view)?;
    submit(api, Command::SetFlag { key, definition }, change).await
}

/// Does not check the routes: a flag whose version was removed can still be disabled.
async fn switch(
    api: &Api,
    key: String,
    on: bool,
    change: ChangeQuery,
) -> Result<Json<Outcome>, Problem> {
    let definition = flags::switched(find(&api.view(), &key)?, on);
    submit(api, Command::SetFlag { key, definition }, change).await
}

async fn submit(
    api: &Api,
    command: Command,
    change: ChangeQuery,
) -> Result<Json<Outcome>, Problem> {
    let Query(change) = change.map_err(|error| Problem::bad_request(error.body_text()))?;
    let outcome = api.backend.submit(command, change.origin()?).await?;
    Ok(Json(outcome))
}

fn find(view: &DeliveryView, key: &str) -> Result<Value, Problem> {
    let flag = view.state.flags.get(key).cloned();
    flag.ok_or_else(|| Refusal::UnknownFlag(key.to_owned()).into())
}

fn bad_flag(error: FlagError) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-flag", error.to_string())
}

/// The flags of a document.
fn members(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    document.get("flags").and_then(Value::as_object).into_iter().flatten()
}

/// Rejects a changed flag that routes to an unknown service, or with a variant that is not a version of its service.
/// An empty variant, or null, selects no version.
fn check_routes<'a>(
    flags: impl IntoIterator<Item = (&'a String, &'a Value)>,
    view: &DeliveryView,
) -> Result<(), Problem> {
    let bad = |detail| Err(Problem::new(StatusCode::BAD_REQUEST, "bad-flag", detail));
    let changed = flags.into_iter().filter(|(key, flag)| view.state.flags.get(*key) != Some(*flag));
    for (key, flag) in changed {
        let Some(name) = flag.pointer("/metadata/service").and_then(Value::as_str) else {
            continue;
        };
        let Some(service) = view.state.services.get(name) else {
            let known: Vec<_> = view.state.services.keys().map(ServiceName::as_str).collect();
            let known = known.join(", ");
            return bad(format!(
                "flag `{key}` routes service `{name}`, which is not declared; the services are {known}"
            ));
        };
        let versions = &service.spec.versions;
        let variants = flag.get("variants").and_then(Value::as_object).into_iter().flatten();
        for (variant, version) in variants {
            let is_version =
                version.as_str().is_some_and(|it| it.is_empty() || versions.contains_key(it));
            if is_version || version.is_null() {
                continue;
            }
            let known: Vec<_> = versions.keys().map(VersionName::as_str).collect();
            let known = known.join(", ");
            return bad(format!(
                "flag `{key}`: variant `{variant}` is {version}, which is not a version of `{name}`; write one of \
                 {known}, or \"\" for no version, or register the version first: \
                 PUT /api/v1/services/{name}/versions/VERSION"
            ));
        }
    }
    Ok(())
}
