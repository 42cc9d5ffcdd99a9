//! The JSON of the API, written by the server and read by the command line. Once published, fields are added, never changed.

mod effects;
mod inspection;
mod sidecars;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::effects::{DnsView, HookCall, HookState};
pub use self::inspection::{NodeDetail, Pushed, ResourceState, TypeState};
pub(super) use self::sidecars::has_all;
pub use self::sidecars::{ConvergenceView, LastRefusal, Node, Refused, RefusedBy};
use super::backend::Backend;
use crate::controller::DeliveryView;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::{Evidence, Finding, Guardrail, Level, Verdict};
use tidegate_delivery::model::blocker::Blocker;
use tidegate_delivery::model::catalogue::{Environment, VersionSpec};
use tidegate_delivery::model::checks::CheckResult;
use tidegate_delivery::model::freeze::ManualFreeze;
pub use tidegate_delivery::model::phases::PhaseKind;
use tidegate_delivery::model::plan::{Plan, Strategy};
use tidegate_delivery::model::progress::Progress;
use tidegate_delivery::model::release::{Phase, Release, RollbackCause};
use tidegate_delivery::model::requirements::Approval;
use tidegate_delivery::model::signals::ActiveSignal;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::{CheckName, GroupName, ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::{Ppm, Timestamp};

/// One service as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// How its releases go.
    pub strategy: Strategy,
    /// The `Host` values that lead to it.
    pub hosts: Vec<String>,
    /// The version that serves.
    pub stable: VersionName,
    /// The version before it, where a rollback leads after a release is complete.
    pub previous: Option<VersionName>,
    /// Its versions, with their share of the traffic.
    pub versions: Vec<Version>,
    /// The newest release, running or ended.
    pub release: Option<ReleaseView>,
    /// The plan of its releases.
    pub plan: Plan,
    /// What a release must keep.
    pub guardrails: Guardrails,
    /// Until when the version before is kept to go back to, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub previous_until: Option<Timestamp>,
    /// The versions that must not be released, and why.
    #[serde(default)]
    pub quarantined: BTreeMap<VersionName, ActiveSignal>,
    /// The manual freeze of its deployments, if any.
    #[serde(default)]
    pub frozen: Option<ManualFreeze>,
    /// The name that follows its active environment, and whether it does.
    #[serde(default)]
    pub dns: Option<DnsView>,
}

/// What names the state: the same records fold to the same digest, bit for bit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateView {
    /// The newest record that is in it.
    pub seq: u64,
    /// The SHA-256 of its JSON.
    pub digest: String,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Its name.
    pub name: VersionName,
    /// Where it runs, `host:port`.
    pub endpoints: Vec<String>,
    /// The environment that holds it, for blue/green services.
    pub environment: Option<Environment>,
    /// The share of the traffic that it is meant to get, in parts per million.
    pub weight: Ppm,
    /// What it did since the server started.
    pub totals: Totals,
}

/// What one version did since the server started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Finished requests, the failed ones included.
    pub requests: u64,
    /// Failed by the version.
    pub errors: u64,
    /// Failed by the caller.
    pub client_errors: u64,
    /// Given up by the client.
    pub cancelled: u64,
}

/// One release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// Its id.
    pub id: ReleaseId,
    /// The service.
    pub service: ServiceName,
    /// The version that is to take over.
    pub candidate: VersionName,
    /// The version that serves until then.
    pub stable: VersionName,
    /// Where it is.
    pub phase: PhaseKind,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: Timestamp,
    /// The plan's step, counted from 1; absent before the first and after the end.
    pub step: Option<usize>,
    /// How many steps the plan has.
    pub steps: usize,
    /// The candidate's share that is meant, in parts per million.
    pub weight: Ppm,
    /// The share that it got since the step began; absent if nothing was counted.
    pub exposure: Option<Ppm>,
    /// True while an operator holds it.
    pub paused: bool,
    /// The cause of its rollback, if it was rolled back.
    pub cause: Option<RollbackCause>,
    /// Alerts that stand now.
    pub alerts: BTreeMap<Guardrail, Level>,
    /// What is seen of it while it runs.
    pub progress: Option<ProgressView>,
    /// When it was started, in milliseconds since the Unix epoch.
    pub started_at: Timestamp,
    /// The plan that it follows.
    pub plan: Plan,
    /// The operator who started it.
    #[serde(default)]
    pub started_by: Option<String>,
    /// The broken guardrail that it is held for, until a person decides.
    #[serde(default)]
    pub held: Option<Finding>,
    /// What CI reported of the candidate.
    #[serde(default)]
    pub checks: BTreeMap<CheckName, CheckResult>,
    /// Approvals for the next step.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// The business signals that stand against the candidate.
    #[serde(default)]
    pub signals: Vec<ActiveSignal>,
    /// Hook calls, delivered and pending.
    #[serde(default)]
    pub hooks: Vec<HookCall>,
    /// The group that it goes together with.
    #[serde(default)]
    pub group: Option<GroupName>,
}

/// What is seen of a running release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgressView {
    /// The judge's word.
    pub verdict: Verdict,
    /// The candidate, since the step began.
    pub candidate: Evidence,
    /// Stable, since the step began.
    pub baseline: Evidence,
    /// How many sidecars have the step.
    pub convergence: ConvergenceView,
    /// What keeps it where it is; empty if it advances.
    pub blockers: Vec<BlockerView>,
    /// How much of the step's least time is left.
    pub time_left_ms: u64,
}

impl Service {
    /// A service of `view`.
    pub(super) fn of(backend: &dyn Backend, view: &DeliveryView, service: &ServiceState) -> Self {
        let spec = &service.spec;
        let totals = backend.totals(&spec.name);
        let version = |(name, version): (&VersionName, &VersionSpec)| Version {
            name: name.clone(),
            endpoints: version.endpoints.iter().map(ToString::to_string).collect(),
            environment: version.environment,
            weight: weight(service, name),
            totals: totals.get(name).map_or_else(Totals::default, |counts| Totals {
                requests: counts.requests,
                errors: counts.errors,
                client_errors: counts.client_errors,
                cancelled: counts.cancelled,
            }),
        };
        let release = service.release.as_ref();
        Self {
            name: spec.name.clone(),
            strategy: spec.plan.strategy,
            hosts: spec.hosts.clone(),
            stable: service.stable.clone(),
            previous: service.previous.clone(),
            versions: spec.versions.iter().map(version).collect(),
            release: release.map(|release| ReleaseView::of(release, view)),
            plan: spec.plan.clone(),
            guardrails: spec.guardrails.clone(),
            previous_until: service.previous_until,
            quarantined: service.quarantined.clone(),
            frozen: service.frozen.clone(),
            dns: DnsView::of(service),
        }
    }
}

/// The share of a service's traffic that a version is meant to get.
pub(super) fn weight(service: &ServiceState, version: &VersionName) -> Ppm {
    let split = service.split();
    match split.candidate {
        Some((candidate, weight)) if candidate == version => weight,
        Some((_, weight)) if split.stable == version => weight.complement(),
        None if split.stable == version => Ppm::ALL,
        _ => Ppm::ZERO,
    }
}

impl ReleaseView {
    /// A release of `view`.
    pub(super) fn of(release: &Release, view: &DeliveryView) -> Self {
        let (phase, since) = phase(release);
        let cause = match &release.phase {
            Phase::RolledBack { cause, .. } => Some(cause.clone()),
            _ => None,
        };
        let progress = view.progress.get(&release.id);
        let service = view.state.services.get(&release.service);
        let checks = service.and_then(|service| service.checks.of(&release.candidate));
        let signals = service.into_iter().flat_map(|it| it.signals.against(&release.candidate));
        Self {
            id: release.id.clone(),
            service: release.service.clone(),
            candidate: release.candidate.clone(),
            stable: release.stable.clone(),
            phase,
            since,
            step: release.step().map(|index| index + 1),
            steps: release.plan.steps.len(),
            weight: release.weight(),
            exposure: progress.and_then(exposure),
            paused: release.paused_at.is_some(),
            cause,
            alerts: release.alerts.clone(),
            progress: progress.map(ProgressView::from),
            started_at: release.started_at,
            plan: release.plan.clone(),
            started_by: release.started_by.clone(),
            held: release.held.clone(),
            checks: checks.cloned().unwrap_or_default(),
            approvals: release.approvals.clone(),
            signals: signals.cloned().collect(),
            hooks: release.calls.iter().map(HookCall::from).collect(),
            group: view.state.group_of(&release.id).map(|(group, _)| group.clone()),
        }
    }
}

/// Where a release is, and since when.
pub(super) const fn phase(release: &Release) -> (PhaseKind, Timestamp) {
    let since = match release.phase {
        Phase::Preparing { since, .. }
        | Phase::Stepping { since, .. }
        | Phase::Watching { since, .. } => since,
        Phase::Completed { at, .. } | Phase::RolledBack { at, .. } => at,
    };
    (release.phase.name(), since)
}

/// The share that the candidate really got since its step began.
pub(super) fn exposure(progress: &Progress) -> Option<Ppm> {
    let candidate = u128::from(progress.observation.candidate.requests);
    let all = candidate + u128::from(progress.observation.stable.requests);
    let parts = (candidate * u128::from(Ppm::ALL.parts())).checked_div(all)?;
    u32::try_from(parts).ok().and_then(|parts| Ppm::new(parts).ok())
}

/// A blocker, with the words for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockerView {
    /// Its kind and numbers.
    #[serde(flatten)]
    pub blocker: Blocker,
    /// The end of a sentence that begins with "waits for".
    pub detail: String,
}

impl BlockerView {
    /// Puts blockers into words.
    #[must_use]
    pub fn all(blockers: &[Blocker]) -> Vec<Self> {
        let view = |blocker: &Blocker| Self {
            blocker: blocker.clone(),
            detail: tidegate_delivery::text::blocker(blocker),
        };
        blockers.iter().map(view).collect()
    }
}

impl From<&Progress> for ProgressView {
    fn from(progress: &Progress) -> Self {
        let seen = &progress.observation;
        Self {
            verdict: seen.verdict.clone(),
            candidate: seen.candidate,
            baseline: seen.stable,
            convergence: ConvergenceView::from(&seen.convergence),
            blockers: BlockerView::all(&progress.blockers),
            time_left_ms: u64::try_from(progress.time_left.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
