//! The filter's configuration: the JSON in the ECDS resource `tidegate`, or, in an Istio mesh, in the
//! responses to reports. The server writes it, the filter reads it. What a user of Istio writes into
//! a `WasmPlugin` is a [`PluginConfig`].
//!
//! Fields that are unknown here are ignored at every level, so that a filter accepts the
//! configuration of a newer server. A field that a filter must not ignore raises the protocol, and a
//! configuration that sets it names that protocol as its least.

use serde::{Deserialize, Serialize};

pub mod istio;
pub mod plugin;

use crate::host::Host;
use istio::IstioMesh;

/// Request header that pins a request to one version; in an Istio mesh its value is a
/// [`RouteToken`](istio::RouteToken). The filter removes it from client requests.
pub const VERSION_HEADER: &str = "x-tidegate-version";
/// Request header with the user's bucket, the `header_name` of Envoy's weighted clusters. The
/// filter removes it from client requests.
pub const BUCKET_HEADER: &str = "x-tidegate-bucket";
/// Cookie with the generated identity of users without one.
pub const IDENTITY_COOKIE: &str = "tidegate-id";
/// Number of buckets, and the total of the weights of stable and candidate: one bucket is one part
/// per million.
pub const BUCKETS: u32 = 1_000_000;

/// Limit of [`Exclusion`]s per service: each request of the service evaluates all of them.
pub const MAX_EXCLUSIONS: usize = 16;

/// Limit of business metrics per service: each request of the service evaluates all of them.
pub const MAX_BUSINESS_RULES: usize = 4;

/// Milliseconds between reports while a release runs, short enough to detect a bad version within a
/// second.
pub const INTERVAL_RELEASING_MS: u32 = 250;
/// Milliseconds between reports otherwise.
pub const INTERVAL_IDLE_MS: u32 = 5_000;
/// Milliseconds between reports of an Istio fleet while no release runs. Its configuration travels in
/// the responses, so this is also the delay of a rollback after the release, and of a flag.
pub const INTERVAL_IDLE_ISTIO_MS: u32 = 1_000;

/// Configuration of one sidecar's filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilterConfig {
    /// Hash of the other fields. Reports carry it as `config_version`.
    pub version: String,
    /// The least [`PROTOCOL`](crate::version::PROTOCOL) that routes and counts correctly with this
    /// configuration. An older filter rejects it.
    #[serde(default)]
    pub min_protocol: u32,
    /// Name of the fleet.
    pub fleet: String,
    /// Destination and interval of reports.
    pub report: ReportConfig,
    /// The mesh whose routes the filter's decisions select.
    #[serde(default, skip_serializing_if = "Mesh::is_tidegate")]
    pub mesh: Mesh,
    /// Services whose requests the filter routes and counts.
    pub services: Vec<ServiceConfig>,
    /// Routing flags in flagd's format: `{"flags": {KEY: …}, "$evaluators": …}`.
    #[serde(default)]
    pub flags: serde_json::Value,
}

/// The control plane that provides the sidecars' routes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mesh {
    /// Tidegate: clusters are named `SERVICE/VERSION`, and Envoy splits the traffic by the bucket
    /// header.
    #[default]
    Tidegate,
    /// Istio: the filter splits the traffic, and the version header selects a route.
    Istio(IstioMesh),
}

impl Mesh {
    const fn is_tidegate(&self) -> bool {
        matches!(self, Self::Tidegate)
    }
}

/// Destination and interval of reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportConfig {
    /// Envoy cluster of the control plane. Empty in an Istio mesh, where the [`PluginConfig`] has it.
    ///
    /// [`PluginConfig`]: plugin::PluginConfig
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Initial milliseconds between reports; each response may change it.
    pub interval_ms: u32,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceConfig {
    /// Name. Its clusters are called `NAME/VERSION`.
    pub name: String,
    /// The hosts whose requests are the service's. Empty in an Istio mesh, where the route decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// Sources of the user's identity. The first that is present and not empty is used.
    #[serde(default)]
    pub identity: Vec<IdentitySource>,
    /// Salt of the bucket hash, so that canaries of different services reach different users first.
    pub salt: String,
    /// Id of the running release, or empty.
    #[serde(default)]
    pub release: String,
    /// Versions that a flag may pin.
    pub versions: Vec<String>,
    /// Business metrics, at most [`MAX_BUSINESS_RULES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub business: Vec<BusinessRule>,
    /// Requests that are not counted, at most [`MAX_EXCLUSIONS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<Exclusion>,
}

/// Requests that are no user's, such as those of monitoring. They are routed, and not counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exclusion {
    /// The complete path without query.
    Path(String),
    /// The beginning of the path.
    Prefix(String),
    /// A request header with this value.
    Header(HeaderMatch),
    /// The beginning of the `user-agent` header.
    UserAgent(String),
}

/// A business metric: the share of good requests among those that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusinessRule {
    /// Name of the metric.
    pub name: String,
    /// The requests that are counted.
    pub of: RequestMatch,
    /// The responses that make a counted request a good one.
    pub good: ResponseMatch,
}

/// Matches requests. All fields that are set must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestMatch {
    /// Method in upper case.
    pub method: Option<String>,
    /// Path without query. With `*` at the end it is a prefix.
    pub path: Option<String>,
}

/// Matches responses. All fields that are set must match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseMatch {
    /// First and last matching status.
    pub status: (u16, u16),
    /// A response header and its required value.
    pub header: Option<HeaderMatch>,
}

/// A header with an exact value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderMatch {
    /// Name in lower case.
    pub name: String,
    /// The complete value.
    pub value: String,
}

/// A source of the user's identity in a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentitySource {
    /// The value of this request header.
    Header(String),
    /// The value of this cookie.
    Cookie(String),
}
