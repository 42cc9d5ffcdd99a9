//! From counts to a verdict: ADR-005's ceilings, with a minimum of evidence.

use std::time::Duration;

use super::ceiling::{is_beyond_chance, is_exceeded};
use super::trail::Trail;
use super::{Evidence, Finding, Guardrail, Level, Verdict};
use crate::delivery::catalogue::{Guardrails, Latency};
use crate::delivery::units::{Ppm, Timestamp};

/// What the candidate's counts say of its release now.
#[must_use]
pub fn assess(guardrails: &Guardrails, candidate: &Trail, now: Timestamp) -> Verdict {
    let limits = limits(guardrails);
    let mut findings: Vec<Finding> = Vec::new();
    for limit in &limits {
        // Limits come worst first: of each guardrail the worst one that is broken is enough.
        if findings.iter().any(|finding| finding.guardrail == limit.guardrail) {
            continue;
        }
        findings.extend(limit.broken_by(candidate, now, guardrails.min_requests));
    }
    if let Some(worst) = findings.iter().position(|finding| finding.level == Level::Rollback) {
        return Verdict::RollBack { finding: findings.swap_remove(worst) };
    }
    if !findings.is_empty() {
        return Verdict::Alert { findings };
    }
    match guardrails.min_requests.saturating_sub(candidate.since_start().requests) {
        0 => Verdict::Healthy,
        missing => Verdict::InsufficientData { missing },
    }
}

/// One limit, as a ceiling on the share of requests that count against it.
struct Limit {
    guardrail: Guardrail,
    level: Level,
    ceiling: Ppm,
    bad: fn(&Evidence) -> u64,
    shown: String,
}

/// A guardrail's limits, worst first.
fn limits(guardrails: &Guardrails) -> [Limit; 5] {
    let errors = |level, ceiling: Ppm| Limit {
        guardrail: Guardrail::ErrorRate,
        level,
        ceiling,
        bad: |evidence| evidence.errors,
        shown: ceiling.to_string(),
    };
    let Latency { quantile, warning, critical, rollback } = guardrails.latency;
    // The p-quantile is above a limit exactly when more than 1 − p of the requests are.
    let slow = |level, limit: Duration, bad| Limit {
        guardrail: Guardrail::Latency,
        level,
        ceiling: quantile.complement(),
        bad,
        shown: format!("p{} {limit:?}", f64::from(quantile.parts()) / 10_000.0),
    };
    [
        errors(Level::Rollback, guardrails.error_rate.rollback),
        errors(Level::Critical, guardrails.error_rate.alert),
        slow(Level::Rollback, rollback, |evidence| evidence.slow.rollback),
        slow(Level::Critical, critical, |evidence| evidence.slow.critical),
        slow(Level::Warning, warning, |evidence| evidence.slow.warning),
    ]
}

impl Limit {
    fn broken_by(&self, candidate: &Trail, now: Timestamp, enough: u64) -> Option<Finding> {
        let step = candidate.since_start();
        if is_exceeded((self.bad)(&step), step.requests, self.ceiling, enough) {
            return Some(self.finding(&step, None));
        }
        let mut recent = candidate.recent(now).into_iter();
        let window = recent.find(|window| {
            is_beyond_chance((self.bad)(&window.evidence), window.evidence.requests, self.ceiling)
        })?;
        Some(self.finding(&window.evidence, u64::try_from(window.span.as_millis()).ok()))
    }

    fn finding(&self, evidence: &Evidence, window_ms: Option<u64>) -> Finding {
        Finding {
            guardrail: self.guardrail,
            level: self.level,
            limit: self.shown.clone(),
            bad: (self.bad)(evidence),
            requests: evidence.requests,
            window_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Slow;

    fn evidence(requests: u64, errors: u64) -> Evidence {
        Evidence { requests, errors, slow: Slow::default() }
    }

    fn slow(requests: u64, warning: u64, critical: u64, rollback: u64) -> Evidence {
        Evidence { requests, errors: 0, slow: Slow { warning, critical, rollback } }
    }

    /// All of it counted long ago, so that only the step's total speaks.
    fn judged(evidence: Evidence) -> Verdict {
        let mut trail = Trail::begin(Timestamp(0), Evidence::default());
        trail.observe(Timestamp(1_000), evidence);
        trail.observe(Timestamp(100_000), evidence);
        assess(&Guardrails::default(), &trail, Timestamp(200_000))
    }

    fn level(verdict: &Verdict) -> Option<Level> {
        match verdict {
            Verdict::RollBack { finding } => Some(finding.level),
            Verdict::Alert { findings } => findings.iter().map(|finding| finding.level).max(),
            Verdict::Healthy | Verdict::InsufficientData { .. } => None,
        }
    }

    #[test]
    fn the_records_ceilings() {
        let cases = [
            (evidence(1_000, 10), None),
            (evidence(1_000, 11), Some(Level::Critical)),
            (evidence(1_000, 50), Some(Level::Critical)),
            (evidence(1_000, 51), Some(Level::Rollback)),
            (slow(1_000, 10, 0, 0), None),
            (slow(1_000, 11, 0, 0), Some(Level::Warning)),
            (slow(1_000, 900, 11, 0), Some(Level::Critical)),
            (slow(1_000, 900, 900, 11), Some(Level::Rollback)),
        ];
        for (candidate, expected) in cases {
            assert_eq!(level(&judged(candidate)), expected, "{candidate:?}");
        }
    }

    #[test]
    fn no_data_is_no_evidence() {
        assert_eq!(
            judged(Evidence::default()),
            Verdict::InsufficientData { missing: Guardrails::default().min_requests }
        );
    }

    #[test]
    fn both_guardrails_may_alert_together() {
        let Verdict::Alert { findings } = judged(Evidence { errors: 11, ..slow(1_000, 11, 0, 0) })
        else {
            panic!("no alert");
        };
        assert_eq!(findings.len(), 2);
    }

    #[test]
    fn a_finding_says_its_limit_as_configured() {
        let Verdict::RollBack { finding } = judged(slow(100, 50, 50, 50)) else {
            panic!("no rollback");
        };
        assert_eq!(finding.limit, "p99 10s");
        assert_eq!(finding.window_ms, None);
    }

    #[test]
    fn a_version_that_breaks_late_is_found_in_the_last_second() {
        let mut trail = Trail::begin(Timestamp(0), Evidence::default());
        for tenth in 1..=3_000 {
            trail.observe(Timestamp(tenth * 100), evidence(tenth * 5, 0));
        }
        trail.observe(Timestamp(300_250), evidence(15_013, 13));
        let verdict = assess(&Guardrails::default(), &trail, Timestamp(300_250));
        let Verdict::RollBack { finding } = verdict else {
            panic!("{verdict:?}");
        };
        assert_eq!((finding.bad, finding.window_ms), (13, Some(1_000)));
    }
}
