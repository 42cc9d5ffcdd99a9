//! What requests consist of: bodies, and the actor and reason of a change. Errors become problem details.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::controller::Origin;

/// The actor of a request that names none.
const ANONYMOUS: &str = "api";

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

/// A text body.
pub(super) struct Text(pub(super) String);

/// An optional JSON body.
pub(super) struct OptionalBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let bytes = read(request, state).await?;
        parse(&headers, &bytes).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let bytes = read(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        parse(&headers, &bytes).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = read(request, state).await?;
        let text = String::from_utf8(bytes.into());
        text.map(Self).map_err(|error| Problem::bad_request(format!("the body: {error}")))
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| Problem::of_the_framework(rejection.status()))
}

fn parse<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    // A browser sends JSON to another origin only after a CORS preflight; a form it sends without one.
    if !is_one_of(headers, &["application/json"]) {
        let detail = "the body must be JSON: send `content-type: application/json`";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "not-json", detail));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::bad_request(format!("the body: {error}")))
}

/// Whether the body has one of these media types.
pub(super) fn is_one_of(headers: &HeaderMap, kinds: &[&str]) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kinds.iter().any(|it| kind.trim().eq_ignore_ascii_case(it)))
}

/// `actor` and `reason` of a request. Both are recorded in the journal; the controller limits their length.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    pub(super) actor: Option<String>,
    pub(super) reason: Option<String>,
}

impl Change {
    /// Rejects control characters: both are printed to terminals.
    pub(super) fn origin(self) -> Result<Origin, Problem> {
        let actor = self.actor.filter(|actor| !actor.is_empty());
        Ok(Origin {
            actor: printable("actor", actor)?.unwrap_or_else(|| ANONYMOUS.to_owned()),
            reason: printable("reason", self.reason)?,
        })
    }
}

fn printable(what: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.chars().any(char::is_control) => {
            Err(Problem::bad_request(format!("`{what}` contains control characters; remove them")))
        }
        text => Ok(text),
    }
}
