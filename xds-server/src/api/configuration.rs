//! `/config`: the applied configuration, the state of the server's file, and applying another one. See [`crate::reload`].

use std::collections::BTreeSet;
use std::path::PathBuf;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::Api;
use super::problem::Problem;
use super::request::{self, Change, Text};
use super::views::{ChangeView, DryRunView, OutcomeView};
use crate::config;
use crate::reload::{FileStatus, ReloadError};
use tidegate_delivery::model::change::Loss;
use tidegate_delivery::model::configuration::{Applied, Version, Withheld};
use tidegate_delivery::names::ServiceName;
use tidegate_delivery::units::{Timestamp, rfc3339};

/// Media types of a configuration. A browser sends none of them to another origin without a CORS preflight.
const MEDIA_TYPES: [&str; 4] =
    ["application/yaml", "application/x-yaml", "text/yaml", "application/json"];

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/config", get(show).put(apply))
}

/// The configuration of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// The one that was applied last.
    pub applied: Option<AppliedVersion>,
    /// The server's own file.
    pub file: File,
}

/// An applied configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedVersion {
    pub version: Version,
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// Its services that are not applied: each keeps its declaration from before.
    pub withheld: Vec<WithheldService>,
}

/// A service whose declaration is not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithheldService {
    pub service: ServiceName,
    /// Why.
    pub message: String,
}

impl From<Withheld> for WithheldService {
    fn from(withheld: Withheld) -> Self {
        Self { message: withheld.to_string(), service: withheld.service }
    }
}

/// The server's own file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub path: PathBuf,
    /// The error for which its current content is not applied.
    pub error: Option<FileError>,
}

/// A rejected content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileError {
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// All errors as text.
    pub message: String,
    /// The errors with their places.
    pub problems: Vec<FileProblem>,
    /// The changes that take away something that serves traffic, if they are the error.
    pub losses: Vec<ChangeView>,
    /// The command that applies the file with these losses.
    pub confirmation: Option<String>,
}

/// An error in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileProblem {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    pub message: String,
    /// The suggested fix.
    pub fix: String,
}

impl From<FileStatus> for File {
    fn from(FileStatus { path, failure }: FileStatus) -> Self {
        let error = failure.map(|it| FileError {
            since: it.since,
            confirmation: it.confirmation(&path),
            message: it.message,
            problems: it.problems.into_iter().map(FileProblem::from).collect(),
            losses: it.losses.into_iter().map(ChangeView::from).collect(),
        });
        Self { path, error }
    }
}

impl From<config::Problem> for FileProblem {
    fn from(config::Problem { span, fault }: config::Problem) -> Self {
        let config::Fault { message, fix } = fault;
        Self { line: span.line, column: span.column, message, fix }
    }
}

async fn show(State(api): State<Api>) -> Json<Configuration> {
    let applied = api.view().state.configuration.clone();
    let applied = applied.map(|Applied { version, at, withheld }| {
        let withheld = withheld.into_iter().map(WithheldService::from).collect();
        AppliedVersion { version, at, withheld }
    });
    Json(Configuration { applied, file: api.backend.file().into() })
}

#[derive(Debug, Default)]
struct ApplyQuery {
    dry_run: bool,
    /// What may be taken away; `allow=KIND:NAME`, repeated.
    allow: BTreeSet<Loss>,
    actor: Option<String>,
    reason: Option<String>,
}

impl ApplyQuery {
    fn parse(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut query = Self::default();
        for (key, value) in pairs {
            let invalid = |error: &dyn std::fmt::Display| {
                Problem::bad_request(format!("query parameter `{key}`: {error}"))
            };
            match key.as_str() {
                "dry_run" => query.dry_run = value.parse().map_err(|error| invalid(&error))?,
                "allow" => {
                    query.allow.insert(value.parse().map_err(|error| invalid(&error))?);
                }
                "actor" => query.actor = Some(value),
                "reason" => query.reason = Some(value),
                _ => return Err(invalid(&"unknown; known are dry_run, allow, actor and reason")),
            }
        }
        Ok(query)
    }
}

async fn apply(
    State(api): State<Api>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
    Text(text): Text,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    if !request::is_one_of(&headers, &MEDIA_TYPES) {
        let detail = "the body must be a configuration: send `content-type: application/yaml`, \
                      or `application/json`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-yaml", detail));
    }
    let ApplyQuery { dry_run, allow, actor, reason } = ApplyQuery::parse(query)?;
    let origin = Change { actor, reason }.origin()?;
    if dry_run {
        let tried = api.backend.try_out(text, allow, origin).await?;
        return Ok(Json(DryRunView::from(tried)).into_response());
    }
    let outcome = api.backend.apply(text, allow, origin).await?;
    Ok(Json(OutcomeView::from(outcome)).into_response())
}

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Self {
        let (status, kind) = match error {
            ReloadError::Command(error) => return error.into(),
            ReloadError::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid-configuration"),
            ReloadError::NeedsRestart(_) => (StatusCode::CONFLICT, "needs-restart"),
            ReloadError::PreviewKey(_) => (StatusCode::SERVICE_UNAVAILABLE, "preview-key"),
            ReloadError::TokenKeys(_) => (StatusCode::SERVICE_UNAVAILABLE, "token-keys"),
            ReloadError::Stopping(_) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        };
        Self::new(status, kind, error.to_string())
    }
}
