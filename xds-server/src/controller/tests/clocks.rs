//! Which decisions follow the system clock, and which the monotonic one.

use std::sync::Arc;

use super::*;
use tidegate_delivery::model::blocker::Blocker;
use tidegate_delivery::model::freeze::{FreezeSchedule, FreezeWindow};
use tidegate_delivery::names::Services;
use tidegate_delivery::units::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn blockers(view: &DeliveryView) -> &[Blocker] {
    &view.progress["order.1"].blockers
}

fn is_frozen(view: &DeliveryView) -> bool {
    blockers(view).iter().any(|it| matches!(it, Blocker::FreezeWindow { .. }))
}

/// A freeze from the second to the third day of the system clock.
fn start_with_freeze(world: &World) -> Handle {
    let day = u64::try_from(DAY.as_millis()).unwrap();
    let window = FreezeWindow {
        name: name("third-day"),
        when: FreezeSchedule::Once { start: Timestamp(2 * day), end: Timestamp(3 * day) },
        services: Services::All,
    };
    let parts = world.parts(Box::new(world.clone()));
    spawn(Parts { freeze_windows: vec![window], ..parts }).unwrap()
}

#[tokio::test]
async fn a_freeze_window_follows_a_system_clock_that_is_stepped_in_both_directions() {
    let world = World::default();
    let handle = start_with_freeze(&world);
    stepping(&handle).await;
    world.set_wall(DAY * 2);
    until(&handle, is_frozen).await;
    world.set_wall(DAY);
    until(&handle, |view| !is_frozen(view)).await;
    // As after a suspend: the monotonic clock stood still.
    world.set_wall(DAY * 2 + SECOND);
    until(&handle, is_frozen).await;
    world.set_wall(DAY * 3);
    until(&handle, |view| !is_frozen(view)).await;
}

#[tokio::test]
async fn the_time_of_a_step_ignores_the_system_clock() {
    let world = World::default();
    let handle = start_with_freeze(&world);
    stepping(&handle).await;
    world.serve("v2", 10, 0);
    let time_left = |view: &DeliveryView| view.progress["order.1"].time_left;
    for wall in [DAY, Duration::ZERO, DAY * 4] {
        world.set_wall(wall);
        // A repeated command changes nothing. It is answered after an evaluation at the stepped clock.
        assert!(!handle.submit(start("order", "v2"), anne()).await.unwrap().changed);
        let view = Arc::clone(&handle.view().borrow());
        assert_eq!((time_left(&view), has_weight(&view, 5)), (STEP, true), "{wall:?}");
    }
    world.pass(STEP);
    until(&handle, |view| has_weight(view, 50)).await;
}

#[tokio::test]
async fn an_approval_expires_by_the_system_clock() {
    let world = World::default();
    let parts = world.parts(Box::new(world.clone()));
    let services = vec![order_with_requirements(), product()];
    let handle = spawn(Parts { services, ..parts }).unwrap();
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    for manager in ["bob", "ida"] {
        let approve = verb("order.1", ReleaseCommand::Approve { role: name("manager") });
        let origin = Origin { actor: manager.to_owned(), reason: None };
        handle.submit(approve, origin).await.unwrap();
    }
    // The check is missing, so the release waits in any case.
    let is_approved = |view: &DeliveryView| {
        !blockers(view).iter().any(|it| matches!(it, Blocker::Approval { .. }))
    };
    until(&handle, is_approved).await;
    // Approvals of the fixture are good for an hour.
    world.set_wall(DAY);
    until(&handle, |view| !is_approved(view)).await;
    world.set_wall(SECOND);
    until(&handle, is_approved).await;
}

#[tokio::test]
async fn a_restart_with_an_earlier_clock_continues_journal_time() {
    let world = World::default();
    world.pass(100 * SECOND);
    let handle = world.start();
    stepping(&handle).await;
    handle.stop().await;
    let earlier = Clock::new(|| Timestamp(0));
    let handle = spawn(Parts { clock: earlier, ..world.parts(Box::new(world.clone())) }).unwrap();
    let pause = verb("order.1", ReleaseCommand::Pause);
    handle.submit(pause, anne()).await.unwrap();
    assert_eq!(world.records().last().unwrap().at, Timestamp(100_000));
}
