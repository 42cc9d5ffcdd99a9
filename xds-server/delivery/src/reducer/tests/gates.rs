//! What holds a release, what lets it go on, and what puts it back.

use std::time::Duration;

use super::super::*;
use super::World;
use crate::fixtures::*;
use crate::judge::{Evidence, Level, Verdict};
use crate::model::command::ReleaseCommand::{Pause, Resume};
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
    Verdict::RollBack { finding: finding(Level::Rollback) }
}

#[test]
fn a_good_canary_climbs_and_completes() {
    let mut world = World::stepping();
    world.see("order", 10, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(50));
    world.see("order", 10, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::ALL);
    world.see("order", 59, &healthy(10));
    assert!(newest(&world.0, "order").is_running());
    world.see("order", 1, &healthy(10));
    let service = &world.0.services["order"];
    assert_eq!(service.stable, name("v2"));
    assert_eq!(service.previous, Some(name("v1")));
    assert_eq!(service.split().candidate, None);
}

#[test]
fn each_gate_holds_a_step_and_says_so() {
    for (seconds, seen, waits_for) in [
        (9, healthy(10), "time: 1 s more"),
        (10, healthy(7), "requests: 3 more"),
        (10, verdict(alert(), 10), "the error rate to fall below 5% (60 of 1000 above it)"),
    ] {
        let mut world = World::stepping();
        assert_eq!(world.see("order", seconds, &seen), [waits_for]);
        assert_eq!(world.weight("order"), Ppm::percent(5));
    }
}

#[test]
fn no_requests_are_no_evidence_however_long_they_are_waited_for() {
    let mut world = World::new();
    let mut plan = canary(&[5, 100]);
    plan.steps.iter_mut().for_each(|it| it.min_requests = 0);
    let command = Command::StartRelease {
        service: name("order"),
        version: name("v2"),
        plan: Some(plan),
        commit: None,
    };
    world.ask(&command).unwrap();
    world.see("order", 0, &healthy(0));
    let waits_for = world.see("order", 1_000_000, &healthy(0));
    assert_eq!(waits_for, ["requests: 1 more"]);
    world.see("order", 0, &healthy(1));
    assert_eq!(world.weight("order"), Ppm::ALL);
    assert_eq!(world.see("order", 1_000_000, &healthy(0)), ["requests: 1 more"]);
}

#[test]
fn a_judge_that_wants_more_holds_no_step_that_has_its_requests() {
    let mut world = World::stepping();
    let seen = verdict(Verdict::InsufficientData { missing: 90 }, 10);
    assert!(world.see("order", 10, &seen).is_empty());
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn nobody_need_be_connected_for_a_release_to_be_prepared() {
    let mut world = World::new();
    world.ask(&start("order", "v2")).unwrap();
    let alone = Observation { convergence: Convergence::default(), ..healthy(0) };
    assert!(world.see("order", 0, &alone).is_empty());
    assert_eq!(world.weight("order"), Ppm::percent(5));
}

#[test]
fn what_was_counted_before_a_silence_ends_no_step_and_no_watch() {
    for mut world in [World::stepping(), World::watching()] {
        let weight = world.weight("order");
        world.see("order", 0, &healthy(0));
        let unheard = Observation { unheard: Duration::from_millis(2001), ..healthy(10) };
        let waits = world.see("order", 1000, &unheard);
        assert_eq!(waits, ["reports: 3 s more of them, since the last gap"]);
        assert_eq!(world.weight("order"), weight);
        let broken = Verdict::RollBack { finding: finding(Level::Rollback) };
        let mut back = World(world.0.clone(), 2000);
        back.see("order", 0, &Observation { verdict: broken, ..unheard });
        assert_eq!(back.weight("order"), Ppm::ZERO);
        assert!(world.see("order", 0, &healthy(10)).is_empty());
    }
}

#[test]
fn alerts_are_told_once_and_cleared_only_by_evidence() {
    let mut world = World::stepping();
    let count =
        |world: &World, seen: &Observation| progress(&world.0, "order", world.now(), seen).0.len();
    assert_eq!(count(&world, &verdict(alert(), 10)), 1);
    world.see("order", 1, &verdict(alert(), 10));
    assert_eq!(count(&world, &verdict(alert(), 20)), 0);
    let too_little = verdict(Verdict::InsufficientData { missing: 5 }, 20);
    let waits_for = world.see("order", 100, &too_little);
    assert_eq!(waits_for, ["5 more requests to clear the warning alert of its error rate"]);
    assert!(!newest(&world.0, "order").alerts.is_empty());
    world.see("order", 0, &healthy(20));
    assert!(newest(&world.0, "order").alerts.is_empty());
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn a_broken_guardrail_rolls_back_wherever_the_release_is() {
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
fn held_time_does_not_count() {
    let mut world = World::stepping();
    world.see("order", 4, &healthy(10));
    world.ask(&verb("order.1", Pause)).unwrap();
    let waits_for = world.see("order", 100, &healthy(10));
    assert_eq!(waits_for, ["an operator to resume it", "time: 6 s more"]);
    world.ask(&verb("order.1", Resume)).unwrap();
    world.see("order", 5, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(5));
    world.see("order", 1, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn what_let_a_step_go_on_is_in_the_journal() {
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
