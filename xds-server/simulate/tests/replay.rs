//! Event logs of simulated releases, judged by other guardrails.
#![expect(clippy::unwrap_used, reason = "a wrong fixture fails the test that uses it")]

use std::time::Duration;

use tidegate_delivery::fixtures::order;
use tidegate_delivery::judge::Guardrail;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::units::{Ppm, Timestamp};
use tidegate_simulate::replay::{Found, Note, Recorded, Replayed, replay};
use tidegate_simulate::run::Simulated;
use tidegate_simulate::scenario::Scenario;

fn log(candidate: &str) -> Vec<(Timestamp, Event)> {
    let json = format!(
        r#"{{"name": "x", "traffic": {{"requests_per_second": 1000}}, "stable": {{"error_rate": "0.2%"}},
            "candidate": {{"error_rate": "{candidate}"}}, "until": "10m"}}"#
    );
    let scenario: Scenario = serde_json::from_str(&json).unwrap();
    Simulated::of(order()).unwrap().log(&scenario, 5).unwrap()
}

fn replayed(log: &[(Timestamp, Event)], guardrails: Option<&Guardrails>) -> Replayed {
    let mut all = replay(log.iter().map(|(at, event)| (*at, event)), guardrails).unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn built_in() -> Guardrails {
    order().guardrails
}

#[test]
fn a_completed_release_would_have_been_rolled_back_by_a_stricter_limit() {
    let log = log("0.2%");
    let same = replayed(&log, None);
    assert_eq!((same.recorded, same.replayed), (Recorded::Completed, Found::Nothing));
    assert!(same.steps > 1 && same.notes.is_empty(), "{:?}", same.notes);
    let mut strict = built_in();
    (strict.error_rate.alert, strict.error_rate.rollback) =
        (Ppm::new(100).unwrap(), Ppm::new(200).unwrap());
    let Found::RollBack { finding, .. } = replayed(&log, Some(&strict)).replayed else {
        panic!("ten times the limit");
    };
    assert_eq!(finding.guardrail, Guardrail::ErrorRate);
}

#[test]
fn a_rollback_is_found_again_by_the_counts_of_its_finding() {
    let log = log("50%");
    let same = replayed(&log, None);
    let guardrail = Some(Guardrail::ErrorRate);
    assert_eq!(same.recorded, Recorded::RolledBack { guardrail });
    assert!(matches!(same.replayed, Found::RollBack { .. }), "{:?}", same.replayed);
    assert_eq!(same.notes.into_iter().collect::<Vec<_>>(), [Note::LastStepPartly]);
}

#[test]
fn counts_by_other_latency_limits_are_left_out_and_named() {
    let mut other = built_in();
    other.latency.warning = Duration::from_millis(1);
    let replayed = replayed(&log("0.2%"), Some(&other));
    assert!(replayed.notes.contains(&Note::OtherLatencyLimits));
    assert_eq!(replayed.replayed, Found::Nothing);
}

#[test]
fn the_middle_of_a_log_is_refused() {
    let log = log("0.2%");
    let tail = log.iter().skip(2).map(|(at, event)| (*at, event));
    assert!(replay(tail, None).is_err());
}
