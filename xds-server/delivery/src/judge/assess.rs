//! Evaluates the guardrails of a release: counts in, verdict out.

use std::time::Duration;

use super::sequential_test::{is_exceeded, is_exceeded_sequentially};
use super::windows::{EvidenceWindows, Window};
use super::{Evidence, Finding, Guardrail, Level, Limit, ResourceSamples, ResourceUse, Verdict};
use crate::judge::guardrails::{Guardrails, Latency, Resources};
use crate::units::{Ppm, Timestamp};

/// The verdict on a candidate's counts.
#[must_use]
pub fn assess(guardrails: &Guardrails, candidate: &EvidenceWindows, now: Timestamp) -> Verdict {
    let limits = limits(guardrails);
    let mut findings: Vec<Finding> = Vec::new();
    for limit in &limits {
        // The limits of a guardrail are sorted by level: the finding is the worst one.
        if findings.iter().any(|finding| finding.guardrail == limit.guardrail) {
            continue;
        }
        findings.extend(limit.evaluate(candidate, now, guardrails.min_requests));
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

/// One limit, as a threshold of the share of what counts against it.
struct Rule {
    guardrail: Guardrail,
    level: Level,
    threshold: Ppm,
    /// What counts against it, and out of how many.
    count: Count,
    configured: Limit,
}

/// Selects the samples of one resource.
type Resource = fn(&ResourceUse) -> ResourceSamples;

/// Selects the counts that a limit applies to.
enum Count {
    Requests(fn(&Evidence) -> u64),
    ResourceUse(Resource, fn(ResourceSamples) -> u64),
    Business(usize),
}

impl Count {
    fn of(&self, evidence: &Evidence) -> (u64, u64) {
        match self {
            Self::Requests(bad) => (bad(evidence), evidence.requests),
            Self::ResourceUse(resource, bad) => {
                let above = resource(&evidence.resource_use);
                (bad(above), above.samples)
            }
            Self::Business(rule) => {
                let share = evidence.business.of(*rule);
                (share.bad, share.requests)
            }
        }
    }
}

/// All limits; those of one guardrail follow each other, worst first.
fn limits(guardrails: &Guardrails) -> Vec<Rule> {
    let errors = |level, threshold: Ppm| Rule {
        guardrail: Guardrail::ErrorRate,
        level,
        threshold,
        count: Count::Requests(|evidence| evidence.errors),
        configured: Limit::Share { max_ppm: threshold },
    };
    let Latency { quantile, warning, critical, rollback } = guardrails.latency;
    // The p-quantile is above a limit exactly when more than 1 − p of the requests are.
    let slow = |level, limit: Duration, bad| Rule {
        guardrail: Guardrail::Latency,
        level,
        threshold: quantile.complement(),
        count: Count::Requests(bad),
        configured: Limit::Latency { quantile_ppm: quantile, max: limit },
    };
    let mut limits = vec![
        errors(Level::Rollback, guardrails.error_rate.rollback),
        errors(Level::Critical, guardrails.error_rate.alert),
        slow(Level::Rollback, rollback, |evidence| evidence.slow.rollback),
        slow(Level::Critical, critical, |evidence| evidence.slow.critical),
        slow(Level::Warning, warning, |evidence| evidence.slow.warning),
    ];
    let resources: [(_, Resource); 3] = [
        (Guardrail::Cpu, |busy| busy.cpu),
        (Guardrail::Memory, |busy| busy.memory),
        (Guardrail::Disk, |busy| busy.disk),
    ];
    for (guardrail, of) in resources {
        let Resources { quantile, warning, critical } = guardrails.resources;
        let busy = |level, limit: Ppm, bad| Rule {
            guardrail: guardrail.clone(),
            level,
            threshold: quantile.complement(),
            count: Count::ResourceUse(of, bad),
            configured: Limit::ResourceUse { quantile_ppm: quantile, max_ppm: limit },
        };
        limits.push(busy(Level::Critical, critical, |above| above.critical));
        limits.push(busy(Level::Warning, warning, |above| above.warning));
    }
    // The record has a person decide here: an alert holds the release, and nothing more.
    limits.extend(guardrails.business.iter().enumerate().map(|(place, metric)| Rule {
        guardrail: Guardrail::Business(metric.name.clone()),
        level: Level::Critical,
        threshold: metric.at_least.complement(),
        count: Count::Business(place),
        configured: Limit::Share { max_ppm: metric.at_least.complement() },
    }));
    limits
}

impl Rule {
    fn evaluate(
        &self,
        candidate: &EvidenceWindows,
        now: Timestamp,
        min_requests: u64,
    ) -> Option<Finding> {
        let step = self.count.of(&candidate.since_start());
        let recent = candidate.recent(now).map(|Window { length, evidence }| {
            (self.count.of(&evidence), u64::try_from(length.as_millis()).ok())
        });
        if let Count::ResourceUse(..) = self.count {
            // Resource use is evaluated in the longest window. With too few samples in it the whole step is evaluated:
            // missing samples do not clear an alert.
            let [.., (latest, window_ms)] = recent;
            let (samples, window_ms) =
                if latest.1 < min_requests { (step, None) } else { (latest, window_ms) };
            let (bad, all) = samples;
            let exceeded = is_exceeded(bad, all, self.threshold, min_requests)
                || is_exceeded_sequentially(bad, all, self.threshold);
            return exceeded.then(|| self.finding(samples, window_ms));
        }
        if is_exceeded(step.0, step.1, self.threshold, min_requests) {
            return Some(self.finding(step, None));
        }
        recent.into_iter().find_map(|(counts, window_ms)| {
            let (bad, all) = counts;
            is_exceeded_sequentially(bad, all, self.threshold)
                .then(|| self.finding(counts, window_ms))
        })
    }

    fn finding(&self, (bad, requests): (u64, u64), window_ms: Option<u64>) -> Finding {
        Finding {
            guardrail: self.guardrail.clone(),
            level: self.level,
            limit: self.configured,
            bad,
            requests,
            window_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::config::{RequestMatch, ResponseMatch};

    use super::*;
    use crate::judge::guardrails::BusinessMetric;
    use crate::judge::{Share, SlowRequests};

    fn evidence(requests: u64, errors: u64) -> Evidence {
        Evidence { requests, errors, ..Evidence::default() }
    }

    fn slow(requests: u64, warning: u64, critical: u64, rollback: u64) -> Evidence {
        Evidence {
            requests,
            slow: SlowRequests { warning, critical, rollback },
            ..Evidence::default()
        }
    }

    fn resource_use(samples: u64, warning: u64, critical: u64) -> Evidence {
        let disk = ResourceSamples { samples, warning, critical };
        Evidence {
            resource_use: ResourceUse { disk, ..ResourceUse::default() },
            ..evidence(10_000, 0)
        }
    }

    /// All counts are older than the windows: only the total of the step applies.
    fn assessed(evidence: Evidence) -> Verdict {
        assessed_by(&Guardrails::default(), evidence)
    }

    fn assessed_by(guardrails: &Guardrails, evidence: Evidence) -> Verdict {
        let mut windows = EvidenceWindows::begin(Timestamp(0), Evidence::default());
        windows.observe(Timestamp(1_000), evidence);
        windows.observe(Timestamp(100_000), evidence);
        assess(guardrails, &windows, Timestamp(200_000))
    }

    fn level(verdict: &Verdict) -> Option<Level> {
        match verdict {
            Verdict::RollBack { finding } => Some(finding.level),
            Verdict::Alert { findings } => findings.iter().map(|finding| finding.level).max(),
            Verdict::Healthy | Verdict::InsufficientData { .. } => None,
        }
    }

    #[test]
    fn the_default_limits() {
        let cases = [
            (evidence(1_000, 10), None),
            (evidence(1_000, 11), Some(Level::Critical)),
            (evidence(1_000, 50), Some(Level::Critical)),
            (evidence(1_000, 51), Some(Level::Rollback)),
            (slow(1_000, 10, 0, 0), None),
            (slow(1_000, 11, 0, 0), Some(Level::Warning)),
            (slow(1_000, 900, 11, 0), Some(Level::Critical)),
            (slow(1_000, 900, 900, 11), Some(Level::Rollback)),
            // More than one sample in ten is above the limit.
            (resource_use(1_000, 100, 0), None),
            (resource_use(1_000, 101, 100), Some(Level::Warning)),
            (resource_use(1_000, 101, 101), Some(Level::Critical)),
        ];
        for (candidate, expected) in cases {
            assert_eq!(level(&assessed(candidate)), expected, "{candidate:?}");
        }
    }

    #[test]
    fn missing_samples_do_not_clear_a_resource_alert() {
        let mut windows = EvidenceWindows::begin(Timestamp(0), Evidence::default());
        windows.observe(Timestamp(1_000), resource_use(1_000, 1_000, 0));
        let at =
            |windows: &EvidenceWindows, now| level(&assess(&Guardrails::default(), windows, now));
        assert_eq!(at(&windows, Timestamp(1_000)), Some(Level::Warning));
        windows.observe(Timestamp(100_000), resource_use(1_000, 1_000, 0));
        assert_eq!(at(&windows, Timestamp(100_000)), Some(Level::Warning), "no sample since");
        windows.observe(Timestamp(101_000), resource_use(1_200, 1_000, 0));
        assert_eq!(at(&windows, Timestamp(101_000)), None);
    }

    #[test]
    fn a_bad_business_metric_is_an_alert_and_no_rollback() {
        let order_success = BusinessMetric {
            name: "order_success".parse().unwrap(),
            of: RequestMatch::default(),
            good: ResponseMatch { status: (200, 299), header: None },
            at_least: Ppm::percent(95),
        };
        let guardrails = Guardrails { business: vec![order_success], ..Guardrails::default() };
        let of = |requests, bad| {
            let business = [Share { requests, bad }].into_iter().collect();
            assessed_by(&guardrails, Evidence { business, ..evidence(10_000, 0) })
        };
        assert_eq!(of(1_000, 50), Verdict::Healthy);
        let Verdict::Alert { findings } = of(1_000, 1_000) else { panic!("no alert") };
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(finding.level, Level::Critical);
        assert_eq!(finding.guardrail.to_string(), "share of bad `order_success`");
        let limit = Limit::Share { max_ppm: Ppm::percent(5) };
        assert_eq!((finding.limit, finding.bad), (limit, 1_000));
    }

    #[test]
    fn without_requests_the_data_is_insufficient() {
        assert_eq!(
            assessed(Evidence::default()),
            Verdict::InsufficientData { missing: Guardrails::default().min_requests }
        );
    }

    #[test]
    fn one_alert_per_exceeded_guardrail() {
        let Verdict::Alert { findings } =
            assessed(Evidence { errors: 11, ..slow(1_000, 11, 0, 0) })
        else {
            panic!("no alert");
        };
        assert_eq!(findings.len(), 2);
    }

    #[test]
    fn a_finding_contains_the_configured_limit() {
        let Verdict::RollBack { finding } = assessed(slow(100, 50, 50, 50)) else {
            panic!("no rollback");
        };
        let max = Duration::from_secs(10);
        assert_eq!(finding.limit, Limit::Latency { quantile_ppm: Ppm::percent(99), max });
        assert_eq!(finding.window_ms, None);
    }

    #[test]
    fn a_late_failure_is_detected_in_the_shortest_window() {
        let mut windows = EvidenceWindows::begin(Timestamp(0), Evidence::default());
        for tenth in 1..=3_000 {
            windows.observe(Timestamp(tenth * 100), evidence(tenth * 5, 0));
        }
        windows.observe(Timestamp(300_250), evidence(15_013, 13));
        let verdict = assess(&Guardrails::default(), &windows, Timestamp(300_250));
        let Verdict::RollBack { finding } = verdict else {
            panic!("{verdict:?}");
        };
        assert_eq!((finding.bad, finding.window_ms), (13, Some(1_000)));
    }
}
