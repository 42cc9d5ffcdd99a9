//! `/flags`: feature flags in flagd's own format. Whatever does not compile is refused here,
//! before it reaches the journal or a sidecar.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use tidegate_core::flags::{FlagError, FlagSet};

use super::Api;
use super::body::Body;
use super::origin::Given;
use super::problem::Problem;
use crate::controller::DeliveryView;
use crate::flags;
use tidegate_delivery::model::command::{Command, Outcome, Refusal};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/flags", get(list).put(replace))
        .route("/flags/{key}", get(show).put(set).delete(remove))
        .route("/flags/{key}/evaluate", post(evaluate))
        .route("/flags/{key}/enable", post(enable))
        .route("/flags/{key}/disable", post(disable))
}

type Origin = Result<Query<Given>, QueryRejection>;

async fn list(State(api): State<Api>) -> Json<Value> {
    Json(flags::document(&api.view().state))
}

async fn replace(
    State(api): State<Api>,
    origin: Origin,
    Body(document): Body<Value>,
) -> Result<Json<Outcome>, Problem> {
    let flags = flags::check(&document).map_err(does_not_compile)?;
    lead_somewhere(&flags, &api.view())?;
    submit(&api, Command::ReplaceFlags(document), origin).await
}

async fn show(State(api): State<Api>, Path(key): Path<String>) -> Result<Json<Value>, Problem> {
    find(&api.view(), &key).map(Json)
}

async fn set(
    State(api): State<Api>,
    Path(key): Path<String>,
    origin: Origin,
    Body(definition): Body<Value>,
) -> Result<Json<Outcome>, Problem> {
    put(&api, key, definition, origin).await
}

async fn enable(
    State(api): State<Api>,
    Path(key): Path<String>,
    origin: Origin,
) -> Result<Json<Outcome>, Problem> {
    let definition = flags::switched(find(&api.view(), &key)?, true);
    put(&api, key, definition, origin).await
}

async fn disable(
    State(api): State<Api>,
    Path(key): Path<String>,
    origin: Origin,
) -> Result<Json<Outcome>, Problem> {
    let definition = flags::switched(find(&api.view(), &key)?, false);
    put(&api, key, definition, origin).await
}

async fn remove(
    State(api): State<Api>,
    Path(key): Path<String>,
    origin: Origin,
) -> Result<Json<Outcome>, Problem> {
    submit(&api, Command::DeleteFlag { key }, origin).await
}

/// Whom a flag is evaluated for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    #[serde(default)]
    context: serde_json::Map<String, Value>,
}

async fn evaluate(
    State(api): State<Api>,
    Path(key): Path<String>,
    Body(question): Body<Question>,
) -> Result<Json<Value>, Problem> {
    let context = Value::Object(question.context);
    let now = api.backend.now();
    let answer = flags::evaluate(&api.view().state, &key, &context, now);
    let answer = answer.map_err(does_not_compile)?;
    answer.map(Json).ok_or_else(|| Refusal::UnknownFlag(key).into())
}

async fn put(
    api: &Api,
    key: String,
    definition: Value,
    origin: Origin,
) -> Result<Json<Outcome>, Problem> {
    let view = api.view();
    let flags = flags::check_with(&view.state, &key, definition.clone());
    lead_somewhere(&flags.map_err(does_not_compile)?, &view)?;
    submit(api, Command::SetFlag { key, definition }, origin).await
}

async fn submit(api: &Api, command: Command, origin: Origin) -> Result<Json<Outcome>, Problem> {
    let Query(given) = origin.map_err(|error| Problem::bad_request(error.body_text()))?;
    let outcome = api.backend.submit(command, given.origin()?).await?;
    Ok(Json(outcome))
}

fn find(view: &DeliveryView, key: &str) -> Result<Value, Problem> {
    let flag = view.state.flags.get(key).cloned();
    flag.ok_or_else(|| Refusal::UnknownFlag(key.to_owned()).into())
}

fn does_not_compile(error: FlagError) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-flag", error.to_string())
}

/// A routing flag for a service that is not there is a mistake, not a plan for later.
fn lead_somewhere(flags: &FlagSet, view: &DeliveryView) -> Result<(), Problem> {
    let lost =
        flags::routing(flags).find(|(_, service)| !view.state.services.contains_key(*service));
    lost.map_or(Ok(()), |(key, service)| {
        let detail = format!("flag `{key}` routes service `{service}`, which is not there");
        Err(Problem::new(StatusCode::BAD_REQUEST, "bad-flag", detail))
    })
}
