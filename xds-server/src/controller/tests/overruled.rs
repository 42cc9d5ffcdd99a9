//! Releases that a guardrail pauses (`on_fail: pause`), and that an operator resumes.

use super::*;
use tidegate_delivery::model::plan::OnFail;

/// A controller of `order`, whose guardrails pause.
fn start_pausing(world: &World) -> Handle {
    let mut spec = order();
    spec.plan.on_fail = OnFail::Pause;
    let services = vec![spec, product()];
    spawn(Parts { services, ..world.parts(Box::new(world.clone())) }).unwrap()
}

fn is_paused(view: &DeliveryView) -> bool {
    newest(&view.state, "order").paused_by_guardrail.is_some()
}

#[tokio::test]
async fn the_step_after_an_overruled_guardrail_has_evidence_of_its_own() {
    let world = World::default();
    let handle = start_pausing(&world);
    stepping(&handle).await;
    world.serve("v1", 1_000, 0);
    world.serve("v2", 100, 60);
    until(&handle, is_paused).await;

    handle.submit(verb("order.1", ReleaseCommand::Resume), anne()).await.unwrap();
    let promote = verb("order.1", ReleaseCommand::Promote { all: false });
    handle.submit(promote, anne()).await.unwrap();
    until(&handle, |view| has_weight(view, 50)).await;
    for _ in 0..3 {
        world.serve("v1", 100, 0);
        world.serve("v2", 100, 0);
        world.pass(SECOND);
        // Answered after an evaluation.
        handle.submit(start("order", "v2"), anne()).await.unwrap();
        let view = Arc::clone(&handle.view().borrow());
        assert!(!is_paused(&view), "{:?}", newest(&view.state, "order"));
    }

    // New failures are new evidence.
    world.serve("v1", 100, 0);
    world.serve("v2", 100, 60);
    until(&handle, is_paused).await;
}
