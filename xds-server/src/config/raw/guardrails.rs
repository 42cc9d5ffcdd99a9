//! The shape of guardrails.

use schemars::JsonSchema;
use serde::Deserialize;

use super::queries::Query;
use crate::config::span::Spanned;

/// Limits for releases.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Guardrails {
    /// Limits of the share of failed requests.
    pub(in crate::config) error_rate: Option<ErrorRate>,
    /// Limits of the share of requests with HTTP 4xx.
    pub(in crate::config) client_errors: Option<ClientErrors>,
    /// Limits of one quantile of the response time.
    pub(in crate::config) latency: Option<Latency>,
    /// Limits of the utilization of CPU, memory and disk.
    pub(in crate::config) resources: Option<Resources>,
    /// Business metrics. A service's list replaces the default list.
    pub(in crate::config) business: Option<Spanned<Vec<BusinessMetric>>>,
    /// Values of other systems. A service's list replaces the default list.
    pub(in crate::config) queries: Option<Spanned<Vec<Query>>>,
    /// Minimum sample size of a rate, in requests. Default: 100.
    pub(in crate::config) min_requests: Option<Spanned<u64>>,
    /// When a limit of a rollback is exceeded and stable fails as well: `hold` alerts and blocks the
    /// release, `rollback` rolls it back. Default: `hold`.
    #[schemars(regex(pattern = r"^(hold|rollback)$"))]
    pub(in crate::config) common_mode: Option<Spanned<String>>,
    /// When a step ends whose requests do not show yet that the candidate is good enough: `hold`
    /// waits for more, `extend N` waits up to N times the time of the step, `proceed` does not wait.
    /// Default: `extend 1`.
    #[schemars(regex(pattern = r"^(hold|proceed|extend [1-9]\d{0,2})$"))]
    pub(in crate::config) inconclusive: Option<Spanned<String>>,
}

/// Limits of the share of failed requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ErrorRate {
    /// Alert above this share. Default: `1%`.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(in crate::config) alert: Option<Spanned<String>>,
    /// Rollback above this share. Default: `5%`.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(in crate::config) rollback: Option<Spanned<String>>,
    /// When the candidate is shown to fail more often than stable: `rollback`, or `hold`, which
    /// alerts and blocks the release. Default: `rollback`.
    #[schemars(regex(pattern = r"^(hold|rollback)$"))]
    pub(in crate::config) worse_than_stable: Option<Spanned<String>>,
    /// It is judged and shown, and neither blocks nor rolls back. Default: false.
    pub(in crate::config) dry_run: Option<bool>,
}

/// Limits of the share of requests with HTTP 4xx.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ClientErrors {
    /// Alert above this share. Default: none.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(in crate::config) alert: Option<Spanned<String>>,
    /// Rollback above this share. Default: none.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(in crate::config) rollback: Option<Spanned<String>>,
    /// When the candidate is shown to have much more of them than stable: `rollback`, or `hold`, which
    /// alerts and blocks the release. Default: `rollback`.
    #[schemars(regex(pattern = r"^(hold|rollback)$"))]
    pub(in crate::config) worse_than_stable: Option<Spanned<String>>,
    /// It is judged and shown, and neither blocks nor rolls back. Default: false.
    pub(in crate::config) dry_run: Option<bool>,
}

/// Limits of one quantile of the response time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Latency {
    /// `p50`, `p90`, `p95`, `p99` or `p99.9`. Default: `p99`.
    #[schemars(regex(pattern = r"^p(50|90|95|99|99\.9)$"))]
    pub(in crate::config) quantile: Option<Spanned<String>>,
    /// Warning above this time. Default: `2s`.
    pub(in crate::config) warning: Option<Spanned<String>>,
    /// Critical alert above this time. Default: `5s`.
    pub(in crate::config) critical: Option<Spanned<String>>,
    /// Rollback above this time. Default: `10s`.
    pub(in crate::config) rollback: Option<Spanned<String>>,
    /// When the candidate is shown to be slower than stable: `rollback`, or `hold`, which alerts and
    /// blocks the release. Default: `hold`.
    #[schemars(regex(pattern = r"^(hold|rollback)$"))]
    pub(in crate::config) worse_than_stable: Option<Spanned<String>>,
    /// It is judged and shown, and neither blocks nor rolls back. Default: false.
    pub(in crate::config) dry_run: Option<bool>,
}

/// A business metric: the minimum share of good responses to certain requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct BusinessMetric {
    /// Its name, such as `order_success`.
    pub(in crate::config) name: Spanned<String>,
    /// The requests that are counted. Default: all.
    #[serde(default)]
    pub(in crate::config) of: BusinessRequest,
    /// The good responses. Default: those with a status from 200 to 399.
    #[serde(default)]
    pub(in crate::config) good: BusinessAnswer,
    /// Minimum share of good responses. Below it an alert is sent and the release is blocked.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(in crate::config) at_least: Spanned<String>,
    /// It is judged and shown, and neither blocks nor rolls back. Default: false.
    pub(in crate::config) dry_run: Option<bool>,
}

/// Matches requests. All fields that are set must match.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct BusinessRequest {
    /// The method, such as `POST`.
    pub(in crate::config) method: Option<Spanned<String>>,
    /// The path without query. With `*` at the end it is a prefix.
    pub(in crate::config) path: Option<Spanned<String>>,
}

/// Matches responses. All fields that are set must match.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct BusinessAnswer {
    /// A status or a range: `201`, `200-299`.
    pub(in crate::config) status: Option<Spanned<String>>,
    /// A required response header.
    pub(in crate::config) header: Option<BusinessHeader>,
}

/// A response header and its value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct BusinessHeader {
    /// Its name.
    pub(in crate::config) name: Spanned<String>,
    /// Its exact value.
    pub(in crate::config) value: Spanned<String>,
}

/// Limits of the utilization of CPU, memory and disk.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Resources {
    /// Quantile of the utilization in ORCA reports: `p50`, `p90`, `p95`, `p99` or `p99.9`. Default:
    /// `p90`.
    #[schemars(regex(pattern = r"^p(50|90|95|99|99\.9)$"))]
    pub(in crate::config) quantile: Option<Spanned<String>>,
    /// Warning above this utilization. Default: `80%`.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(in crate::config) warning: Option<Spanned<String>>,
    /// Critical alert above this utilization. Default: `95%`.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(in crate::config) critical: Option<Spanned<String>>,
    /// It is judged and shown, and neither blocks nor rolls back. Default: false.
    pub(in crate::config) dry_run: Option<bool>,
}
