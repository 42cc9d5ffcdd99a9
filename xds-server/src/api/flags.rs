//! `/flags`: feature flags in flagd's format. The `ETag` of a flag and of the list is the revision of all flags; a change with
//! `If-Match` is rejected if they changed since.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use super::problem::Problem;
use super::request::{Body, Change};
use super::{Answer, Api};
use crate::flags;
use tidegate_delivery::model::command::{Command, Refusal};
use tidegate_delivery::model::flag::FlagChange;
use tidegate_delivery::model::state;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/flags", get(list).put(replace).patch(merge))
        .route("/flags/{key}", get(show).put(set).delete(remove))
        .route("/flags/{key}/evaluate", post(evaluate))
        .route("/flags/{key}/enable", post(enable))
        .route("/flags/{key}/disable", post(disable))
}

type ChangeQuery = Result<Query<Change>, QueryRejection>;
/// A document with the revision of the flags.
type Revised = ([(HeaderName, String); 1], Json<Value>);

/// `If-Match`: the revision that the flags must have.
struct IfMatch(Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(header::IF_MATCH).iter();
        let (value, further) = (values.next(), values.next());
        let Some(value) = value else {
            return Ok(Self(None));
        };
        let text = value.to_str().ok().filter(|_| further.is_none());
        let tag = text.and_then(|it| it.trim().strip_prefix('"')?.strip_suffix('"'));
        match tag.and_then(|it| it.parse().ok()) {
            Some(revision) => Ok(Self(Some(revision))),
            None => Err(Problem::bad_request(
                "`if-match` must be one ETag of GET /api/v1/flags, as in `\"7\"`",
            )),
        }
    }
}

async fn list(State(api): State<Api>) -> Revised {
    let state = &api.view().state;
    revised(state, flags::document(state))
}

async fn replace(
    State(api): State<Api>,
    change: ChangeQuery,
    condition: IfMatch,
    Body(document): Body<Value>,
) -> Answer {
    submit(&api, FlagChange::Replace(document), condition, change).await
}

/// Sets the flags of the document, all or none; other flags stay.
async fn merge(
    State(api): State<Api>,
    change: ChangeQuery,
    condition: IfMatch,
    Body(document): Body<Value>,
) -> Answer {
    submit(&api, FlagChange::Merge(document), condition, change).await
}

async fn show(State(api): State<Api>, Path(key): Path<String>) -> Result<Revised, Problem> {
    let state = &api.view().state;
    let flag = state.flags.get(&key).cloned();
    Ok(revised(state, flag.ok_or(Refusal::UnknownFlag(key))?))
}

async fn set(
    State(api): State<Api>,
    Path(key): Path<String>,
    change: ChangeQuery,
    condition: IfMatch,
    Body(definition): Body<Value>,
) -> Answer {
    submit(&api, FlagChange::Set { key, definition }, condition, change).await
}

async fn enable(
    State(api): State<Api>,
    Path(key): Path<String>,
    change: ChangeQuery,
    condition: IfMatch,
) -> Answer {
    submit(&api, FlagChange::Switch { key, enabled: true }, condition, change).await
}

async fn disable(
    State(api): State<Api>,
    Path(key): Path<String>,
    change: ChangeQuery,
    condition: IfMatch,
) -> Answer {
    submit(&api, FlagChange::Switch { key, enabled: false }, condition, change).await
}

async fn remove(
    State(api): State<Api>,
    Path(key): Path<String>,
    change: ChangeQuery,
    condition: IfMatch,
) -> Answer {
    submit(&api, FlagChange::Delete { key }, condition, change).await
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
    let answer = answer
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "bad-flag", error.to_string()))?;
    answer.map(Json).ok_or_else(|| Refusal::UnknownFlag(key).into())
}

async fn submit(
    api: &Api,
    flags: FlagChange,
    IfMatch(if_revision): IfMatch,
    change: ChangeQuery,
) -> Answer {
    let Query(change) = change.map_err(|error| Problem::bad_request(error.body_text()))?;
    let command = Command::ChangeFlags { change: flags, if_revision };
    api.answer(command, change).await
}

fn revised(state: &state::State, document: Value) -> Revised {
    let tag = format!("\"{}\"", state.flag_revision);
    ([(header::ETAG, tag)], Json(document))
}
