//! Errors as RFC 9457 problem details. Handlers return a `Problem`; the middleware `finish` turns it, and every error of
//! axum, into `application/problem+json`.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::TIMEOUT;
use crate::controller::CommandError;
use tidegate_delivery::model::command::Refusal;
use tidegate_delivery::model::refusal::Invalid;

/// Begins the type of a problem.
const TYPE_PREFIX: &str = "urn:tidegate:problem:";
/// A configuration is refused because it takes away something that serves traffic.
const TAKES_AWAY: &str = "takes-away";

/// An error, without the path of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
}

/// The members of a problem's JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// `urn:tidegate:problem:KIND`.
    pub r#type: String,
    /// The reason phrase of the HTTP status.
    pub title: String,
    pub status: u16,
    /// What is wrong with this request, with a suggested fix.
    pub detail: String,
    /// The path of the request.
    pub instance: String,
}

impl Details {
    /// Whether a configuration is refused because it takes away something that serves traffic.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        self.r#type.strip_prefix(TYPE_PREFIX) == Some(TAKES_AWAY)
    }
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, kind, detail }
    }

    /// The request is malformed.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// An error of axum.
    pub(super) fn of_the_framework(status: StatusCode) -> Self {
        let (kind, detail) = match status {
            StatusCode::METHOD_NOT_ALLOWED => (
                "method-not-allowed",
                "this path does not support the method; the `allow` header lists those it supports",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "the body is larger than 1 MiB"),
            _ => ("bad-request", "the request cannot be understood"),
        };
        Self::new(status, kind, detail)
    }

    fn body(&self, instance: &str) -> Json<Details> {
        Json(Details {
            r#type: format!("{TYPE_PREFIX}{}", self.kind),
            title: title(self.status).to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            instance: instance.to_owned(),
        })
    }
}

fn title(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, kind) = match refusal {
            Refusal::UnknownService { .. } => (StatusCode::NOT_FOUND, "unknown-service"),
            Refusal::UnknownRelease(_) => (StatusCode::NOT_FOUND, "unknown-release"),
            Refusal::UnknownGroup { .. } => (StatusCode::NOT_FOUND, "unknown-group"),
            Refusal::UnknownFlag(_) => (StatusCode::NOT_FOUND, "unknown-flag"),
            Refusal::UnknownVersion { .. } => (StatusCode::NOT_FOUND, "unknown-version"),
            Refusal::UnknownCheck { .. } => (StatusCode::NOT_FOUND, "unknown-check"),
            Refusal::AlreadyRunning { .. } => (StatusCode::CONFLICT, "release-running"),
            Refusal::GroupRunning { .. } => (StatusCode::CONFLICT, "group-running"),
            Refusal::VersionInUse { .. } => (StatusCode::CONFLICT, "version-in-use"),
            Refusal::AlreadyStable { .. } => (StatusCode::CONFLICT, "already-stable"),
            Refusal::Quarantined { .. } => (StatusCode::CONFLICT, "quarantined"),
            Refusal::TakesAway { .. } => (StatusCode::CONFLICT, TAKES_AWAY),
            Refusal::WeakerPlan { .. } => (StatusCode::CONFLICT, "weaker-plan"),
            Refusal::WrongPhase { .. } => (StatusCode::CONFLICT, "wrong-phase"),
            Refusal::FlagsChanged { .. } => (StatusCode::PRECONDITION_FAILED, "flags-changed"),
            Refusal::Invalid(
                Invalid::Flag(_)
                | Invalid::FlagDefinition(_)
                | Invalid::FlagDocument(_)
                | Invalid::FlagKey(_)
                | Invalid::FlagService { .. }
                | Invalid::FlagVariant { .. }
                | Invalid::SharedEvaluators,
            ) => (StatusCode::BAD_REQUEST, "bad-flag"),
            Refusal::Invalid(_) | Refusal::Name(_) => (StatusCode::BAD_REQUEST, "invalid"),
            Refusal::Fold(error) => return CommandError::Fold(error).into(),
        };
        Self::new(status, kind, refusal.to_string())
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let kind = match error {
            CommandError::Refused(refusal) => return refusal.into(),
            CommandError::Unpublishable(_) => {
                return Self::new(StatusCode::BAD_REQUEST, "invalid", error.to_string());
            }
            CommandError::Journal(_) | CommandError::Fold(_) => "journal",
            CommandError::Busy => "busy",
            CommandError::Stopped => "stopping",
        };
        let detail = format!("{error}; nothing was changed, try again");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail)
    }
}

/// Attaches the problem to the response; [`finish`] writes the body.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The response for unknown paths.
pub(super) async fn no_such_path() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no-such-path",
        "unknown path; the API begins at /api/v1/services",
    )
}

/// Limits the time of a request, and writes the body of every error.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            format!("no response within {} s; the change may still be applied, so read the state before you try again", TIMEOUT.as_secs()),
        )
        .into_response(),
    };
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let problem = parts.extensions.remove::<Problem>();
    let problem = problem.unwrap_or_else(|| Problem::of_the_framework(status));
    let mut response = problem.body(&path).into_response();
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    if let Some(allow) = parts.headers.remove(header::ALLOW) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}
