//! Progress of one release: time, requests, alerts, guardrails, pauses.

use std::time::Duration;

use super::super::*;
use super::{World, requests, time};
use crate::fixtures::{
    WATCHED, canary, configuration, finding, healthy, name, newest, order, product, progress,
    start, verb,
};
use crate::judge::guardrails::Inconclusive;
use crate::judge::{Evidence, Finding, Guardrail, Level, Verdict};
use crate::model::blocker::Blocker;
use crate::model::command::ReleaseCommand::{Pause, Resume};
use crate::model::plan::OnFail;
use crate::model::progress::{Convergence, Observation};
use crate::model::release::{Phase, RollbackCause};
use crate::units::Ppm;

fn verdict(verdict: Verdict, candidate: u64) -> Observation {
    Observation { verdict, ..healthy(candidate) }
}

fn alert() -> Verdict {
    Verdict::Alert { findings: vec![finding(Level::Warning)] }
}

fn bad() -> Verdict {
    Verdict::RollBack { findings: vec![finding(Level::Rollback)] }
}

#[test]
fn a_healthy_canary_completes() {
    let mut world = World::stepping();
    world.see("order", 10, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(50));
    world.see("order", 10, &healthy(10));
    assert_eq!(world.weight("order"), WATCHED);
    world.see("order", 59, &healthy(10));
    assert!(newest(&world.0, "order").is_running());
    world.see("order", 1, &healthy(10));
    let service = &world.0.services["order"];
    assert_eq!(service.stable, name("v2"));
    assert_eq!(service.previous, Some(name("v1")));
    assert_eq!(service.split().candidate, None);
}

#[test]
fn each_condition_blocks_a_step() {
    let alert_blocker = Blocker::Alert { finding: finding(Level::Warning) };
    for (seconds, seen, blocker) in [
        (9, healthy(10), time(1)),
        (10, healthy(7), requests(3)),
        (10, verdict(alert(), 10), alert_blocker),
    ] {
        let mut world = World::stepping();
        assert_eq!(world.see("order", seconds, &seen), [blocker]);
        assert_eq!(world.weight("order"), Ppm::percent(5));
    }
}

#[test]
fn a_step_without_requests_never_ends() {
    let mut plan = canary(&[5, 100]);
    plan.steps.iter_mut().for_each(|it| it.min_requests = 0);
    let mut world = World::with_plan(plan);
    world.ask(&start("order", "v2")).unwrap();
    world.see("order", 0, &healthy(0));
    let blockers = world.see("order", 1_000_000, &healthy(0));
    assert_eq!(blockers, [requests(1)]);
    world.see("order", 0, &healthy(1));
    assert_eq!(world.weight("order"), WATCHED);
    assert_eq!(world.see("order", 1_000_000, &healthy(0)), [requests(1)]);
}

fn inconclusive(missing: u64) -> Verdict {
    Verdict::Inconclusive { missing, at_limit: None }
}

/// In its first step of 10 seconds, of a service with this setting.
fn stepping(setting: Inconclusive) -> World {
    let mut spec = order();
    spec.guardrails.inconclusive = setting;
    let mut world = World::new();
    world.ask(&configuration(vec![spec, product()], Vec::new())).unwrap();
    world.ask(&start("order", "v2")).unwrap();
    world.see("order", 0, &healthy(0));
    world.see("order", 0, &healthy(0));
    world
}

#[test]
fn an_inconclusive_step_lasts_as_long_as_its_service_says() {
    let seen = verdict(inconclusive(90), 20);
    let blocker = |remaining_ms| Blocker::Inconclusive { missing: 90, remaining_ms };
    let mut proceeding = stepping(Inconclusive::Proceed);
    assert!(proceeding.see("order", 10, &seen).is_empty());
    assert_eq!(proceeding.weight("order"), Ppm::percent(50));

    let mut extended = stepping(Inconclusive::Extend(2));
    assert_eq!(extended.see("order", 10, &seen), [blocker(Some(20_000))]);
    assert_eq!(extended.see("order", 19, &seen), [blocker(Some(1_000))]);
    assert!(extended.see("order", 1, &seen).is_empty());
    assert_eq!(extended.weight("order"), Ppm::percent(50));

    let mut held = stepping(Inconclusive::Hold);
    assert_eq!(held.see("order", 1_000_000, &seen), [blocker(None)]);
    assert!(held.see("order", 0, &healthy(20)).is_empty());
    assert_eq!(held.weight("order"), Ppm::percent(50));
}

#[test]
fn a_rate_above_its_alert_limit_holds_a_step_although_it_may_be_chance() {
    let guardrail = Guardrail::ErrorRate;
    let at_limit = Verdict::Inconclusive { missing: 0, at_limit: Some(guardrail.clone()) };
    for setting in [Inconclusive::Proceed, Inconclusive::Extend(1)] {
        let mut world = stepping(setting);
        let seen = verdict(at_limit.clone(), 200);
        let blocker = Blocker::AtLimit { guardrail: guardrail.clone() };
        assert_eq!(world.see("order", 1_000_000, &seen), [blocker]);
        assert!(newest(&world.0, "order").alerts.is_empty(), "no alert");
        assert!(world.see("order", 0, &healthy(200)).is_empty());
    }
}

#[test]
fn an_overridden_guardrail_hides_no_other() {
    let mut plan = canary(&[5, 100]);
    plan.on_fail = OnFail::Pause;
    let mut world = World::with_plan(plan);
    world.ask(&start("order", "v2")).unwrap();
    world.see("order", 0, &healthy(0));
    let errors = finding(Level::Rollback);
    let latency = Finding { guardrail: Guardrail::Latency, ..errors.clone() };
    let both = Verdict::RollBack { findings: vec![errors.clone(), latency.clone()] };
    let paused = |finding: &Finding| Blocker::PausedByGuardrail { finding: finding.clone() };
    assert_eq!(world.see("order", 0, &verdict(both.clone(), 1_000)), [paused(&errors)]);
    world.ask(&verb("order.1", Resume)).unwrap();
    assert_eq!(world.see("order", 0, &verdict(both, 1_000)), [paused(&latency)]);
}

#[test]
fn the_first_step_is_entered_without_connected_sidecars() {
    let mut world = World::new();
    world.ask(&start("order", "v2")).unwrap();
    let alone = Observation { convergence: Convergence::default(), ..healthy(0) };
    assert!(world.see("order", 0, &alone).is_empty());
    assert_eq!(world.weight("order"), Ppm::percent(5));
}

#[test]
fn counts_from_before_a_report_gap_do_not_end_a_step_or_the_watch_period() {
    for mut world in [World::stepping(), World::watching()] {
        let weight = world.weight("order");
        world.see("order", 0, &healthy(0));
        let remaining = Duration::from_millis(2001);
        let gap = Observation { coverage_remaining: remaining, ..healthy(10) };
        let blockers = world.see("order", 1000, &gap);
        assert_eq!(blockers, [Blocker::ReportCoverage { remaining }]);
        assert_eq!(world.weight("order"), weight);
        let broken = Verdict::RollBack { findings: vec![finding(Level::Rollback)] };
        let mut back = World(world.0.clone(), 2000);
        back.see("order", 0, &Observation { verdict: broken, ..gap });
        assert_eq!(back.weight("order"), Ppm::ZERO);
        assert!(world.see("order", 0, &healthy(10)).is_empty());
    }
}

#[test]
fn alerts_are_raised_once_and_cleared_only_by_evidence() {
    let mut world = World::stepping();
    let count =
        |world: &World, seen: &Observation| progress(&world.0, "order", world.now(), seen).0.len();
    assert_eq!(count(&world, &verdict(alert(), 10)), 1);
    world.see("order", 1, &verdict(alert(), 10));
    assert_eq!(count(&world, &verdict(alert(), 20)), 0);
    let too_little = verdict(inconclusive(5), 20);
    let (guardrail, level) = (Guardrail::ErrorRate, Level::Warning);
    let uncleared = Blocker::UnclearedAlert { guardrail, level, missing: 80 };
    assert_eq!(world.see("order", 100, &too_little), [uncleared]);
    assert!(!newest(&world.0, "order").alerts.is_empty());
    world.see("order", 0, &healthy(20));
    assert!(newest(&world.0, "order").alerts.is_empty());
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn a_broken_guardrail_rolls_back_in_every_phase() {
    for pause in [false, true] {
        for mut world in [World::stepping(), World::watching(), {
            let mut world = World::new();
            world.ask(&start("order", "v2")).unwrap();
            world
        }] {
            if pause {
                world.ask(&verb("order.1", Pause)).unwrap();
            }
            world.see("order", 0, &verdict(bad(), 1000));
            let finding = finding(Level::Rollback);
            assert_eq!(
                newest(&world.0, "order").phase,
                Phase::RolledBack { at: world.now(), cause: RollbackCause::Guardrail { finding } }
            );
            assert_eq!(world.0.services["order"].stable, name("v1"));
        }
    }
}

#[test]
fn paused_time_does_not_count() {
    let mut world = World::stepping();
    world.see("order", 4, &healthy(10));
    world.ask(&verb("order.1", Pause)).unwrap();
    assert_eq!(world.see("order", 100, &healthy(10)), [Blocker::Paused, time(6)]);
    world.ask(&verb("order.1", Resume)).unwrap();
    world.see("order", 5, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(5));
    world.see("order", 1, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn the_evidence_of_a_step_is_in_its_event() {
    let world = World::stepping();
    let seen = Observation {
        candidate: Evidence { requests: 12, errors: 1, ..Evidence::default() },
        ..healthy(0)
    };
    let later = world.now().after(Duration::from_secs(10));
    let (events, _) = progress(&world.0, "order", later, &seen);
    let [Event::StepEntered { evidence, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    let evidence = evidence.unwrap();
    assert_eq!(
        (evidence.candidate, evidence.stable, evidence.sidecars),
        (seen.candidate, seen.stable, 2)
    );
}
