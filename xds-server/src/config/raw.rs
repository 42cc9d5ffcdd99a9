//! The file as it is written: its shape and nothing else. The published JSON Schema is made from
//! these types. What the values mean, and whether they fit together, is `resolve`'s business:
//! values stay text here so that all that is wrong with them can be said at once.

mod effects;
pub(super) mod gates;
mod guardrails;
pub(super) mod short;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_core::config::IdentitySource;

pub(super) use self::effects::{
    Aliases, Dns, Hook, Moment, Notification, NotificationKind, NotificationLevel, Records, Tsig,
    TsigAlgorithm,
};
pub(super) use self::gates::{Approvals, FreezeWindow, Requirements};
pub(super) use self::guardrails::{
    BusinessHeader, BusinessMetric, ErrorRate, Guardrails, Latency, Resources,
};
pub(super) use self::short::Short;
use super::place::At;
use tidegate_delivery::model::catalogue::Environment;

/// Tidegate's configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    /// Where the control plane listens.
    pub(super) listen: Option<Listen>,
    /// Where the journal lives, relative to this file. Default: `./data`.
    #[schemars(with = "Option<String>")]
    pub(super) data_dir: Option<PathBuf>,
    /// The WASM filter.
    pub(super) filter: Filter,
    /// The sidecars: `node.cluster` → listeners.
    pub(super) fleets: At<Vec<Fleet>>,
    /// What services promise unless they say otherwise.
    pub(super) defaults: Option<Defaults>,
    /// The services.
    pub(super) services: At<Vec<Service>>,
    /// Times in which no release goes forward. Rollbacks are as free as ever.
    #[serde(default)]
    pub(super) freeze: Vec<FreezeWindow>,
    /// Who is told about releases.
    #[serde(default)]
    pub(super) notifications: Vec<Notification>,
    /// Flags to start with: a file in flagd's format, relative to this one.
    #[schemars(with = "Option<String>")]
    pub(super) flags: Option<At<PathBuf>>,
}

/// Where the control plane listens.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    /// xDS and reports. Default: `127.0.0.1:18000`.
    pub(super) xds: Option<At<String>>,
    /// REST and metrics. Default: `127.0.0.1:8080`.
    pub(super) api: Option<At<String>>,
    /// Mutual TLS for `xds`.
    pub(super) tls: Option<At<Tls>>,
    /// `true` lets `xds` speak plaintext on an address that others can reach.
    pub(super) insecure_plaintext: Option<At<bool>>,
}

/// Mutual TLS. Files are in PEM, relative to this one, and are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// The server's certificate, and those between it and its CA.
    pub(super) cert: At<String>,
    /// The certificate's private key.
    pub(super) key: At<String>,
    /// The CAs of the sidecars' certificates.
    pub(super) client_ca: At<String>,
}

/// The WASM filter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// Path of the module on the sidecars' disks.
    pub(super) wasm: At<String>,
}

/// The sidecars that share one configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Fleet {
    /// Matched on Envoy's `node.cluster`.
    pub(super) name: At<String>,
    /// SPIFFE ids of its sidecars, with `listen.tls`. `{node}` stands for the sidecar's `node.id`,
    /// and a trailing `/*` for anything below.
    #[serde(default)]
    pub(super) identities: Vec<At<String>>,
    /// The listeners that Tidegate gives them; none where the mesh brings its own.
    #[serde(default)]
    pub(super) listeners: Vec<Listener>,
}

/// One listener.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    /// Its name.
    pub(super) name: At<String>,
    /// `IP:PORT` where Envoy listens.
    pub(super) address: At<String>,
    /// Names of services, or `["*"]` for every one.
    pub(super) services: At<Vec<At<String>>>,
    /// A preview: it leads to the version that a request asks for, and is there for smoke tests,
    /// which the control plane sends to this address. Only it knows the key.
    #[serde(default)]
    pub(super) preview: bool,
}

/// What services promise unless they say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Defaults {
    /// What a release must keep.
    pub(super) guardrails: Option<Guardrails>,
    /// Bound on the chance to roll back a release that is no worse. Default: `0.1%`.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(super) false_rollback: Option<At<String>>,
}

/// One service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    /// What callers ask for.
    pub(super) name: At<String>,
    /// The `Host` values that lead to it, without port.
    pub(super) hosts: At<Vec<At<String>>>,
    /// Where a user's identity is found; the first that is present counts. None: a generated cookie.
    #[serde(default)]
    #[schemars(with = "Vec<Identity>")]
    pub(super) identity: Vec<At<IdentitySource>>,
    /// How a release goes.
    pub(super) strategy: At<Strategy>,
    /// Canary: the version that serves before any release was made.
    pub(super) stable: Option<At<String>>,
    /// Canary: the versions that are deployed.
    pub(super) versions: Option<At<Vec<Version>>>,
    /// Blue/green: the two places where a version can be deployed.
    pub(super) environments: Option<At<Environments>>,
    /// Blue/green: the environment that serves before any release was made.
    #[schemars(with = "Option<Color>")]
    pub(super) active: Option<At<Environment>>,
    /// What a release must keep, where it differs from the defaults.
    pub(super) guardrails: Option<Guardrails>,
    /// What others must have said before a release gets traffic, whatever plan it brings along.
    pub(super) requirements: Option<Requirements>,
    /// Whom its releases tell.
    #[serde(default)]
    pub(super) hooks: Vec<Hook>,
    /// Blue/green: the DNS name whose records follow the active environment.
    pub(super) dns: Option<At<Dns>>,
}

/// One place where a request may carry its user's identity.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(
    dead_code,
    reason = "the schema's picture of a type from the shared core, which knows no schemas"
)]
enum Identity {
    /// The value of this request header.
    Header(String),
    /// The value of this cookie.
    Cookie(String),
}

/// One of the two environments.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(
    dead_code,
    reason = "the schema's picture of a type of the domain, which knows no schemas"
)]
enum Color {
    /// Blue.
    Blue,
    /// Green.
    Green,
}

/// How a release goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Strategy {
    /// Step by step.
    Canary(Canary),
    /// All at once, watched.
    BlueGreen(BlueGreen),
}

/// Step by step.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Canary {
    /// The candidate's share, step by step, ending with `100%`. Default: 5, 10, 25, 50, 100 %.
    pub(super) steps: Option<At<Vec<At<Short<Step>>>>>,
    /// The least time that a step holds. Default: `5m`.
    pub(super) step_time: Option<At<String>>,
    /// The least number of requests that the candidate must have served in a step. Default: 50.
    pub(super) min_requests: Option<u64>,
    /// How long the candidate is watched at 100 %. Default: `30m`.
    pub(super) watch: Option<At<String>>,
    /// How the candidate's instances are asked before it gets any traffic: `tcp`, or a path that must
    /// answer with 200. Default: they are not.
    pub(super) health: Option<At<String>>,
    /// Sent to the candidate before it gets any traffic.
    #[serde(default)]
    pub(super) smoke_tests: Vec<At<SmokeTest>>,
    /// Who must have a step before its time and its evidence begin.
    #[serde(default)]
    pub(super) convergence: Convergence,
    /// What a broken guardrail does. Default: `rollback`.
    pub(super) on_fail: Option<OnFail>,
    /// For how long after a release the version before it is kept to go back to. Default: `7d`.
    pub(super) rollback_window: Option<At<String>>,
}

/// One step, where its share is not all there is to say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// The candidate's share.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(super) weight: At<String>,
    /// The least time that it holds. Default: the plan's `step_time`.
    pub(super) time: Option<At<String>>,
    /// The least number of requests that the candidate must have served in it. Default: the plan's.
    pub(super) min_requests: Option<u64>,
    /// Who must approve before it is entered.
    pub(super) approval: Option<At<Short<Approvals>>>,
}

/// What a broken guardrail does.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnFail {
    /// Everything goes back to stable.
    Rollback,
    /// The release is held where it is, and a person decides.
    Pause,
}

/// Who must have a step before its time and its evidence begin.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Convergence {
    /// The share of the connected sidecars. Default: `100%`.
    #[schemars(regex(pattern = r"^\d+(\.\d{1,4})? ?%$"))]
    pub(super) share: Option<At<String>>,
}

/// All at once, watched.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BlueGreen {
    /// How long the candidate is watched at 100 %. Default: `15m`.
    pub(super) watch: Option<At<String>>,
    /// The least number of requests that the candidate must have served before it is stable. Default: 50.
    pub(super) min_requests: Option<u64>,
    /// How the candidate's instances are asked before it gets any traffic: `tcp`, or a path that must
    /// answer with 200. Default: they are not.
    pub(super) health: Option<At<String>>,
    /// Sent to the candidate before it gets any traffic.
    #[serde(default)]
    pub(super) smoke_tests: Vec<At<SmokeTest>>,
    /// Who must have a step before its time and its evidence begin.
    #[serde(default)]
    pub(super) convergence: Convergence,
    /// What a broken guardrail does. Default: `rollback`.
    pub(super) on_fail: Option<OnFail>,
    /// For how long after a release the version before it is kept to go back to. Default: `7d`.
    pub(super) rollback_window: Option<At<String>>,
}

/// One HTTP request and what its answer must be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SmokeTest {
    /// Path and query, beginning with `/`.
    pub(super) path: String,
    /// The status that is expected.
    pub(super) expect: u16,
}

/// One version of a canary service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    /// Its name.
    pub(super) name: At<String>,
    /// `HOST:PORT` of each instance; at least one.
    pub(super) endpoints: At<Vec<At<String>>>,
}

/// The two places of a blue/green service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Environments {
    /// Blue.
    pub(super) blue: Deployed,
    /// Green.
    pub(super) green: Deployed,
}

/// One place where a version can be deployed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Deployed {
    /// `HOST:PORT` of each instance; at least one.
    pub(super) endpoints: At<Vec<At<String>>>,
    /// The version that is there now. Default: none, or in the active one the environment's name.
    pub(super) version: Option<At<String>>,
}
