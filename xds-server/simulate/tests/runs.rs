//! Simulated releases of a service with the built-in guardrails.
#![expect(clippy::unwrap_used, reason = "a wrong fixture fails the test that uses it")]

use std::time::Duration;

use tidegate_delivery::fixtures::order;
use tidegate_delivery::judge::Guardrail;
use tidegate_simulate::outcome::{End, Outcome};
use tidegate_simulate::run::{Simulated, seed_of};
use tidegate_simulate::scenario::Scenario;
use tidegate_simulate::summary::Summary;

fn scenario(json: &str) -> Scenario {
    let scenario: Scenario = serde_json::from_str(json).unwrap();
    scenario.validate().unwrap();
    scenario
}

fn outcomes(scenario: &Scenario, runs: u64) -> Vec<Outcome> {
    let simulated = Simulated::of(order()).unwrap();
    (0..runs).map(|run| simulated.run(scenario, seed_of(1, run)).unwrap()).collect()
}

#[test]
fn an_equal_candidate_completes() {
    let scenario = scenario(
        r#"{"name": "equal", "traffic": {"requests_per_second": 200}, "stable": {"error_rate": "0.5%"}, "until": "10m"}"#,
    );
    let outcomes = outcomes(&scenario, 6);
    let completed = outcomes.iter().filter(|it| it.end == End::Completed).count();
    assert!(completed >= 4, "{outcomes:?}");
    assert_eq!(Summary::of(&scenario, &outcomes).false_alarms, 0, "{outcomes:?}");
}

#[test]
fn a_broken_candidate_is_rolled_back_soon() {
    let scenario = scenario(
        r#"{"name": "broken", "traffic": {"requests_per_second": 200}, "stable": {"error_rate": "0.5%"},
            "candidate": {"error_rate": "50%"}}"#,
    );
    let outcomes = outcomes(&scenario, 10);
    let end = End::RolledBack { guardrail: Guardrail::ErrorRate };
    assert!(outcomes.iter().all(|it| it.end == end), "{outcomes:?}");
    let summary = Summary::of(&scenario, &outcomes);
    let detection = summary.detection.unwrap().median.unwrap();
    assert!(detection < 5.0, "{detection}");
    assert!(outcomes.iter().all(|it| it.harmed > 0 && it.harmed <= it.failures));
}

/// The traffic continues as it began, so a run is the same with and without a trace.
#[test]
fn a_trace_shows_the_run() {
    let scenario = scenario(
        r#"{"name": "late", "traffic": {"requests_per_second": 500}, "stable": {"error_rate": "0.5%"},
            "candidate": {"changes": [{"at": "5s", "error_rate": "30%"}]}}"#,
    );
    let simulated = Simulated::of(order()).unwrap();
    let (outcome, points) = simulated.trace(&scenario, 3).unwrap();
    assert_eq!(simulated.run(&scenario, 3).unwrap(), outcome);
    assert!(outcome.after > Duration::from_secs(5), "{outcome:?}");
    let evidence = |second: f64| points.iter().find(|it| it.second >= second).unwrap().evidence;
    assert!(evidence(3.0) < 0.5, "{points:?}");
    assert!(points.iter().any(|it| it.evidence > 0.5 || it.weight > 0.1), "{points:?}");
}
