//! The evidence of one limit on requests.

use std::time::Duration;

use super::Level;
use super::guardrails::{CommonMode, Guardrails};
use super::limits::{Rule, rules};
use super::statistics::ceiling::{Ceiling, Confirmation, RecentStable, is_above};
use super::statistics::{Pair, Units};
use crate::units::Timestamp;

/// Evidence of an alert above this is given up, so that better counts clear the alert soon.
pub(super) const MOST_OF_ALERT: f64 = 200.0;
/// Evidence of a rollback is given up only where it would not be finite.
pub(super) const MOST_OF_ROLLBACK: f64 = 1e100;
/// How long a cause stays common to both versions after it was seen.
const COMMON_FOR: Duration = Duration::from_secs(10);
/// Stable serves if it had requests in this time.
const SERVES: Duration = Duration::from_secs(5);

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

/// The evidence of all limits on requests, and the limits on resource use.
pub(super) fn limits(
    now: Timestamp,
    guardrails: &Guardrails,
    kappa: f64,
) -> (Vec<LimitEvidence>, Vec<Rule>) {
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

/// Adds units of the candidate, and ends the block if it has its length.
pub(super) fn observe_block(
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
pub(super) struct Block {
    pub(super) now: Timestamp,
    pub(super) threshold: f64,
    /// Since the last call.
    pub(super) counts: Pair,
    /// In the last 5 seconds.
    pub(super) recent: Pair,
    pub(super) common_mode: CommonMode,
}

/// The evidence for a rollback.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needed {
    pub(super) in_all: f64,
    /// What the other e-processes of the guardrail contribute.
    pub(super) others: f64,
    /// The share of the limit's own e-value.
    pub(super) share: f64,
}

impl LimitEvidence {
    pub(super) fn is_of_rollback(&self) -> bool {
        self.rule.level == Level::Rollback
    }

    pub(super) fn observe(&mut self, block: Block, needed: Needed, kappa: impl Fn() -> f64) {
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
