//! `/config`: which configuration counts, how the server's file fares, and another one instead,
//! see [`crate::reload`].

use std::path::PathBuf;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::Api;
use super::body::{self, Text};
use super::origin::Given;
use super::problem::Problem;
use crate::config;
use crate::reload::{FileStatus, ReloadError};
use tidegate_delivery::model::command::Outcome;
use tidegate_delivery::model::configuration::Applied;
use tidegate_delivery::units::Timestamp;

/// What a configuration may be sent as. None of these can a browser send across sites unasked.
const KINDS: [&str; 4] =
    ["application/yaml", "application/x-yaml", "text/yaml", "application/json"];

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/config", get(show).put(apply))
}

/// Which configuration counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// The one that was applied last.
    pub applied: Option<Applied>,
    /// The server's own file.
    pub file: File,
}

/// How the server's own file fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Why the current content of the file is not applied, if it is not.
    pub trouble: Option<Trouble>,
}

/// Why the file was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// All of it, in words.
    pub message: String,
    /// The errors of the file with their places.
    pub problems: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub way_out: String,
}

impl From<FileStatus> for File {
    fn from(FileStatus { path, failure }: FileStatus) -> Self {
        let trouble = failure.map(|it| Trouble {
            since: it.since,
            message: it.message,
            problems: it.problems.into_iter().map(Fault::from).collect(),
        });
        Self { path, trouble }
    }
}

impl From<config::Problem> for Fault {
    fn from(config::Problem { span, fault }: config::Problem) -> Self {
        let config::Fault { message, fix } = fault;
        Self { line: span.line, column: span.column, what: message, way_out: fix }
    }
}

async fn show(State(api): State<Api>) -> Json<Configuration> {
    let applied = api.view().state.configuration.clone();
    Json(Configuration { applied, file: api.backend.file().into() })
}

/// Actor, reason and dry run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    #[serde(default)]
    dry_run: bool,
    actor: Option<String>,
    reason: Option<String>,
}

async fn apply(
    State(api): State<Api>,
    sent: Result<Query<Sent>, QueryRejection>,
    headers: HeaderMap,
    Text(text): Text,
) -> Result<Json<Outcome>, Problem> {
    let Query(sent) = sent.map_err(|error| Problem::bad_request(error.body_text()))?;
    if !body::is_one_of(&headers, &KINDS) {
        let detail = "the body must be a configuration: send `content-type: application/yaml`, \
                      or `application/json`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-yaml", detail));
    }
    let Sent { dry_run, actor, reason } = sent;
    let origin = Given { actor, reason }.origin()?;
    let outcome = if dry_run {
        api.backend.try_out(text, origin).await?
    } else {
        api.backend.apply(text, origin).await?
    };
    Ok(Json(outcome))
}

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Self {
        let (status, kind) = match error {
            ReloadError::Command(error) => return error.into(),
            ReloadError::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid-configuration"),
            ReloadError::NeedsRestart(_) => (StatusCode::CONFLICT, "needs-restart"),
            ReloadError::PreviewKey(_) => (StatusCode::SERVICE_UNAVAILABLE, "preview-key"),
            ReloadError::Stopping(_) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        };
        Self::new(status, kind, error.to_string())
    }
}
