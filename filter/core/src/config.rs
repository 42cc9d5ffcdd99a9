//! What the control plane tells a sidecar's filter: the JSON inside the ECDS resource `tidegate`
//! (or a WasmPlugin's `pluginConfig`). Written by the server, read by the filter, so it lives here.

use serde::{Deserialize, Serialize};

/// Request header that pins a request to one version. Only the filter may set it.
pub const VERSION_HEADER: &str = "x-tidegate-version";
/// Request header with the user's bucket, read by Envoy's weighted clusters. Only the filter may set it.
pub const BUCKET_HEADER: &str = "x-tidegate-bucket";
/// Name and value of the cookie that gives an identity to users who brought none.
pub const IDENTITY_COOKIE: &str = "tidegate-id";
/// Buckets, and the sum of every pair of weights: one bucket is one part per million.
pub const BUCKETS: u32 = 1_000_000;

/// Most business metrics of a service: each costs every request of it a look.
pub const MAX_BUSINESS_RULES: usize = 4;

/// Milliseconds between reports while a release runs: a bad version is to be seen within a second.
pub const INTERVAL_RELEASING_MS: u32 = 250;
/// Milliseconds between reports otherwise.
pub const INTERVAL_IDLE_MS: u32 = 5_000;

/// The whole of what one sidecar's filter needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    /// Hash of everything below; every report names it.
    pub version: String,
    /// The fleet that this configuration was made for.
    pub fleet: String,
    /// Where and how often to report.
    pub report: ReportConfig,
    /// True where Tidegate is not the mesh's xDS server: newer configuration comes on report replies.
    #[serde(default)]
    pub standalone: bool,
    /// The services whose requests this sidecar routes.
    pub services: Vec<ServiceConfig>,
    /// Routing flags, in flagd's own format: `{"flags": {KEY: …}, "$evaluators": …}`.
    #[serde(default)]
    pub flags: serde_json::Value,
}

/// Where and how often a filter instance reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportConfig {
    /// Envoy cluster that leads to the control plane.
    pub cluster: String,
    /// Milliseconds between reports until a reply says otherwise.
    pub interval_ms: u32,
}

/// One service, as a sidecar's filter needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// The service's name; its clusters are `NAME/VERSION`.
    pub name: String,
    /// `Host` values that belong to it, without port, lower case.
    pub hosts: Vec<String>,
    /// Where the user's identity is found; the first that is present counts.
    #[serde(default)]
    pub identity: Vec<IdentitySource>,
    /// Mixed into every bucket, so that not the same users meet every canary.
    pub salt: String,
    /// The release that runs now, or empty.
    #[serde(default)]
    pub release: String,
    /// Versions that a flag may pin.
    pub versions: Vec<String>,
    /// Business metrics, at most [`MAX_BUSINESS_RULES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub business: Vec<BusinessRule>,
}

/// A business metric: the share of certain requests that ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusinessRule {
    /// Its name.
    pub name: String,
    /// The requests that it is about.
    pub of: RequestMatch,
    /// How those end well.
    pub good: ResponseMatch,
}

/// A choice of requests: all that is named must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestMatch {
    /// The method, in capitals.
    pub method: Option<String>,
    /// The path without query; with `*` at its end, what paths begin with.
    pub path: Option<String>,
}

/// A choice of answers: all that is named must fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseMatch {
    /// The first and the last status that is good.
    pub status: (u16, u16),
    /// A response header and the value that it must have.
    pub header: Option<HeaderMatch>,
}

/// A header and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: String,
    /// The whole value.
    pub value: String,
}

/// One place where a request may carry its user's identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentitySource {
    /// The value of this request header.
    Header(String),
    /// The value of this cookie.
    Cookie(String),
}
