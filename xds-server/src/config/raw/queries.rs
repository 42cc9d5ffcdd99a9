//! The shape of guardrails on queries.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::span::Spanned;

/// A guardrail on the value of another system: exactly one of `prometheus` and `http`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Query {
    /// Its name, such as `queue_length`.
    pub(in crate::config) name: Spanned<String>,
    /// Expressions of a Prometheus server. `$service`, `$candidate` and `$stable` are replaced by names.
    pub(in crate::config) prometheus: Option<Prometheus>,
    /// URLs that answer `GET` with a number, or with `{"value": NUMBER}`.
    pub(in crate::config) http: Option<Http>,
    /// The time between two samples, 1s to 1h. Default: `15s`.
    pub(in crate::config) interval: Option<Spanned<String>>,
    /// The longest time of a query, at most `interval`. Default: `5s`.
    pub(in crate::config) timeout: Option<Spanned<String>>,
    /// Alert beyond this: `> 5`, `< 0.9`, `> 120% of stable` or `< 80% of stable`.
    #[schemars(regex(pattern = r"^[<>] ?(-?\d+(\.\d+)?|\d+% of stable)$"))]
    pub(in crate::config) alert: Option<Spanned<String>>,
    /// Rollback beyond this, in the same form.
    #[schemars(regex(pattern = r"^[<>] ?(-?\d+(\.\d+)?|\d+% of stable)$"))]
    pub(in crate::config) rollback: Option<Spanned<String>>,
    /// How many samples in a row must be beyond a limit, 1 to 100. Default: 3.
    pub(in crate::config) consecutive: Option<Spanned<u32>>,
    /// A release waits while the query has no value. Default: false.
    #[serde(default)]
    pub(in crate::config) required: bool,
    /// It is judged and shown, and neither blocks nor rolls back. Default: false.
    #[serde(default)]
    pub(in crate::config) dry_run: bool,
    /// A file with a bearer token for the server, which must be an https one.
    pub(in crate::config) token_file: Option<Spanned<PathBuf>>,
}

/// Expressions of a Prometheus server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Prometheus {
    /// The server, such as `http://prometheus:9090`.
    pub(in crate::config) url: Spanned<String>,
    /// The expression of the candidate; it must have one value.
    pub(in crate::config) query: Spanned<String>,
    /// The expression of stable, for limits `of stable`.
    pub(in crate::config) stable: Option<Spanned<String>>,
}

/// URLs of numbers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Http {
    /// That of the candidate. `$service`, `$candidate` and `$stable` are replaced by names.
    pub(in crate::config) url: Spanned<String>,
    /// That of stable, for limits `of stable`.
    pub(in crate::config) stable: Option<Spanned<String>>,
}
