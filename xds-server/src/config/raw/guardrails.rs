//! Guardrails, as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::place::At;

/// What a release must keep.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Guardrails {
    /// Limits on the share of failed requests.
    pub(in crate::config) error_rate: Option<ErrorRate>,
    /// Limits on one quantile of the response time.
    pub(in crate::config) latency: Option<Latency>,
    /// Limits on the use of CPU, memory and disk.
    pub(in crate::config) resources: Option<Resources>,
    /// Whether requests end well as the business sees it; replaces the defaults' list.
    pub(in crate::config) business: Option<At<Vec<BusinessMetric>>>,
    /// Requests after which an observed rate is taken at its word. Default: 100.
    pub(in crate::config) min_requests: Option<At<u64>>,
}

/// Limits on the share of failed requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ErrorRate {
    /// Above this somebody is told. Default: `1%`.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(in crate::config) alert: Option<At<String>>,
    /// Above this the release goes back. Default: `5%`.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(in crate::config) rollback: Option<At<String>>,
}

/// Limits on one quantile of the response time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Latency {
    /// `p50`, `p90`, `p95`, `p99` or `p99.9`. Default: `p99`.
    #[schemars(regex(pattern = r"^p(50|90|95|99|99\.9)$"))]
    pub(in crate::config) quantile: Option<At<String>>,
    /// Above this: a warning. Default: `2s`.
    pub(in crate::config) warning: Option<At<String>>,
    /// Above this: a critical alert. Default: `5s`.
    pub(in crate::config) critical: Option<At<String>>,
    /// Above this the release goes back. Default: `10s`.
    pub(in crate::config) rollback: Option<At<String>>,
}

/// A business metric: the share of certain requests that must end well.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct BusinessMetric {
    /// Its name, such as `order_success`.
    pub(in crate::config) name: At<String>,
    /// The requests that it is about. Default: all.
    #[serde(default)]
    pub(in crate::config) of: BusinessRequest,
    /// How those end well. Default: with a status from 200 to 399.
    #[serde(default)]
    pub(in crate::config) good: BusinessAnswer,
    /// The least share that ends well. Below it somebody is told, and the release is held.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(in crate::config) at_least: At<String>,
}

/// A choice of requests: all that is named must fit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct BusinessRequest {
    /// The method, such as `POST`.
    pub(in crate::config) method: Option<At<String>>,
    /// The path without query; with `*` at its end, what paths begin with.
    pub(in crate::config) path: Option<At<String>>,
}

/// A choice of answers: all that is named must fit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct BusinessAnswer {
    /// One status, or the first and the last: `201`, `200-299`.
    pub(in crate::config) status: Option<At<String>>,
    /// A response header that must be there.
    pub(in crate::config) header: Option<BusinessHeader>,
}

/// A response header and its value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct BusinessHeader {
    /// Its name.
    pub(in crate::config) name: At<String>,
    /// Its whole value.
    pub(in crate::config) value: At<String>,
}

/// Limits on the use of CPU, memory and disk.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Resources {
    /// `p50`, `p90`, `p95`, `p99` or `p99.9` of what answers say. Default: `p90`.
    #[schemars(regex(pattern = r"^p(50|90|95|99|99\.9)$"))]
    pub(in crate::config) quantile: Option<At<String>>,
    /// Above this: a warning. Default: `80%`.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(in crate::config) warning: Option<At<String>>,
    /// Above this: a critical alert. Default: `95%`.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(in crate::config) critical: Option<At<String>>,
}
