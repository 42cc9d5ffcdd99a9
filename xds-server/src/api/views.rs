//! The JSON of the API, written by the server and read by the command line. Units are part of the names: `_percent` is a
//! number from 0 to 100, `_ms` are milliseconds; points in time are RFC 3339.

mod change;
mod effects;
mod inspection;
mod plan;
mod requirements;
mod sidecars;
mod version;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::change::{ChangeView, DryRunView, Place, UnreachableView};
pub use self::effects::{DnsView, HookCall, HookState};
pub use self::inspection::{NodeDetail, Pushed, ResourceState, TypeState};
pub use self::plan::{ApprovalsView, GuardrailsView, PlanView, StepView};
pub use self::requirements::{ApprovalView, FreezeView, SignalView};
pub(super) use self::sidecars::is_synced;
pub use self::sidecars::{ConvergenceView, LastNack, Nack, Node, NodeNack, Reporting};
pub(super) use self::version::weight;
pub use self::version::{RecentView, Totals, Version};
use super::backend::Backend;
use crate::controller::DeliveryView;
use tidegate_delivery::judge::power::StepPower;
use tidegate_delivery::judge::queries::QueryStatus;
use tidegate_delivery::judge::{Evidence, Finding, Guardrail, Level, Verdict};
use tidegate_delivery::model::blocker::Blocker;
use tidegate_delivery::model::checks::CheckResult;
use tidegate_delivery::model::outcome::Outcome;
pub use tidegate_delivery::model::phases::PhaseKind;
use tidegate_delivery::model::plan::Strategy;
use tidegate_delivery::model::progress::Progress;
use tidegate_delivery::model::release::{Phase, Release, RollbackCause};
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::{CheckName, GroupName, ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::{Ppm, Timestamp, percent, rfc3339};

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub name: ServiceName,
    pub strategy: Strategy,
    /// The `Host` values that are routed to it.
    pub hosts: Vec<String>,
    /// The stable version.
    pub stable: VersionName,
    /// The version before it, which a rollback of the last complete release restores.
    pub previous: Option<VersionName>,
    /// The end of that release's rollback window.
    #[serde(default, with = "rfc3339::option")]
    pub previous_until: Option<Timestamp>,
    pub versions: Vec<Version>,
    /// The newest release, running or ended.
    pub release: Option<ReleaseView>,
    /// The plan of its next release.
    pub plan: PlanView,
    pub guardrails: GuardrailsView,
    /// Versions that no release may use, with the security signal of each.
    #[serde(default)]
    pub quarantined: BTreeMap<VersionName, SignalView>,
    /// The freeze of its deployments by hand.
    #[serde(default)]
    pub frozen: Option<FreezeView>,
    #[serde(default)]
    pub dns: Option<DnsView>,
}

/// Identifies a state: the same records fold to the same digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateView {
    /// The newest record that the state includes.
    pub seq: u64,
    /// The SHA-256 of its JSON.
    pub digest: String,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseView {
    pub id: ReleaseId,
    pub service: ServiceName,
    pub candidate: VersionName,
    /// The stable version when it started.
    pub stable: VersionName,
    pub phase: PhaseKind,
    /// When the phase or step began.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// The step of the plan, counted from 1; absent before the first and after the end.
    pub step: Option<usize>,
    /// The number of steps.
    pub steps: usize,
    /// The candidate's intended share.
    #[serde(rename = "weight_percent", with = "percent")]
    pub weight: Ppm,
    /// The share of requests that the candidate received since the step began; absent without requests.
    #[serde(rename = "actual_percent", default, with = "percent::option")]
    pub actual: Option<Ppm>,
    /// Whether it is paused, by an operator or by a guardrail.
    pub paused: bool,
    /// The finding of the guardrail that paused it, until an operator decides.
    #[serde(default)]
    pub paused_by_guardrail: Option<Finding>,
    /// The cause of its rollback.
    pub cause: Option<RollbackCause>,
    /// Active alerts.
    pub alerts: BTreeMap<Guardrail, Level>,
    /// What guardrails in a dry run find.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dry_run: BTreeMap<Guardrail, Level>,
    /// Present while it runs.
    pub progress: Option<ProgressView>,
    #[serde(with = "rfc3339")]
    pub started_at: Timestamp,
    /// The operator who started it.
    pub started_by: String,
    /// The plan that it follows.
    pub plan: PlanView,
    /// Reported check results of the candidate.
    #[serde(default)]
    pub checks: BTreeMap<CheckName, CheckResult>,
    /// Approvals of the next step.
    #[serde(default)]
    pub approvals: Vec<ApprovalView>,
    /// Active business signals for the candidate.
    #[serde(default)]
    pub signals: Vec<SignalView>,
    /// Hook calls, delivered and pending.
    #[serde(default)]
    pub hooks: Vec<HookCall>,
    /// Its release group.
    #[serde(default)]
    pub group: Option<GroupName>,
    /// What its current step can show at today's traffic; only in answers about one service or release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<StepPower>,
}

/// Measurements of a running release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgressView {
    pub verdict: Verdict,
    /// Findings of guardrails in a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<Finding>,
    /// The queries of the service, with their last values or errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queries: Vec<QueryStatus>,
    /// Counts of the candidate since the step began.
    pub candidate: Evidence,
    /// Counts of stable since the step began.
    pub baseline: Evidence,
    pub convergence: ConvergenceView,
    /// The conditions that the next step waits for.
    pub blockers: Vec<BlockerView>,
    /// What is left of the step's minimum time.
    pub time_left_ms: u64,
}

impl Service {
    pub(super) fn of(backend: &dyn Backend, view: &DeliveryView, service: &ServiceState) -> Self {
        let spec = &service.spec;
        let release = service.release.as_ref();
        Self {
            name: spec.name.clone(),
            strategy: spec.plan.strategy,
            hosts: spec.hosts.iter().map(ToString::to_string).collect(),
            stable: service.stable.clone(),
            previous: service.previous.clone(),
            versions: Version::all(backend, service),
            release: release.map(|release| ReleaseView::of(release, view)),
            plan: PlanView::from(&spec.plan),
            guardrails: GuardrailsView::from(&spec.guardrails),
            previous_until: service.previous_until,
            quarantined: service
                .quarantined
                .iter()
                .map(|(name, it)| (name.clone(), it.into()))
                .collect(),
            frozen: service.frozen.as_ref().map(FreezeView::from),
            dns: DnsView::of(service),
        }
    }
}

impl ReleaseView {
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
            actual: progress.and_then(actual_share),
            paused: release.paused_at.is_some(),
            cause,
            alerts: release.alerts.clone(),
            dry_run: release.dry_run.clone(),
            progress: progress.map(ProgressView::from),
            started_at: release.started_at,
            plan: PlanView::from(&release.plan),
            started_by: release.started_by.clone(),
            paused_by_guardrail: release.paused_by_guardrail.clone(),
            checks: checks.cloned().unwrap_or_default(),
            approvals: release.approvals.iter().map(ApprovalView::from).collect(),
            signals: signals.map(SignalView::from).collect(),
            hooks: release.calls.iter().map(HookCall::from).collect(),
            group: view.state.group_of(&release.id).map(|(group, _)| group.clone()),
            power: None,
        }
    }
}

/// The phase of a release, and when it or its step began.
pub(super) const fn phase(release: &Release) -> (PhaseKind, Timestamp) {
    let since = match release.phase {
        Phase::Preparing { since, .. }
        | Phase::Stepping { since, .. }
        | Phase::Watching { since, .. } => since,
        Phase::Completed { at, .. } | Phase::RolledBack { at, .. } => at,
    };
    (release.phase.name(), since)
}

/// The share of requests that the candidate received since its step began.
pub(super) fn actual_share(progress: &Progress) -> Option<Ppm> {
    let candidate = u128::from(progress.observation.candidate.requests);
    let all = candidate + u128::from(progress.observation.stable.requests);
    let parts = (candidate * u128::from(Ppm::ALL.parts())).checked_div(all)?;
    u32::try_from(parts).ok().and_then(|parts| Ppm::new(parts).ok())
}

/// A blocker: its kind and numbers, and a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockerView {
    #[serde(flatten)]
    pub blocker: Blocker,
    /// Completes "waits for …".
    pub detail: String,
}

impl BlockerView {
    /// A view of each blocker.
    #[must_use]
    pub fn all(blockers: &[Blocker]) -> Vec<Self> {
        let view = |blocker: &Blocker| Self {
            blocker: blocker.clone(),
            detail: tidegate_delivery::text::blocker(blocker),
        };
        blockers.iter().map(view).collect()
    }
}

/// The outcome of a command: the kind and values of its effect, and a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutcomeView {
    #[serde(flatten)]
    pub outcome: Outcome,
    pub message: String,
}

impl From<Outcome> for OutcomeView {
    fn from(outcome: Outcome) -> Self {
        Self { message: outcome.to_string(), outcome }
    }
}

impl From<&Progress> for ProgressView {
    fn from(progress: &Progress) -> Self {
        let seen = &progress.observation;
        Self {
            verdict: seen.verdict.clone(),
            dry_run: seen.dry_run.clone(),
            queries: seen.queries.clone(),
            candidate: seen.candidate,
            baseline: seen.stable,
            convergence: ConvergenceView::from(&seen.convergence),
            blockers: BlockerView::all(&progress.blockers),
            time_left_ms: u64::try_from(progress.time_left.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
