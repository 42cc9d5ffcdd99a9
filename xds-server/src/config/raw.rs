//! The shape of the configuration file. The JSON Schema is generated from these types and their
//! documentation. Values stay text here: `resolve` parses them and reports all errors at once.

mod effects;
mod evidence;
mod guardrails;
mod istio;
mod shorthand;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_core::config::IdentitySource;

pub(super) use self::effects::{
    Aliases, Dns, Hook, Moment, Notification, NotificationKind, NotificationLevel, Records, Tsig,
    TsigAlgorithm,
};
pub(super) use self::evidence::{Evidence, Exclusion};
pub(super) use self::guardrails::{
    BusinessHeader, BusinessMetric, ClientErrors, ErrorRate, Guardrails, Latency, Resources,
};
pub(super) use self::istio::{IstioFleet, IstioService, IstioTarget};
pub(super) use self::shorthand::Shorthand;
use super::span::Spanned;
use tidegate_delivery::model::catalogue::Environment;

/// Configuration of Tidegate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    /// Ports of the control plane.
    pub(super) listen: Option<Listen>,
    /// Directory of the journal, relative to this file. Default: `./data`.
    #[schemars(with = "Option<String>")]
    pub(super) data_dir: Option<PathBuf>,
    /// The WASM filter.
    pub(super) filter: Filter,
    /// Groups of sidecars and their listeners.
    pub(super) fleets: Spanned<Vec<Fleet>>,
    /// Defaults of all services.
    pub(super) defaults: Option<Defaults>,
    /// The services.
    pub(super) services: Spanned<Vec<Service>>,
    /// Calendar windows that block deployments. Rollbacks are not blocked.
    #[serde(default)]
    pub(super) freeze: Vec<FreezeWindow>,
    /// Receivers of notifications.
    #[serde(default)]
    pub(super) notifications: Vec<Notification>,
    /// Initial feature flags: a file in flagd's format, relative to this one.
    #[schemars(with = "Option<String>")]
    pub(super) flags: Option<Spanned<PathBuf>>,
}

/// Ports of the control plane.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    /// xDS and reports. Default: `127.0.0.1:18000`.
    pub(super) xds: Option<Spanned<String>>,
    /// REST and metrics. Default: `127.0.0.1:8080`.
    pub(super) api: Option<Spanned<String>>,
    /// Mutual TLS for `xds`.
    pub(super) tls: Option<Spanned<Tls>>,
    /// `true` permits plaintext for `xds` on an address that is not loopback.
    pub(super) insecure_plaintext: Option<Spanned<bool>>,
}

/// Mutual TLS. The files are in PEM, relative to this one, and reloaded when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// The server certificate with its intermediate certificates.
    pub(super) cert: Spanned<String>,
    /// The private key.
    pub(super) key: Spanned<String>,
    /// The CAs of client certificates.
    pub(super) client_ca: Spanned<String>,
}

/// The WASM filter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// Path of the module in the sidecars' file systems.
    pub(super) wasm: Spanned<String>,
}

/// Sidecars that share one configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Fleet {
    /// Matched on Envoy's `node.cluster`; in an Istio mesh on `fleet` in the filter's configuration.
    pub(super) name: Spanned<String>,
    /// SPIFFE IDs of its sidecars, with `listen.tls`. `{node}` matches the sidecar's `node.id`, a
    /// trailing `/*` any suffix.
    #[serde(default)]
    pub(super) identities: Vec<Spanned<String>>,
    /// The name of the control plane's cluster in the bootstraps of its sidecars, to which their filters
    /// send reports. Default: `tidegate`.
    pub(super) control_plane_cluster: Option<Spanned<String>>,
    /// The listeners of its sidecars; none where the mesh defines them.
    #[serde(default)]
    pub(super) listeners: Vec<Listener>,
    /// Present if Istio is the control plane of the mesh.
    pub(super) istio: Option<Spanned<IstioFleet>>,
}

/// One listener.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    /// Unique name in the fleet.
    pub(super) name: Spanned<String>,
    /// `IP:PORT` on which Envoy listens.
    pub(super) address: Spanned<String>,
    /// Names of services, or `["*"]` for all.
    pub(super) services: Spanned<Vec<Spanned<String>>>,
    /// A preview listener, to which the control plane sends smoke tests. It routes to the version in
    /// the request and requires a key that only the control plane has.
    #[serde(default)]
    pub(super) preview: bool,
}

/// Defaults of all services.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Defaults {
    /// Limits for releases.
    pub(super) guardrails: Option<Guardrails>,
    /// Bound on the probability that a release no worse than stable is rolled back. Default: `0.1%`.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(super) false_rollback: Option<Spanned<String>>,
}

/// One service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    /// Unique name, at most 52 bytes.
    pub(super) name: Spanned<String>,
    /// Hosts of its requests: DNS names or IP addresses (IPv6 in brackets), without port. Matching
    /// ignores case, port and a final dot. Default: its host in Istio.
    pub(super) hosts: Option<Spanned<Vec<Spanned<String>>>>,
    /// Its place in Istio, for the fleets of an Istio mesh.
    pub(super) istio: Option<Spanned<IstioService>>,
    /// Sources of the user's identity; the first that is present is used. None: a generated cookie.
    #[serde(default)]
    #[schemars(with = "Vec<Identity>")]
    pub(super) identity: Vec<Spanned<IdentitySource>>,
    /// Release strategy.
    pub(super) strategy: Spanned<Strategy>,
    /// Canary: the stable version before the first release.
    pub(super) stable: Option<Spanned<String>>,
    /// Canary: the deployed versions.
    pub(super) versions: Option<Spanned<Vec<Version>>>,
    /// Blue/green: the two environments.
    pub(super) environments: Option<Spanned<Environments>>,
    /// Blue/green: the active environment before the first release.
    #[schemars(with = "Option<Color>")]
    pub(super) active: Option<Spanned<Environment>>,
    /// Limits for releases, where they differ from the defaults.
    pub(super) guardrails: Option<Guardrails>,
    /// Which requests are evidence.
    pub(super) evidence: Option<Evidence>,
    /// Checks and approvals before a release gets traffic, also with a plan of its own.
    pub(super) requirements: Option<Requirements>,
    /// HTTP callbacks of its releases.
    #[serde(default)]
    pub(super) hooks: Vec<Hook>,
    /// Blue/green: DNS records of the active environment.
    pub(super) dns: Option<Spanned<Dns>>,
}

/// A source of the user's identity.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(
    dead_code,
    reason = "the schema of a type of the shared core, which does not depend on schemars"
)]
enum Identity {
    /// The value of this request header.
    Header(String),
    /// The value of this cookie.
    Cookie(String),
}

/// An environment.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(
    dead_code,
    reason = "the schema of a type of the domain, which does not depend on schemars"
)]
enum Color {
    /// Blue.
    Blue,
    /// Green.
    Green,
}

/// Release strategy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Strategy {
    /// Increasing weights.
    Canary(Canary),
    /// One switch to 100 %.
    BlueGreen(BlueGreen),
}

/// Canary: increasing weights.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Canary {
    /// Weights of the candidate, ascending to `100%`. Default: 5, 10, 25, 50, 100 %.
    pub(super) steps: Option<Spanned<Vec<Spanned<Shorthand<Step>>>>>,
    /// Minimum time of a step. Default: `5m`.
    pub(super) step_time: Option<Spanned<String>>,
    /// Minimum number of requests to the candidate in a step. Default: 50.
    pub(super) min_requests: Option<u64>,
    /// Time in the last step with active guardrails before completion. Default: `30m`.
    pub(super) watch: Option<Spanned<String>>,
    /// Share of the clients that stays on stable in the last step until completion, as what the candidate is compared
    /// with: `auto` is 1 % if the step before had at least 1000 requests per second, otherwise 5 %. At most 50 %; `0%` for
    /// none. Default: `auto`.
    #[schemars(with = "Option<String>", regex(pattern = r"^(auto|\d+(\.\d{1,4})? ?%)$"))]
    pub(super) holdback: Option<Spanned<String>>,
    /// Health check of the candidate's instances before it gets traffic: `tcp`, or a path that must
    /// return 200. Default: none.
    pub(super) health: Option<Spanned<String>>,
    /// Requests to the candidate before it gets traffic.
    #[serde(default)]
    pub(super) smoke_tests: Vec<Spanned<SmokeTest>>,
    /// Convergence at which the time and the evidence of a step start.
    #[serde(default)]
    pub(super) convergence: Convergence,
    /// Reaction to a violated guardrail. Default: `rollback`.
    pub(super) on_fail: Option<OnFail>,
    /// Time after a release in which the previous version is kept for a rollback. Default: `7d`.
    pub(super) rollback_window: Option<Spanned<String>>,
    /// Time after completion in which a broken limit of a rollback restores the previous version. Default: none, a broken
    /// limit only alerts.
    pub(super) rollback_after_completion: Option<Spanned<String>>,
}

/// One step with its own values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// Weight of the candidate.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(super) weight: Spanned<String>,
    /// Minimum time. Default: `step_time` of the plan.
    pub(super) time: Option<Spanned<String>>,
    /// Minimum number of requests to the candidate. Default: `min_requests` of the plan.
    pub(super) min_requests: Option<u64>,
    /// Approvals before the step starts.
    pub(super) approval: Option<Spanned<Shorthand<Approvals>>>,
}

/// Reaction to a violated guardrail.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnFail {
    /// All traffic is routed to stable.
    Rollback,
    /// The release stays at its weight until an operator decides.
    Pause,
}

/// Convergence at which the time and the evidence of a step start.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Convergence {
    /// Share of the connected sidecars that have ACKed the configuration. Default: `100%`.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(super) share: Option<Spanned<String>>,
}

/// Blue/green: one switch to 100 %.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BlueGreen {
    /// Time after the switch with active guardrails before completion. Default: `15m`.
    pub(super) watch: Option<Spanned<String>>,
    /// Share of the clients that stays on stable until completion, as what the candidate is compared with: `auto` is 5 %.
    /// At most 50 %. Default: `0%`.
    #[schemars(with = "Option<String>", regex(pattern = r"^(auto|\d+(\.\d{1,4})? ?%)$"))]
    pub(super) holdback: Option<Spanned<String>>,
    /// Minimum number of requests to the candidate before completion. Default: 50.
    pub(super) min_requests: Option<u64>,
    /// Health check of the candidate's instances before it gets traffic: `tcp`, or a path that must
    /// return 200. Default: none.
    pub(super) health: Option<Spanned<String>>,
    /// Requests to the candidate before it gets traffic.
    #[serde(default)]
    pub(super) smoke_tests: Vec<Spanned<SmokeTest>>,
    /// Convergence at which the time and the evidence of a step start.
    #[serde(default)]
    pub(super) convergence: Convergence,
    /// Reaction to a violated guardrail. Default: `rollback`.
    pub(super) on_fail: Option<OnFail>,
    /// Time after a release in which the previous version is kept for a rollback. Default: `7d`.
    pub(super) rollback_window: Option<Spanned<String>>,
    /// Time after completion in which a broken limit of a rollback restores the previous version. Default: none, a broken
    /// limit only alerts.
    pub(super) rollback_after_completion: Option<Spanned<String>>,
}

/// An HTTP request and its expected status.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SmokeTest {
    /// Path and query, starting with `/`.
    pub(super) path: String,
    /// Expected status.
    pub(super) expect: u16,
}

/// One version of a canary service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    /// Its name.
    pub(super) name: Spanned<String>,
    /// `HOST:PORT` of each instance; at least one. Optional for a service with `istio` that only Istio fleets call.
    pub(super) endpoints: Option<Spanned<Vec<Spanned<String>>>>,
    /// Its subset or host in Istio.
    pub(super) istio: Option<Spanned<IstioTarget>>,
}

/// The environments of a blue/green service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Environments {
    /// Blue.
    pub(super) blue: Deployed,
    /// Green.
    pub(super) green: Deployed,
}

/// One environment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Deployed {
    /// `HOST:PORT` of each instance; at least one. Optional for a service with `istio` that only Istio fleets call.
    pub(super) endpoints: Option<Spanned<Vec<Spanned<String>>>>,
    /// Its subset or host in Istio.
    pub(super) istio: Option<Spanned<IstioTarget>>,
    /// The deployed version. Default: none; in the active environment, the name of the environment.
    pub(super) version: Option<Spanned<String>>,
}

/// Conditions for the start of a release.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Requirements {
    /// Names of checks that CI must report as passed.
    #[serde(default)]
    pub(super) checks: Vec<Spanned<String>>,
    /// Approvals by people.
    pub(super) approvals: Option<Spanned<Shorthand<Approvals>>>,
}

/// Approvals by people. A role alone means one approval.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Approvals {
    /// Number of different people; the one who started the release does not count. Default: 1.
    pub(super) count: Option<u32>,
    /// Their role.
    pub(super) role: Spanned<String>,
    /// Validity of an approval. Default: `24h`.
    pub(super) expire: Option<Spanned<String>>,
}

/// A calendar window that blocks deployments, weekly or once. Rollbacks are not blocked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FreezeWindow {
    /// Its name.
    pub(super) name: Spanned<String>,
    /// Weekly: the days on which it starts, `mon` to `sun`.
    pub(super) days: Option<Spanned<Vec<Spanned<String>>>>,
    /// Weekly: start time, `HH:MM`. Default: `00:00`.
    pub(super) from: Option<Spanned<String>>,
    /// Weekly: end time, `HH:MM`, on the next day if it is not after `from`. Default: `00:00`.
    pub(super) to: Option<Spanned<String>>,
    /// Weekly: IANA time zone, such as `Europe/Berlin`. Default: `UTC`.
    pub(super) time_zone: Option<Spanned<String>>,
    /// Once: start, such as `2026-12-20T00:00:00Z`.
    pub(super) start: Option<Spanned<String>>,
    /// Once: end.
    pub(super) end: Option<Spanned<String>>,
    /// Names of services. Default: `["*"]`, all.
    pub(super) services: Option<Spanned<Vec<Spanned<String>>>>,
}
