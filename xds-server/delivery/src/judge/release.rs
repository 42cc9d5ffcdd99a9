//! The evidence of one release: a fold over the cumulative counts of both versions.
//!
//! The caller creates it when the release starts, calls [`ReleaseJudge::enter_step`] with each new weight and
//! [`ReleaseJudge::begin_evidence`] when the sidecars have the step, and [`ReleaseJudge::observe`] at every evaluation, at
//! least every few seconds. Changed guardrails are passed to [`ReleaseJudge::rejudge`] first, with the counts by the new
//! limits.
//!
//! The counts of the step decide about alerts and passing. The e-processes of rollbacks run since the release started, or
//! since this process started; those of alerts begin with each step. Memory: about 50 kB for each release.

use std::cell::LazyCell;
use std::time::Duration;

use super::bound::Bound;
use super::guardrails::{CommonMode, Guardrails, WorseThanStable};
use super::history::StableHistory;
use super::limits::{Rule, rules};
use super::statistics::ceiling::{Ceiling, Confirmation, RecentStable, is_above};
use super::statistics::comparison::Comparison;
use super::statistics::two_by_two::{QUANTILES, TableComparison, Tables};
use super::statistics::{Pair, Units};
use super::windows::EvidenceWindows;
use super::{Evidence, Guardrail, Level};
use crate::units::{Ppm, Timestamp};

/// The share of the comparison in the evidence of the error rate; the rest is that of the limit.
const COMPARISON_SHARE: f64 = 2.0 / 3.0;
/// Evidence of an alert above this is given up, so that better counts clear the alert soon.
const MOST_OF_ALERT: f64 = 200.0;
/// Evidence of a rollback is given up only where it would not be finite.
const MOST_OF_ROLLBACK: f64 = 1e100;
/// How long a cause stays common to both versions after it was seen.
const COMMON_FOR: Duration = Duration::from_secs(10);
/// Stable serves if it had requests in this time.
const SERVES: Duration = Duration::from_secs(5);
/// Client errors roll a release back only if they are so much more frequent than those of stable: a few clients that always
/// fail, such as crawlers, are never spread evenly.
const GROSS: f64 = 0.2;
/// How much worse than before a release at 100 % must be: 1.5 times.
const WORSE_THAN_BEFORE: f64 = 1.5;

/// Cumulative counts of both versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Of the candidate.
    pub candidate: Evidence,
    /// Of stable.
    pub stable: Evidence,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct ReleaseJudge {
    pub(super) now: Timestamp,
    pub(super) candidate: EvidenceWindows,
    pub(super) stable: EvidenceWindows,
    /// The comparison of the error rates.
    pub(super) comparison: Comparison,
    /// The comparison of the client errors.
    pub(super) client_errors: Compared<1>,
    /// The comparison of the latency.
    pub(super) latency: Compared<QUANTILES>,
    /// One for each limit on requests; those of one guardrail follow each other, worst first.
    pub(super) limits: Vec<LimitEvidence>,
    /// The limits on resource use, which have current values only.
    pub(super) of_resources: Vec<Rule>,
    /// Against "the error rate is at least the alert limit", since the step began.
    pub(super) below_alert: Ceiling,
    /// Against "the error rate is at most 1.5 times that of stable before", at 100 %.
    pub(super) before: Option<(Ceiling, f64)>,
    weight: Ppm,
    /// How much more the rate of the candidate varies because it has fewer instances.
    spread: f64,
}

/// The evidence that candidate and stable differ.
#[derive(Debug, Clone)]
pub(super) struct Compared<const N: usize> {
    pub(super) comparison: TableComparison<N>,
    /// The evidence suffices for a rollback.
    pub(super) rolls_back: bool,
}

/// The evidence of one limit.
#[derive(Debug, Clone)]
pub(super) struct LimitEvidence {
    pub(super) rule: Rule,
    pub(super) ceiling: Ceiling,
    stable: RecentStable,
    /// When stable was last seen above the limit together with the candidate.
    common: Option<Timestamp>,
    /// The evidence suffices for a rollback, and stable does not share it.
    pub(super) rolls_back: bool,
}

impl ReleaseJudge {
    /// Begins with the current counts. `spread` is the number of instances of stable for each one of the candidate.
    #[must_use]
    pub fn begin(
        now: Timestamp,
        weight: Ppm,
        spread: f64,
        counted: Counted,
        guardrails: &Guardrails,
        history: &StableHistory,
    ) -> Self {
        let spread = if spread.is_finite() { spread.max(1.0) } else { 1.0 };
        let jitter = |length| spread * history.jitter(length);
        let kappa = jitter(super::history::BLOCK);
        let (limits, of_resources) = limits(now, guardrails, kappa);
        Self {
            now,
            candidate: EvidenceWindows::begin(now, counted.candidate),
            stable: EvidenceWindows::begin(now, counted.stable),
            comparison: Comparison::begin(now, weight, jitter),
            client_errors: Compared::begin(now, jitter_of_client_errors(history, spread)),
            latency: latency(now, history, spread),
            limits,
            of_resources,
            below_alert: Ceiling::begin_below(now, kappa),
            before: None,
            weight,
            spread,
        }
    }

    /// A step with another weight begins.
    pub fn enter_step(
        &mut self,
        now: Timestamp,
        weight: Ppm,
        counted: Counted,
        history: &StableHistory,
    ) {
        self.weight = weight;
        let kappa = self.kappa(history);
        let spread = self.spread;
        self.comparison.enter_step(now, weight, |length| spread * history.jitter(length));
        let jitter = jitter_of_client_errors(history, spread);
        self.client_errors.comparison.enter_step(now, jitter);
        self.latency.comparison.enter_step(now, jitter_of_slower(history, spread));
        for limit in &mut self.limits {
            limit.ceiling.enter_step(now, kappa);
        }
        self.begin_overridden_anew(now, kappa, history);
        if weight == Ppm::ALL {
            let before = history.rate_bound().map(|rate| (WORSE_THAN_BEFORE * rate).min(1.0));
            self.before = before.map(|limit| (Ceiling::begin(now, kappa, MOST_OF_ALERT), limit));
        }
        self.begin_evidence(now, counted, history);
    }

    /// A step that begins although the evidence suffices for a rollback was allowed by an operator: the evidence of that
    /// guardrail begins anew.
    fn begin_overridden_anew(&mut self, now: Timestamp, kappa: f64, history: &StableHistory) {
        let spread = self.spread;
        if self.client_errors.rolls_back {
            let jitter = jitter_of_client_errors(history, spread);
            self.client_errors = Compared::begin(now, jitter);
        }
        if self.latency.rolls_back {
            self.latency = latency(now, history, spread);
        }
        for limit in self.limits.iter_mut().filter(|it| it.rolls_back) {
            limit.ceiling = Ceiling::begin(now, kappa, MOST_OF_ROLLBACK);
            limit.rolls_back = false;
            if limit.rule.guardrail == Guardrail::ErrorRate {
                let jitter = |length| spread * history.jitter(length);
                self.comparison = Comparison::begin(now, self.weight, jitter);
            }
        }
    }

    /// The evidence of the step begins: what was counted before says nothing about it. The evidence of the release
    /// continues.
    pub fn begin_evidence(&mut self, now: Timestamp, counted: Counted, history: &StableHistory) {
        self.candidate = EvidenceWindows::begin(now, counted.candidate);
        self.stable = EvidenceWindows::begin(now, counted.stable);
        let spread = self.spread;
        self.comparison.begin_passing(now, |length| spread * history.jitter(length));
        let kappa = self.kappa(history);
        self.below_alert = Ceiling::begin_below(now, kappa);
        for limit in self.limits.iter_mut().filter(|it| !it.is_of_rollback()) {
            limit.ceiling = Ceiling::begin(now, kappa, MOST_OF_ALERT);
        }
    }

    /// Continues with the counts by other limits. Evidence of the limits begins anew, that of the comparison with stable
    /// continues: no limit is in it.
    pub fn rejudge(
        &mut self,
        now: Timestamp,
        baseline: Counted,
        counted: Counted,
        guardrails: &Guardrails,
        history: &StableHistory,
    ) {
        self.candidate.rejudge(now, baseline.candidate, counted.candidate);
        self.stable.rejudge(now, baseline.stable, counted.stable);
        let kappa = self.kappa(history);
        (self.limits, self.of_resources) = limits(now, guardrails, kappa);
        self.below_alert = Ceiling::begin_below(now, kappa);
    }

    /// Adds the current counts. `group` is the number of releases that roll back together.
    pub fn observe(
        &mut self,
        now: Timestamp,
        counted: Counted,
        guardrails: &Guardrails,
        history: &StableHistory,
        group: usize,
    ) {
        self.now = now;
        let candidate = counted.candidate.since(self.candidate.latest());
        let stable = counted.stable.since(self.stable.latest());
        self.candidate.observe(now, counted.candidate);
        self.stable.observe(now, counted.stable);
        let pair = Pair { candidate: candidate.first_failures(), stable: stable.first_failures() };
        let spread = self.spread;
        self.comparison.observe(now, pair, |length| spread * history.jitter(length));
        let kappa = LazyCell::new(|| spread * history.jitter(super::history::BLOCK));
        let kappa = || *kappa;
        let alert = guardrails.error_rate.alert.fraction();
        observe_block(&mut self.below_alert, now, pair.candidate, alert, kappa);
        if let Some((ceiling, limit)) = &mut self.before {
            observe_block(ceiling, now, pair.candidate, *limit, kappa);
        }
        let bound = Bound::of(guardrails, group);
        let worse = guardrails.error_rate.worse_than_stable;
        let compared = match worse {
            WorseThanStable::Rollback => COMPARISON_SHARE * self.comparison.much_worse(),
            WorseThanStable::Hold => 0.0,
        };
        let [of_candidate, of_stable] =
            [&candidate, &stable].map(|it| Tables::from(it.client_failures()));
        let jitter = jitter_of_client_errors(history, spread);
        self.client_errors.comparison.observe(now, &of_candidate, &of_stable, jitter);
        self.client_errors.rolls_back = guardrails.client_errors.worse_than_stable
            == WorseThanStable::Rollback
            && self.client_errors.comparison.much_worse() >= bound.client_errors
            && self.is_gross();
        let jitter = jitter_of_slower(history, spread);
        self.latency.comparison.observe(now, &candidate.slower, &stable.slower, jitter);
        self.latency.rolls_back = self.latency.comparison.much_worse() >= bound.latency_compared;
        let recent = [&self.candidate, &self.stable].map(|it| it.recent(now));
        for limit in &mut self.limits {
            let LimitEvidence { rule, .. } = &*limit;
            let needed = match (rule.level, &rule.guardrail, worse) {
                (Level::Rollback, Guardrail::ErrorRate, WorseThanStable::Hold) => {
                    Needed { in_all: bound.errors, others: 0.0, share: 1.0 }
                }
                (Level::Rollback, Guardrail::ErrorRate, WorseThanStable::Rollback) => {
                    Needed { in_all: bound.errors, others: compared, share: 1.0 - COMPARISON_SHARE }
                }
                (Level::Rollback, Guardrail::ClientErrors, _) => {
                    Needed { in_all: bound.client_errors, others: 0.0, share: 1.0 }
                }
                (Level::Rollback, ..) => {
                    Needed { in_all: bound.latency_limit, others: 0.0, share: 1.0 }
                }
                (Level::Warning | Level::Critical, ..) => {
                    Needed { in_all: f64::INFINITY, others: 0.0, share: 1.0 }
                }
            };
            let pair = |[candidate, stable]: [&Evidence; 2]| Pair {
                candidate: rule.count.judged(candidate),
                stable: rule.count.judged(stable),
            };
            let block = Block {
                now,
                threshold: rule.threshold.fraction(),
                counts: pair([&candidate, &stable]),
                recent: pair(recent.each_ref()),
                common_mode: guardrails.common_mode,
            };
            limit.observe(block, needed, kappa);
        }
    }

    /// The evidence of both versions since the step began.
    #[must_use]
    pub fn since_step(&self) -> Counted {
        Counted { candidate: self.candidate.since_start(), stable: self.stable.since_start() }
    }

    /// The time of these counts.
    #[must_use]
    pub const fn step_duration(&self) -> Duration {
        self.candidate.duration(self.now)
    }

    /// Whether client errors are much more frequent than those of stable, in the step or in the last seconds. A further
    /// condition for a rollback, so it leaves the bound as it is.
    fn is_gross(&self) -> bool {
        let both = self.candidate.all(self.now).into_iter().zip(self.stable.all(self.now));
        let rate = |it: &Evidence| it.client_failures().rate();
        both.into_iter()
            .any(|(candidate, stable)| rate(&candidate.evidence) - rate(&stable.evidence) >= GROSS)
    }

    fn kappa(&self, history: &StableHistory) -> f64 {
        self.spread * history.jitter(super::history::BLOCK)
    }
}

impl<const N: usize> Compared<N> {
    fn begin(now: Timestamp, jitter: impl Fn(usize, Duration) -> f64) -> Self {
        Self { comparison: TableComparison::begin(now, jitter), rolls_back: false }
    }
}

fn jitter_of_client_errors(
    history: &StableHistory,
    spread: f64,
) -> impl Fn(usize, Duration) -> f64 {
    move |_, length| spread * history.jitter_of_client_errors(length)
}

fn jitter_of_slower(history: &StableHistory, spread: f64) -> impl Fn(usize, Duration) -> f64 {
    move |quantile, length| spread * history.jitter_of_slower(quantile, length)
}

/// Requests that wait for the same pause are slow together.
fn latency(now: Timestamp, history: &StableHistory, spread: f64) -> Compared<QUANTILES> {
    let comparison = TableComparison::begin(now, jitter_of_slower(history, spread));
    Compared { comparison: comparison.of_common_events(), rolls_back: false }
}

fn limits(now: Timestamp, guardrails: &Guardrails, kappa: f64) -> (Vec<LimitEvidence>, Vec<Rule>) {
    let (of_requests, of_resources): (Vec<_>, Vec<_>) =
        rules(guardrails).into_iter().partition(Rule::is_of_requests);
    let evidence = |rule: Rule| {
        let most = if rule.level == Level::Rollback { MOST_OF_ROLLBACK } else { MOST_OF_ALERT };
        LimitEvidence {
            rule,
            ceiling: Ceiling::begin(now, kappa, most),
            stable: RecentStable::default(),
            common: None,
            rolls_back: false,
        }
    };
    (of_requests.into_iter().map(evidence).collect(), of_resources)
}

fn observe_block(
    ceiling: &mut Ceiling,
    now: Timestamp,
    candidate: Units,
    limit: f64,
    kappa: impl Fn() -> f64,
) {
    ceiling.observe(candidate, limit);
    if ceiling.is_over(now) {
        ceiling.next_block(now, kappa());
    }
}

/// The counts that one limit observes.
#[derive(Debug, Clone, Copy)]
struct Block {
    now: Timestamp,
    threshold: f64,
    /// Since the last call.
    counts: Pair,
    /// In the last 5 seconds.
    recent: Pair,
    common_mode: CommonMode,
}

/// The evidence for a rollback.
#[derive(Debug, Clone, Copy)]
struct Needed {
    in_all: f64,
    /// What the other e-processes of the guardrail contribute.
    others: f64,
    /// The share of the limit's own e-value.
    share: f64,
}

impl LimitEvidence {
    fn is_of_rollback(&self) -> bool {
        self.rule.level == Level::Rollback
    }

    fn observe(&mut self, block: Block, needed: Needed, kappa: impl Fn() -> f64) {
        let Block { now, threshold, counts, recent, common_mode } = block;
        self.stable.observe(now, counts.stable);
        // An alert is about the candidate alone: it holds the release also if stable fails as well.
        let limit = if self.is_of_rollback() && common_mode == CommonMode::Hold {
            self.stable.raised(now, threshold)
        } else {
            threshold
        };
        observe_block(&mut self.ceiling, now, counts.candidate, limit, kappa);
        let shared = limit > threshold || is_above(recent.stable, threshold);
        if common_mode == CommonMode::Hold && shared && recent.candidate.rate() > threshold {
            self.common = Some(now);
        }
        if needed.in_all.is_infinite() {
            return;
        }
        let suffices = needed.others + needed.share * self.ceiling.value() >= needed.in_all;
        let alone = needed.others >= needed.in_all;
        self.rolls_back = alone || (suffices && common_mode == CommonMode::Rollback);
        if suffices && !self.rolls_back {
            let serving = self.stable.within(now, SERVES);
            let new = (serving.all > 0).then_some(counts.stable);
            let second = self.stable.within(now, Duration::from_secs(1));
            match self.ceiling.confirmation(now, threshold, new, second) {
                Confirmation::Pending => {}
                Confirmation::Confirmed => self.rolls_back = true,
                Confirmation::Common => self.common = Some(now),
            }
        } else if !suffices {
            self.ceiling.end_confirmation();
        }
    }

    /// Whether both versions have been above the limit in the last seconds.
    pub(super) fn is_common(&self, now: Timestamp) -> bool {
        self.common.is_some_and(|at| now.since(at) < COMMON_FOR)
    }
}
