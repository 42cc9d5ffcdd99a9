//! What keeps a release where it is, as data. A release advances once nothing blocks it; no blocker delays a rollback.
//! [`crate::text`] puts blockers into words, for the edge of the server.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::health::InstanceHealth;
use super::progress::Nack;
use crate::judge::{Finding, Guardrail, Level};
use crate::names::{
    CheckName, FreezeName, GroupName, HookName, ReleaseId, RoleName, ServiceName, SignalName,
    VersionName,
};
use crate::units::{Ppm, Timestamp, millis, percent, rfc3339};

/// One reason why a release does not advance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Blocker {
    /// An operator paused it.
    Paused,
    /// A broken guardrail paused it, as its plan's `on_fail` says.
    PausedByGuardrail {
        /// What broke.
        finding: Finding,
    },
    /// The sidecars acknowledged the step just now. What was counted before is no evidence of it.
    StepStarting,
    /// The least time of the step.
    Time {
        /// What is left of it.
        #[serde(with = "millis", rename = "remaining_ms")]
        remaining: Duration,
    },
    /// The least number of requests of the candidate in the step.
    Requests {
        /// How many are missing.
        missing: u64,
    },
    /// Reports without a gap: what was counted before a gap or a restart is not current.
    ReportCoverage {
        /// How much longer reports must come.
        #[serde(with = "millis", rename = "remaining_ms")]
        remaining: Duration,
    },
    /// A guardrail alerts now.
    Alert {
        /// What was found.
        finding: Finding,
    },
    /// A guardrail alerted, and too few requests came since to clear it.
    UnclearedAlert {
        /// Which guardrail.
        guardrail: Guardrail,
        /// The alert's level.
        level: Level,
        /// How many requests are missing.
        missing: u64,
    },
    /// The observed rate of a guardrail is above its alert limit, though not beyond chance.
    AtLimit {
        /// Which guardrail.
        guardrail: Guardrail,
    },
    /// The counts of the step do not show yet that the candidate is good enough.
    Inconclusive {
        /// About so many requests of the candidate are missing.
        missing: u64,
        /// The milliseconds after which the step ends without them; absent: never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remaining_ms: Option<u64>,
    },
    /// A required query has no current value.
    QueryMissing {
        /// Which guardrail.
        guardrail: Guardrail,
        /// The error of the last query; absent before the first one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A step must be approved.
    Approval {
        /// By people of this role.
        role: RoleName,
        /// By how many more.
        missing: u32,
        /// The weight of the step.
        #[serde(rename = "weight_percent", with = "percent")]
        weight: Ppm,
    },
    /// A check of CI was not reported.
    CheckMissing {
        /// Which.
        check: CheckName,
    },
    /// A check of CI failed.
    CheckFailed {
        /// Which.
        check: CheckName,
        /// The reason that CI gave.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Where CI reports more.
        #[serde(skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// A freeze window.
    FreezeWindow {
        /// Which.
        freeze: FreezeName,
        /// When it ends.
        #[serde(with = "rfc3339")]
        until: Timestamp,
    },
    /// Deployments are frozen by hand.
    Freeze {
        /// Of this service; absent: of all.
        #[serde(skip_serializing_if = "Option::is_none")]
        service: Option<ServiceName>,
        /// By whom.
        by: String,
        /// Why.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The candidate's instances were not checked yet.
    HealthUnknown,
    /// Instances of the candidate are unhealthy.
    Health {
        /// Which, and why.
        health: InstanceHealth,
    },
    /// The smoke tests have not passed yet.
    SmokeTests,
    /// A blocking hook was not called yet.
    Hook {
        /// Which.
        hook: HookName,
    },
    /// A blocking hook failed for good.
    HookFailed {
        /// Which.
        hook: HookName,
        /// What the last attempt returned.
        error: String,
    },
    /// The DNS server does not answer with the candidate's records yet.
    Dns {
        /// The name.
        name: String,
        /// The candidate.
        version: VersionName,
        /// Why the last update failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// Caches may still hold the answer from before.
    DnsCaches {
        /// The name.
        name: String,
        /// Until none can.
        #[serde(with = "millis", rename = "remaining_ms")]
        remaining: Duration,
    },
    /// A sidecar rejected a resource.
    Nack {
        /// Which, and what.
        #[serde(flatten)]
        nack: Nack,
    },
    /// More sidecars than are named rejected resources.
    MoreNacks {
        /// How many.
        sidecars: u32,
    },
    /// No sidecar is connected, so none has acknowledged the step.
    NoSidecars,
    /// Too few sidecars have acknowledged the step.
    Convergence {
        /// Sidecars that have.
        acked: u32,
        /// Sidecars that are connected.
        connected: u32,
        /// The first few of those that have not.
        lagging: Vec<String>,
        /// How many more have not.
        more: u32,
    },
    /// Too few sidecars report: the judge does not see the requests of the others.
    SilentSidecars {
        /// Sidecars that have the filter and do not report.
        silent: u32,
        /// Connected and silent sidecars.
        connected: u32,
        /// The first few of the silent ones.
        nodes: Vec<String>,
        /// How many more are silent.
        more: u32,
    },
    /// A business signal against the candidate.
    Signal {
        /// Which.
        signal: SignalName,
        /// The reason that came with it.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Another release of the group.
    Group {
        /// The group.
        group: GroupName,
        /// The other release.
        release: ReleaseId,
        /// What keeps it where it is.
        blockers: Vec<Blocker>,
    },
}
