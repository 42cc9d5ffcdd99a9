//! Convergence: ACKs, NACKs, connected sidecars.

use super::super::*;
use super::{World, time};
use crate::fixtures::{WATCHED, canary, healthy, nack, name, newest, start, verb};
use crate::model::blocker::Blocker;
use crate::model::command::ReleaseCommand::{Pause, Promote, Resume, Rollback};
use crate::model::plan::ConvergenceThreshold;
use crate::model::progress::{Convergence, MAX_NAMED, Observation};
use crate::model::release::Phase;
use crate::units::Ppm;

fn nacked() -> Blocker {
    Blocker::Nack { nack: nack() }
}

fn pending(acked: u32, connected: u32, lagging: &[&str], more: u32) -> Blocker {
    let lagging = lagging.iter().map(|it| (*it).to_owned()).collect();
    Blocker::Convergence { acked, connected, lagging, more }
}

fn with(convergence: Convergence, candidate: u64) -> Observation {
    Observation { convergence, ..healthy(candidate) }
}

fn lagging(candidate: u64) -> Observation {
    let lagging = vec!["edge-2".to_owned()];
    let convergence = Convergence { acked: 1, connected: 2, lagging, ..Convergence::default() };
    with(convergence, candidate)
}

fn nacking(candidate: u64) -> Observation {
    let nacks = vec![nack()];
    let seen = Convergence { acked: 1, nacked: 1, connected: 2, ..Convergence::default() };
    with(Convergence { nacks, ..seen }, candidate)
}

/// `order` at 5 %, before convergence.
fn entered() -> World {
    let mut world = World::new();
    world.ask(&start("order", "v2")).unwrap();
    world.see("order", 0, &healthy(0));
    assert_eq!(world.weight("order"), Ppm::percent(5));
    world
}

#[test]
fn a_step_begins_with_its_convergence() {
    let mut world = entered();
    let blockers = [pending(1, 2, &["edge-2"], 0), time(10)];
    assert_eq!(world.look("order", 1000, &lagging(10)), blockers);
    assert_eq!(world.look("order", 0, &healthy(10)), [Blocker::StepStarting]);
    let release = newest(&world.0, "order");
    assert_eq!(release.phase, Phase::Stepping { step: 0, since: world.now() });
    assert_eq!(world.look("order", 9, &healthy(10)), [time(1)]);
    world.look("order", 1, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(50));
    assert!(!newest(&world.0, "order").converged, "the next step has not converged");
}

#[test]
fn the_first_step_is_entered_after_the_sidecars_acked_the_candidate() {
    for (seen, blocker) in [(lagging(0), pending(1, 2, &["edge-2"], 0)), (nacking(0), nacked())] {
        let mut world = World::new();
        world.ask(&start("order", "v2")).unwrap();
        assert_eq!(world.look("order", 1000, &seen), [blocker]);
        world.look("order", 0, &healthy(0));
        assert_eq!(world.weight("order"), Ppm::percent(5));
    }
}

#[test]
fn a_sidecar_that_connects_after_convergence_does_not_block() {
    let mut world = World::stepping();
    assert!(world.look("order", 10, &lagging(10)).is_empty());
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn a_disconnected_sidecar_does_not_block() {
    let mut world = entered();
    world.look("order", 10, &lagging(10));
    let alone = Convergence { acked: 1, connected: 1, ..Convergence::default() };
    world.look("order", 0, &with(alone.clone(), 10));
    assert!(newest(&world.0, "order").converged);
    world.look("order", 10, &with(alone, 10));
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn a_step_does_not_begin_without_connected_sidecars() {
    let mut world = entered();
    let unconnected = with(Convergence::default(), 10);
    let blockers = world.look("order", 1000, &unconnected);
    assert_eq!(blockers, [Blocker::NoSidecars, time(10)]);
    assert_eq!(world.weight("order"), Ppm::percent(5));
    world.look("order", 0, &healthy(10));
    assert!(newest(&world.0, "order").converged);
    assert!(
        world.look("order", 10, &unconnected).is_empty(),
        "it had begun before they disconnected"
    );
}

#[test]
fn a_nack_blocks_a_step_at_any_time_and_never_a_rollback() {
    for mut world in [World::stepping(), World::watching()] {
        let weight = world.weight("order");
        world.see("order", 0, &healthy(0));
        assert_eq!(world.look("order", 1000, &nacking(10)), [nacked()]);
        assert_eq!(world.weight("order"), weight);
        let mut accepted = World(world.0.clone(), 2000);
        assert!(accepted.look("order", 0, &healthy(10)).is_empty(), "the NACK is gone");
        world.ask(&verb("order.1", Rollback)).unwrap();
        assert_eq!(world.weight("order"), Ppm::ZERO);
    }
}

#[test]
fn a_convergence_share_is_sufficient_but_not_with_a_nack() {
    let mut plan = canary(&[5, 100]);
    plan.convergence = ConvergenceThreshold { share: Ppm::percent(50) };
    let mut world = World::with_plan(plan);
    world.ask(&start("order", "v2")).unwrap();
    world.look("order", 0, &lagging(0));
    assert_eq!(world.weight("order"), Ppm::percent(5));
    world.look("order", 0, &lagging(0));
    assert!(newest(&world.0, "order").converged);
    assert_eq!(world.look("order", 10, &nacking(10)), [nacked()]);
    world.look("order", 0, &lagging(10));
    assert_eq!(world.weight("order"), WATCHED);
}

#[test]
fn the_first_sidecars_are_listed_and_the_others_counted() {
    let mut world = entered();
    let lagging = (0..MAX_NAMED).map(|number| format!("edge-{number}")).collect();
    let nacks = vec![nack()];
    let seen = Convergence {
        acked: 1,
        nacked: 3,
        connected: 100,
        nacks,
        lagging,
        ..Convergence::default()
    };
    let blockers = world.look("order", 0, &with(seen, 0));
    let lagging = ["edge-0", "edge-1", "edge-2", "edge-3", "edge-4"];
    let expected = [nacked(), Blocker::MoreNacks { sidecars: 2 }, pending(1, 100, &lagging, 91)];
    assert_eq!(blockers[..3], expected);
}

#[test]
fn a_pause_before_convergence_counts_once() {
    let mut world = entered();
    world.ask(&verb("order.1", Pause)).unwrap();
    world.look("order", 100, &lagging(0));
    world.look("order", 0, &healthy(0));
    assert!(newest(&world.0, "order").converged);
    world.look("order", 7, &healthy(10));
    world.ask(&verb("order.1", Resume)).unwrap();
    assert_eq!(world.look("order", 0, &healthy(10)), [time(10)]);
}

#[test]
fn a_promotion_skips_convergence_and_nacks() {
    let mut world = entered();
    world.look("order", 0, &nacking(0));
    world.ask(&verb("order.1", Promote { all: false })).unwrap();
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn only_the_current_step_converges_and_only_once() {
    let world = entered();
    for (times, step) in [(2, 0), (1, 1)] {
        let mut state = world.0.clone();
        let event = Event::StepConverged { id: name("order.1"), step };
        let all: Result<Vec<_>, _> = (0..times).map(|_| state.apply(world.now(), &event)).collect();
        assert!(all.is_err(), "{step}");
    }
}

/// The judge does not see the requests of a sidecar that routes and does not report.
#[test]
fn sidecars_that_do_not_report_block_a_step_and_no_rollback() {
    let mut world = entered();
    world.look("order", 0, &healthy(10));
    let seen = |connected, silent| {
        let silent_nodes = vec!["edge-2".to_owned()];
        let all = Convergence { acked: connected, connected, ..Convergence::default() };
        with(Convergence { silent, silent_nodes, ..all }, 10)
    };
    let nodes = vec!["edge-2".to_owned()];
    let blocker = Blocker::SilentSidecars { silent: 1, connected: 2, nodes, more: 0 };
    assert_eq!(world.look("order", 10, &seen(2, 1)), [blocker]);
    world.ask(&verb("order.1", Rollback)).unwrap();
    assert!(!newest(&world.0, "order").is_running());
}
