//! The evidence of a running release, and the observation that the reducer decides on.
//!
//! The counts of the step decide about advancing and alerts, because counts at another weight say little about this one.
//! The e-processes of the release continue from step to step, and decide about a rollback.

use std::time::Duration;

use super::sample_ratio::{StepRatio, is_selected_by_flags};
use super::{EvidenceSource, Recount, Sidecars};
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::history::StableHistory;
use tidegate_delivery::judge::{Counted, ReleaseJudge};
use tidegate_delivery::model::progress::{Convergence, Observation};
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::units::Timestamp;

/// Report coverage that a step requires. Within this time every connected sidecar has reported, including the counts from
/// before the gap: a filter retransmits at least every 4 s.
const MIN_COVERAGE: Duration = Duration::from_secs(5);

/// What the evidence of a release is taken from.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) now: Timestamp,
    pub(super) source: &'a dyn EvidenceSource,
    pub(super) service: &'a ServiceState,
    pub(super) release: &'a Release,
    /// What is known of the service's stable version.
    pub(super) history: &'a StableHistory,
}

impl Context<'_> {
    fn guardrails(&self) -> &Guardrails {
        &self.service.spec.guardrails
    }

    fn counted(&self) -> Counted {
        let Release { id, service, candidate, stable, .. } = self.release;
        let evidence = |version| self.source.evidence(id, service, version, self.guardrails());
        Counted { candidate: evidence(candidate), stable: evidence(stable) }
    }

    /// The number of instances of stable for each one of the candidate.
    fn spread(&self) -> f64 {
        let instances = |version| {
            let spec = self.service.spec.versions.get(version);
            f64::from(spec.map_or(1, |it| u32::try_from(it.endpoints.len()).unwrap_or(u32::MAX)))
        };
        instances(&self.release.stable) / instances(&self.release.candidate)
    }
}

/// The counts of both versions at the start of a step, by any limits.
struct Baseline {
    candidate: Recount,
    stable: Recount,
}

impl Baseline {
    fn of(context: Context<'_>) -> Self {
        let Release { id, service, candidate, stable, .. } = context.release;
        let recount = |version| context.source.recount(id, service, version);
        Self { candidate: recount(candidate), stable: recount(stable) }
    }

    fn by(&self, guardrails: &Guardrails) -> Counted {
        Counted { candidate: (self.candidate)(guardrails), stable: (self.stable)(guardrails) }
    }
}

/// The evidence of a release.
pub(super) struct StepWindows {
    /// Publication of the step's weight.
    serial: u64,
    judge: ReleaseJudge,
    baseline: Baseline,
    /// The limits by which the judge has counted.
    guardrails: Guardrails,
    ratio: StepRatio,
    /// An operator has overruled a guardrail in this step.
    is_overruled: bool,
}

impl StepWindows {
    /// Starts the evidence of a release at the current counts, or that of its next step. `serial` is the publication that
    /// sidecars must acknowledge. The evidence of the release does not continue after a step in which an operator has overruled
    /// a guardrail: it would break that guardrail again at once.
    pub(super) fn start(serial: u64, context: Context<'_>, previous: Option<Self>) -> Self {
        let Context { now, release, history, .. } = context;
        let (counted, weight) = (context.counted(), release.weight());
        let guardrails = context.guardrails().clone();
        let baseline = Baseline::of(context);
        let judge = match previous {
            Some(mut previous) if !previous.is_overruled => {
                previous.rejudge_if_changed(context);
                previous.judge.enter_step(now, weight, counted, history);
                previous.judge
            }
            _ => {
                let spread = context.spread();
                ReleaseJudge::begin(now, weight, spread, counted, &guardrails, history)
            }
        };
        // After a restart of the server, a step can have converged.
        let ratio = if release.converged { StepRatio::begin(now) } else { StepRatio::default() };
        Self { serial, judge, baseline, guardrails, ratio, is_overruled: false }
    }

    /// Records that an operator has overruled a guardrail.
    pub(super) const fn overrule(&mut self) {
        self.is_overruled = true;
    }

    /// Starts the step's evidence again once the sidecars have the step: earlier counts are no evidence of it. The evidence
    /// of the release continues.
    pub(super) fn restart(&mut self, context: Context<'_>) {
        self.rejudge_if_changed(context);
        self.judge.begin_evidence(context.now, context.counted(), context.history);
        self.baseline = Baseline::of(context);
        self.ratio = StepRatio::begin(context.now);
    }

    /// Adds the current counts, and returns the observation of the step.
    pub(super) fn observe(
        &mut self,
        context: Context<'_>,
        state: &State,
        sidecars: &dyn Sidecars,
    ) -> Observation {
        self.rejudge_if_changed(context);
        let Context { now, release, history, .. } = context;
        let (guardrails, service) = (context.guardrails(), &release.service);
        let group = state.group_of(&release.id).map_or(1, |(_, group)| group.members.len());
        self.judge.observe(now, context.counted(), guardrails, history, group);
        let Counted { candidate, stable } = self.judge.since_step();
        let sample_ratio = self.ratio.observe(
            now,
            release.weight(),
            || is_selected_by_flags(state, service),
            || context.source.splits(&release.id, service),
        );
        Observation {
            verdict: self.judge.verdict(guardrails, &release.alerts),
            candidate,
            stable,
            counted_for: self.judge.step_duration(),
            convergence: Convergence { sample_ratio, ..sidecars.convergence(self.serial, service) },
            coverage_remaining: MIN_COVERAGE.saturating_sub(sidecars.time_since_gap(service)),
        }
    }

    /// Counts by other limits are not comparable: the step is judged again by those in force.
    fn rejudge_if_changed(&mut self, context: Context<'_>) {
        let guardrails = context.guardrails();
        if self.guardrails == *guardrails {
            return;
        }
        let baseline = self.baseline.by(guardrails);
        self.judge.rejudge(context.now, baseline, context.counted(), guardrails, context.history);
        self.guardrails = guardrails.clone();
    }
}
