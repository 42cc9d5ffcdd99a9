//! What the sidecars have, and what they refuse.

use super::super::*;
use super::World;
use crate::fixtures::*;
use crate::model::command::ReleaseCommand::{Pause, Promote, Resume, Rollback};
use crate::model::plan::ConvergenceThreshold;
use crate::model::progress::{Convergence, MAX_NAMED, Observation};
use crate::model::release::Phase;
use crate::units::Ppm;

const REFUSES: &str =
    "sidecar `edge-2` to accept the route configuration it rejected: no such cluster";

fn with(convergence: Convergence, candidate: u64) -> Observation {
    Observation { convergence, ..healthy(candidate) }
}

fn lagging(candidate: u64) -> Observation {
    let lagging = vec!["edge-2".to_owned()];
    let convergence = Convergence { acked: 1, connected: 2, lagging, ..Convergence::default() };
    with(convergence, candidate)
}

fn refusing(candidate: u64) -> Observation {
    let refused = vec![refused()];
    let seen = Convergence { acked: 1, refusing: 1, connected: 2, ..Convergence::default() };
    with(Convergence { refused, ..seen }, candidate)
}

/// `order` at 5 %, and the sidecars know nothing of it.
fn entered() -> World {
    let mut world = World::new();
    world.ask(&start("order", "v2")).unwrap();
    world.see("order", 0, &healthy(0));
    assert_eq!(world.weight("order"), Ppm::percent(5));
    world
}

#[test]
fn a_step_begins_when_the_sidecars_have_it() {
    let mut world = entered();
    let waits = ["sidecars: 1 of 2 have it, not yet `edge-2`", "time: 10 s more"];
    assert_eq!(world.look("order", 1000, &lagging(10)), waits);
    assert_eq!(world.look("order", 0, &healthy(10)), ["its step to begin"]);
    let release = newest(&world.0, "order");
    assert_eq!(release.phase, Phase::Stepping { step: 0, since: world.now() });
    assert_eq!(world.look("order", 9, &healthy(10)), ["time: 1 s more"]);
    world.look("order", 1, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(50));
    assert!(!newest(&world.0, "order").converged, "each step anew");
}

#[test]
fn a_release_is_prepared_when_the_sidecars_know_of_it() {
    for (seen, waits) in
        [(lagging(0), "sidecars: 1 of 2 have it, not yet `edge-2`"), (refusing(0), REFUSES)]
    {
        let mut world = World::new();
        world.ask(&start("order", "v2")).unwrap();
        assert_eq!(world.look("order", 1000, &seen), [waits]);
        world.look("order", 0, &healthy(0));
        assert_eq!(world.weight("order"), Ppm::percent(5));
    }
}

#[test]
fn a_sidecar_that_comes_later_holds_nothing() {
    let mut world = World::stepping();
    assert!(world.look("order", 10, &lagging(10)).is_empty());
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn a_sidecar_that_dies_is_waited_for_no_more() {
    let mut world = entered();
    world.look("order", 10, &lagging(10));
    let alone = Convergence { acked: 1, connected: 1, ..Convergence::default() };
    world.look("order", 0, &with(alone.clone(), 10));
    assert!(newest(&world.0, "order").converged);
    world.look("order", 10, &with(alone, 10));
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn with_nobody_connected_no_step_begins_and_none_ends() {
    let mut world = entered();
    let nobody = with(Convergence::default(), 10);
    let waits = world.look("order", 1000, &nobody);
    assert_eq!(
        waits,
        ["sidecars: none is connected, so none has acknowledged it", "time: 10 s more"]
    );
    assert_eq!(world.weight("order"), Ppm::percent(5));
    world.look("order", 0, &healthy(10));
    assert!(newest(&world.0, "order").converged);
    assert!(world.look("order", 10, &nobody).is_empty(), "it had begun before they left");
}

#[test]
fn a_refusal_holds_a_step_whenever_it_comes_and_never_a_rollback() {
    for mut world in [World::stepping(), World::watching()] {
        let weight = world.weight("order");
        world.see("order", 0, &healthy(0));
        assert_eq!(world.look("order", 1000, &refusing(10)), [REFUSES]);
        assert_eq!(world.weight("order"), weight);
        let mut held = World(world.0.clone(), 2000);
        assert!(held.look("order", 0, &healthy(10)).is_empty(), "it goes on once it is accepted");
        world.ask(&verb("order.1", Rollback)).unwrap();
        assert_eq!(world.weight("order"), Ppm::ZERO);
    }
}

#[test]
fn a_share_is_enough_if_the_plan_says_so_but_not_against_a_refusal() {
    let mut plan = canary(&[5, 100]);
    plan.convergence = ConvergenceThreshold { share: Ppm::percent(50) };
    let command = Command::StartRelease {
        service: name("order"),
        version: name("v2"),
        plan: Some(plan),
        commit: None,
    };
    let mut world = World::new();
    world.ask(&command).unwrap();
    world.look("order", 0, &lagging(0));
    assert_eq!(world.weight("order"), Ppm::percent(5));
    world.look("order", 0, &lagging(0));
    assert!(newest(&world.0, "order").converged);
    assert_eq!(world.look("order", 10, &refusing(10)), [REFUSES]);
    world.look("order", 0, &lagging(10));
    assert_eq!(world.weight("order"), Ppm::ALL);
}

#[test]
fn of_many_only_the_first_are_named() {
    let mut world = entered();
    let lagging = (0..MAX_NAMED).map(|number| format!("edge-{number}")).collect();
    let refused = vec![refused()];
    let seen = Convergence { acked: 1, refusing: 3, connected: 100, refused, lagging, times: None };
    let waits_for = world.look("order", 0, &with(seen, 0));
    let expected = [
        REFUSES,
        "2 more sidecars to accept what they rejected",
        "sidecars: 1 of 100 have it, not yet `edge-0`, `edge-1`, `edge-2`, `edge-3`, `edge-4` and 91 more",
    ];
    assert_eq!(waits_for[..3], expected);
}

#[test]
fn time_held_before_a_step_began_is_not_taken_from_it_twice() {
    let mut world = entered();
    world.ask(&verb("order.1", Pause)).unwrap();
    world.look("order", 100, &lagging(0));
    world.look("order", 0, &healthy(0));
    assert!(newest(&world.0, "order").converged);
    world.look("order", 7, &healthy(10));
    world.ask(&verb("order.1", Resume)).unwrap();
    assert_eq!(world.look("order", 0, &healthy(10)), ["time: 10 s more"]);
}

#[test]
fn an_operator_may_go_on_without_them() {
    let mut world = entered();
    world.look("order", 0, &refusing(0));
    world.ask(&verb("order.1", Promote { all: false })).unwrap();
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn a_journal_of_before_folds_and_its_steps_begin_when_they_are_entered() {
    let plan = serde_json::json!({
        "strategy": "canary", "watch": 0,
        "steps": [{"weight": 50_000, "time": 10_000, "min_requests": 1}, {"weight": 1_000_000, "time": 0, "min_requests": 1}],
    });
    let old = [
        serde_json::json!({"event": "release_started", "id": "order.1", "service": "order",
            "candidate": "v2", "stable": "v1", "plan": plan}),
        serde_json::json!({"event": "step_entered", "id": "order.1", "step": 0, "weight": 50_000, "evidence": null}),
        serde_json::json!({"event": "step_entered", "id": "order.1", "step": 1, "weight": 1_000_000, "evidence": null}),
        serde_json::json!({"event": "completed", "id": "order.1", "evidence": null}),
    ];
    let mut world = World::new();
    for event in old {
        let event: Event = serde_json::from_value(event).unwrap();
        world.0.apply(world.now(), &event).unwrap();
    }
    assert_eq!(newest(&world.0, "order").plan.convergence, ConvergenceThreshold::default());
    assert_eq!(world.0.services["order"].stable, name("v2"));
}

#[test]
fn who_restored_a_version_was_an_operator_before_it_was_noted() {
    let old = serde_json::json!({"event": "stable_restored", "service": "order", "version": "v1"});
    let event: Event = serde_json::from_value(old).unwrap();
    let Event::StableRestored { cause, .. } = event else { panic!("{event:?}") };
    assert_eq!(cause, crate::model::release::RollbackCause::Operator);
}

#[test]
fn a_step_begins_only_once_and_only_if_it_is_the_one() {
    let world = entered();
    for (times, step) in [(2, 0), (1, 1)] {
        let mut state = world.0.clone();
        let event = Event::StepConverged { id: name("order.1"), step };
        let all: Result<Vec<_>, _> = (0..times).map(|_| state.apply(world.now(), &event)).collect();
        assert!(all.is_err(), "{step}");
    }
}
