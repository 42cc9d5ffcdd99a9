//! The verdict on the evidence of a release.
//!
//! A rollback needs an e-value of the guardrail's share of `1 / false_rollback`. An alert needs an e-value of 20, and remains
//! until the observed rate, over at least `min_requests`, is a tenth below the limit and the e-value below 5. A rate above
//! the limit of an alert that may be chance is inconclusive. Resource use is evaluated by its current values.

use std::collections::BTreeMap;
use std::time::Duration;

use super::guardrails::{Guardrails, WorseThanStable};
use super::limit_evidence::LimitEvidence;
use super::limits::{Count, Rule};
use super::release::ReleaseJudge;
use super::sequential_test::{is_exceeded, is_exceeded_sequentially};
use super::statistics::comparison::PASSING;
use super::statistics::likelihood::Ratio;
use super::statistics::{Pair, Units, float};
use super::windows::{EvidenceWindows, Window};
use super::{
    EValue, Evidence, Finding, FirstFailures, Guardrail, Level, Limit, RatioInterval, ResourceUse,
    Share, Verdict,
};

/// The e-value of an alert.
const ALERT: f64 = 20.0;
/// The e-value below which an alert ends.
const ALERT_ENDS: f64 = 5.0;
/// An alert ends below this part of its limit.
const HYSTERESIS: f64 = 0.9;
/// How much more often requests fail than those to stable, so that they block a step without evidence.
const DIFFERS: f64 = 2.0;
/// The e-value of a passed step.
const PASSED: f64 = 20.0;

impl ReleaseJudge {
    /// The verdict now. `alerts` are those that the release has.
    #[must_use]
    pub fn verdict(&self, guardrails: &Guardrails, alerts: &BTreeMap<Guardrail, Level>) -> Verdict {
        let assessment = Assessment { judge: self, guardrails, alerts };
        let mut findings = assessment.findings();
        findings.retain(|finding| !guardrails.dry_run.contains(&finding.guardrail));
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        match findings.first() {
            Some(worst) if worst.level == Level::Rollback => Verdict::RollBack { findings },
            Some(_) => Verdict::Alert { findings },
            None => match (assessment.missing(), assessment.at_limit()) {
                (0, None) => Verdict::Healthy,
                (missing, at_limit) => Verdict::Inconclusive { missing, at_limit },
            },
        }
    }
}

impl ReleaseJudge {
    /// The findings of guardrails in a dry run. `known` are those that the release has.
    #[must_use]
    pub fn dry_run_findings(
        &self,
        guardrails: &Guardrails,
        known: &BTreeMap<Guardrail, Level>,
    ) -> Vec<Finding> {
        if guardrails.dry_run.is_empty() {
            return Vec::new();
        }
        let mut findings = Assessment { judge: self, guardrails, alerts: known }.findings();
        findings.retain(|finding| guardrails.dry_run.contains(&finding.guardrail));
        findings
    }
}

struct Assessment<'a> {
    judge: &'a ReleaseJudge,
    guardrails: &'a Guardrails,
    alerts: &'a BTreeMap<Guardrail, Level>,
}

impl Assessment<'_> {
    /// One finding for each guardrail, the worst.
    fn findings(&self) -> Vec<Finding> {
        let step = self.judge.candidate.since_start();
        let limits = self.judge.limits.iter();
        let all = limits
            .filter_map(|evidence| self.of_limit(evidence, &step))
            .chain(self.worse_than_stable())
            .chain(self.more_client_errors())
            .chain(self.slower_than_stable())
            .chain(self.worse_than_before())
            .chain(self.of_resources(&step));
        let mut findings: Vec<Finding> = Vec::new();
        for finding in all {
            match findings.iter_mut().find(|it| it.guardrail == finding.guardrail) {
                Some(known) if known.level >= finding.level => {}
                Some(known) => *known = finding,
                None => findings.push(finding),
            }
        }
        findings
    }

    fn of_limit(&self, evidence: &LimitEvidence, step: &Evidence) -> Option<Finding> {
        let now = self.judge.now;
        let rule = &evidence.rule;
        if rule.level == Level::Rollback {
            if evidence.rolls_back {
                let e_value = evidence.ceiling.value();
                let compared = rule.guardrail == Guardrail::ErrorRate
                    && self.guardrails.error_rate.worse_than_stable == WorseThanStable::Rollback
                    && self.judge.comparison.much_worse() > e_value;
                return Some(if compared {
                    let e_value = self.judge.comparison.much_worse();
                    self.compared(Level::Rollback, e_value)
                } else {
                    self.of_rule(rule, Level::Rollback, Some(e_value))
                });
            }
            return evidence.is_common(now).then(|| Finding {
                common_mode: true,
                ..self.of_rule(rule, Level::Critical, None)
            });
        }
        let e_value = evidence.ceiling.value();
        let step = rule.count.judged(step);
        let is_sampled = step.all >= self.guardrails.min_requests;
        let is_above = |factor: f64| step.rate() > factor * rule.threshold.fraction();
        let stands = self.alerts.get(&rule.guardrail).is_some_and(|level| *level >= rule.level);
        let exceeded = e_value >= ALERT;
        let remains = stands && ((is_sampled && is_above(HYSTERESIS)) || e_value >= ALERT_ENDS);
        (exceeded || remains).then(|| Finding {
            common_mode: evidence.is_common(now),
            ..self.of_rule(rule, rule.level, Some(e_value))
        })
    }

    fn worse_than_stable(&self) -> Option<Finding> {
        let e_value = self.judge.comparison.worse();
        let holds = e_value >= self.alert_from(&Guardrail::ErrorRate);
        holds.then(|| self.compared(Level::Warning, e_value))
    }

    fn more_client_errors(&self) -> Option<Finding> {
        let of_clients = &self.judge.client_errors;
        let guardrail = Guardrail::ClientErrors;
        let (level, e_value) = if of_clients.rolls_back {
            (Level::Rollback, of_clients.comparison.much_worse())
        } else {
            (Level::Warning, of_clients.comparison.worse())
        };
        if level == Level::Warning && e_value < self.alert_from(&guardrail) {
            return None;
        }
        let is_above = |candidate: Units, stable: Units| candidate.rate() > stable.rate();
        let shown = self.shown(Counted::Of(Count::ClientFailures), is_above);
        Some(finding(guardrail, level, Limit::Stable, shown, Some(e_value)))
    }

    /// The counts are those at the quantile of stable with the most evidence.
    fn slower_than_stable(&self) -> Option<Finding> {
        let latency = &self.judge.latency;
        let (level, e_value) = if latency.rolls_back {
            (Level::Rollback, latency.comparison.much_worse())
        } else {
            (Level::Warning, latency.comparison.worse())
        };
        if level == Level::Warning && e_value < self.alert_from(&Guardrail::Latency) {
            return None;
        }
        let quantile = latency.comparison.strongest();
        let is_above = |candidate: Units, stable: Units| candidate.rate() > stable.rate();
        let shown = self.shown(Counted::Slower(quantile), is_above);
        Some(finding(Guardrail::Latency, level, Limit::Stable, shown, Some(e_value)))
    }

    fn worse_than_before(&self) -> Option<Finding> {
        let (ceiling, limit) = self.judge.before.as_ref()?;
        let e_value = ceiling.value();
        (e_value >= self.alert_from(&Guardrail::ErrorRate)).then(|| {
            let shown = self.shown(FAILURES, |candidate, _| candidate.rate() > *limit);
            let limit = Limit::Before { max_percent: 150 };
            finding(Guardrail::ErrorRate, Level::Warning, limit, shown, Some(e_value))
        })
    }

    /// The e-value of an alert of a guardrail; of one that stands, the one below which it ends.
    fn alert_from(&self, guardrail: &Guardrail) -> f64 {
        if self.alerts.contains_key(guardrail) { ALERT_ENDS } else { ALERT }
    }

    fn compared(&self, level: Level, e_value: f64) -> Finding {
        let shown = self.shown(FAILURES, |candidate, stable| candidate.rate() > stable.rate());
        // The interval is of the whole step; that of a candidate that broke late may still be below.
        let ratio = self.judge.comparison.interval().filter(|(low, _)| *low >= Ratio::EQUAL);
        Finding {
            ratio: ratio.map(|(low, high)| RatioInterval::between(low, high)),
            ..finding(Guardrail::ErrorRate, level, Limit::Stable, shown, Some(e_value))
        }
    }

    fn of_rule(&self, rule: &Rule, level: Level, e_value: Option<f64>) -> Finding {
        let threshold = rule.threshold.fraction();
        let counted = Counted::Of(rule.count);
        let shown = self.shown(counted, |candidate, _| candidate.rate() > threshold);
        finding(rule.guardrail.clone(), level, rule.configured, shown, e_value)
    }

    /// The counts of the step; of a shorter window if the candidate is above the limit only in that.
    fn shown(&self, counted: Counted, is_above: impl Fn(Units, Units) -> bool) -> Shown {
        let now = self.judge.now;
        let both = self.judge.candidate.all(now).into_iter().zip(self.judge.stable.all(now));
        let mut all = both.map(|(candidate, stable)| {
            let pair = |of: fn(Counted, &Evidence) -> Units| Pair {
                candidate: of(counted, &candidate.evidence),
                stable: of(counted, &stable.evidence),
            };
            let (observed, judged) = (pair(Counted::observed), pair(Counted::judged));
            Shown { observed, judged, length: candidate.length }
        });
        let step = all.next().unwrap_or_default();
        let above = |Shown { judged: Pair { candidate, stable }, .. }: &Shown| {
            candidate.bad > 0 && is_above(*candidate, *stable)
        };
        if above(&step) { step } else { all.find(above).unwrap_or(step) }
    }

    /// Resource use is evaluated in the longest window. With too few samples in it the whole step is evaluated: missing
    /// samples do not clear an alert.
    fn of_resources(&self, step: &Evidence) -> Vec<Finding> {
        if step.resource_use == ResourceUse::default() {
            return Vec::new();
        }
        let window = self.judge.candidate.longest(self.judge.now);
        let step = Window { length: None, evidence: *step };
        let rules = self.judge.of_resources.iter();
        rules.filter_map(|rule| self.of_resource(rule, &step, &window)).collect()
    }

    fn of_resource(&self, rule: &Rule, step: &Window, window: &Window) -> Option<Finding> {
        let least = self.guardrails.min_requests;
        let of = |it: &Window| (rule.count.observed(&it.evidence), it.length);
        let (samples, length) = if of(window).0.all < least { of(step) } else { of(window) };
        let stands = self.alerts.get(&rule.guardrail).is_some_and(|level| *level >= rule.level);
        let exceeded = is_exceeded(samples.bad, samples.all, rule.threshold, least)
            || is_exceeded_sequentially(samples.bad, samples.all, rule.threshold)
            || (stands && samples.rate() > HYSTERESIS * rule.threshold.fraction());
        let observed = Pair { candidate: samples, stable: Units::default() };
        let shown = Shown { observed, judged: observed, length };
        exceeded.then(|| finding(rule.guardrail.clone(), rule.level, rule.configured, shown, None))
    }

    /// The first guardrail whose rate in the step is above its alert limit: of what is judged, or of all requests.
    fn at_limit(&self) -> Option<Guardrail> {
        let [candidate, stable] =
            [&self.judge.candidate, &self.judge.stable].map(EvidenceWindows::since_start);
        let is_above = |rule: &&Rule| {
            let above = |units: Units| {
                units.all >= self.guardrails.min_requests
                    && units.rate() > rule.threshold.fraction()
            };
            let judged = rule.count.judged(&candidate);
            // A step whose requests are nearly all of clients that failed has no evidence, and must not pass for that.
            let observed = rule.count.observed(&candidate);
            let differs = observed.rate() > DIFFERS * rule.count.observed(&stable).rate();
            let few = judged.all < self.guardrails.min_requests;
            !self.guardrails.dry_run.contains(&rule.guardrail)
                && (above(judged) || (few && above(observed) && differs))
        };
        self.judge.limits.iter().map(|it| &it.rule).find(is_above).map(|it| it.guardrail.clone())
    }

    /// About how many more requests of the candidate the step needs to pass, at the rate of stable; 0 if it has passed.
    fn missing(&self) -> u64 {
        if self.guardrails.dry_run.contains(&Guardrail::ErrorRate) {
            return 0;
        }
        let below = self.judge.below_alert.value();
        if 0.5 * below >= PASSED {
            return 0;
        }
        let compared = self.judge.comparison.passing(2.0 * PASSED - below);
        if 0.5 * compared + 0.5 * below >= PASSED {
            return 0;
        }
        let target = (2.0 * PASSED).ln();
        let alert = self.guardrails.error_rate.alert.fraction().max(1e-6);
        // Without failures each request is worth `alert`; half of the alternatives are as good as none.
        let by_limit = (target + std::f64::consts::LN_2 - below.max(1e-9).ln()).max(0.0) / alert;
        let stable = self.judge.stable.since_start().first_failures().rate();
        let share = self.judge.comparison.expected_share().clamp(1e-6, 1.0 - 1e-6);
        let failing = PASSING.factor() * share / (PASSING.factor() * share + 1.0 - share);
        // The Kullback–Leibler divergence for each failure of either version.
        let nats =
            share * (share / failing).ln() + (1.0 - share) * ((1.0 - share) / (1.0 - failing)).ln();
        let by_stable =
            (target - compared.max(1e-9).ln()).max(0.0) * share / (nats * stable).max(1e-12);
        round_up(by_limit.min(by_stable))
    }
}

/// Which counts a finding has.
#[derive(Clone, Copy)]
enum Counted {
    Of(Count),
    /// Requests slower than a quantile of stable.
    Slower(usize),
}

const FAILURES: Counted = Counted::Of(Count::Failures);

impl Counted {
    fn observed(self, evidence: &Evidence) -> Units {
        match self {
            Self::Of(count) => count.observed(evidence),
            Self::Slower(quantile) => evidence.slower.units(quantile),
        }
    }

    fn judged(self, evidence: &Evidence) -> Units {
        match self {
            Self::Of(count) => count.judged(evidence),
            Self::Slower(_) => self.observed(evidence),
        }
    }
}

/// The counts of a finding.
#[derive(Clone, Copy, Default)]
struct Shown {
    observed: Pair,
    /// What the evidence is of.
    judged: Pair,
    /// None: since the step began.
    length: Option<Duration>,
}

fn finding(
    guardrail: Guardrail,
    level: Level,
    limit: Limit,
    Shown { observed, judged, length }: Shown,
    e_value: Option<f64>,
) -> Finding {
    let share = |units: Units| Share { requests: units.all, bad: units.bad };
    let served = |units: Units| (units.all > 0).then_some(share(units));
    let first_failures = (judged != observed).then(|| FirstFailures {
        candidate: share(judged.candidate),
        stable: served(judged.stable),
    });
    Finding {
        guardrail,
        level,
        limit,
        bad: observed.candidate.bad,
        requests: observed.candidate.all,
        window_ms: length.and_then(|it| u64::try_from(it.as_millis()).ok()),
        stable: served(observed.stable),
        first_failures,
        e_value: e_value.filter(|it| *it >= ALERT_ENDS).map(EValue::of),
        ratio: None,
        common_mode: false,
    }
}

/// At least 1.
fn round_up(requests: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and a billion"
    )]
    let rounded = requests.ceil().clamp(1.0, float(1_000_000_000)) as u64;
    rounded
}
