//! The outcomes of many runs of one scenario.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tidegate_delivery::judge::Guardrail;
use tidegate_delivery::judge::statistics::proportion::interval;

use crate::outcome::{End, Outcome};
use crate::scenario::Scenario;

/// What became of all runs of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The name of the scenario.
    pub scenario: String,
    /// Simulated releases.
    pub runs: u64,
    /// Those that completed.
    pub completed: u64,
    /// Those that a guardrail rolled back, or paused.
    pub rolled_back: u64,
    /// Those that waited at the end of the simulated time, by what they waited for.
    pub held: BTreeMap<&'static str, u64>,
    /// Those that had an alert.
    pub alerted: u64,
    /// Rollbacks of a candidate that was no worse than stable at that time, …
    pub false_alarms: u64,
    /// … and the exact 95 % interval of their share, in percent.
    pub false_alarms_percent: [f64; 2],
    /// The guardrails that rolled back.
    pub guardrails: BTreeMap<Guardrail, u64>,
    /// From the moment the candidate became worse to the rollback, in seconds; absent without such a moment. Runs without a
    /// rollback count as infinite.
    pub detection: Option<Quantiles>,
    /// Distinct clients with a request that the candidate failed.
    pub harmed_clients: Quantiles,
    /// Requests that the candidate failed.
    pub failed_requests: Quantiles,
}

/// Quantiles of the runs; absent above the runs that have a value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// The median.
    pub median: Option<f64>,
    /// The 95th percentile.
    pub p95: Option<f64>,
}

impl Quantiles {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        // The least value that so many percent of the runs do not exceed.
        let at = |percent: usize| {
            let rank = values.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
            values.get(rank).copied().filter(|it| it.is_finite())
        };
        Self { median: at(50), p95: at(95) }
    }
}

impl Summary {
    /// Of the outcomes of a scenario.
    #[must_use]
    pub fn of(scenario: &Scenario, outcomes: &[Outcome]) -> Self {
        let breaks_at = scenario.breaks_at();
        let count = |is: &dyn Fn(&Outcome) -> bool| {
            u64::try_from(outcomes.iter().filter(|it| is(it)).count()).unwrap_or(u64::MAX)
        };
        let runs = count(&|_| true);
        let is_rolled_back = |it: &Outcome| matches!(it.end, End::RolledBack { .. });
        let is_false =
            |it: &Outcome| is_rolled_back(it) && breaks_at.is_none_or(|at| it.after < at);
        let false_alarms = count(&is_false);
        let (low, high) = interval(false_alarms, runs);
        let mut held = BTreeMap::new();
        let mut guardrails = BTreeMap::new();
        for outcome in outcomes {
            match &outcome.end {
                End::Held { blocker } => {
                    let count = held.entry(*blocker).or_insert(0_u64);
                    *count = count.saturating_add(1);
                }
                End::RolledBack { guardrail } => {
                    let count = guardrails.entry(guardrail.clone()).or_insert(0_u64);
                    *count = count.saturating_add(1);
                }
                End::Completed => {}
            }
        }
        let detection = breaks_at.map(|at| {
            let times = outcomes.iter().filter(|it| !is_false(it)).map(|it| {
                if is_rolled_back(it) {
                    it.after.saturating_sub(at).as_secs_f64()
                } else {
                    f64::INFINITY
                }
            });
            Quantiles::of(times.collect())
        });
        let quantiles = |of: fn(&Outcome) -> u64| {
            Quantiles::of(outcomes.iter().map(|it| of(it) as f64).collect())
        };
        Self {
            scenario: scenario.name.clone(),
            runs,
            completed: count(&|it| it.end == End::Completed),
            rolled_back: count(&is_rolled_back),
            held,
            alerted: count(&|it| it.alerted),
            false_alarms,
            false_alarms_percent: [100.0 * low, 100.0 * high],
            guardrails,
            detection,
            harmed_clients: quantiles(|it| it.harmed),
            failed_requests: quantiles(|it| it.failures),
        }
    }
}

/// A time in seconds as it is shown: `0.5s`, `42s`, `2m 5s`.
#[must_use]
pub fn shown(seconds: f64) -> String {
    if seconds < 60.0 {
        let digits = if seconds < 10.0 { 10.0 } else { 1.0 };
        return format!("{}s", (seconds * digits).round() / digits);
    }
    let rounded = Duration::from_secs_f64(seconds.round().clamp(0.0, 1e12));
    humantime::format_duration(rounded).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_delivery::units::Ppm;

    fn outcome(end: End, seconds: u64) -> Outcome {
        let (after, weight) = (Duration::from_secs(seconds), Ppm::percent(5));
        Outcome { end, after, weight, alerted: false, failures: seconds, harmed: 1 }
    }

    #[test]
    fn rollbacks_before_the_break_are_false_alarms() {
        let scenario: Scenario = serde_json::from_str(
            r#"{"name": "x", "traffic": {"requests_per_second": 10},
                "candidate": {"changes": [{"at": "1m", "error_rate": "10%"}]}}"#,
        )
        .unwrap();
        let rolled_back = || End::RolledBack { guardrail: Guardrail::ErrorRate };
        let outcomes = [
            outcome(rolled_back(), 30),
            outcome(rolled_back(), 70),
            outcome(rolled_back(), 80),
            outcome(End::Completed, 600),
            outcome(End::Held { blocker: "alert" }, 900),
        ];
        let summary = Summary::of(&scenario, &outcomes);
        assert_eq!((summary.runs, summary.completed, summary.rolled_back), (5, 1, 3));
        assert_eq!((summary.false_alarms, summary.held["alert"]), (1, 1));
        assert_eq!(summary.guardrails[&Guardrail::ErrorRate], 3);
        // Of the four others, one after 10 s, one after 20 s and two never.
        assert_eq!(summary.detection, Some(Quantiles { median: Some(20.0), p95: None }));
        assert_eq!(summary.failed_requests.median, Some(80.0));
    }

    #[test]
    fn times_are_readable() {
        assert_eq!([0.25, 9.96, 42.3, 125.2].map(shown), ["0.3s", "10s", "42s", "2m 5s"]);
    }
}
