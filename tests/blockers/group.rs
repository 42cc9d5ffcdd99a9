//! A release group of two services: both advance, complete and roll back together.

use super::*;

const LONG: &str = "{canary: {steps: [20%, 100%], step_time: 5m, watch: 1s, min_requests: 10}}";
const MEMBERS: [&str; 2] = ["order", "payment"];

/// A world in which `order` and `payment` have this strategy.
async fn two_services(strategy: &str) -> Result<World> {
    let strategies = MEMBERS.map(|name| (name.to_owned(), strategy.to_owned()));
    let knobs = Knobs { strategies: strategies.into(), ..story::knobs() };
    World::start(WorldOptions { knobs, ..WorldOptions::default() }).await
}

async fn traffic(world: &World) -> Result<[Traffic; 2]> {
    let [order, payment] = MEMBERS;
    Ok([
        Traffic::start(world, order, RATE, USERS).await?,
        Traffic::start(world, payment, RATE, USERS).await?,
    ])
}

async fn start(operator: &Operator<'_>) -> Result<String> {
    let members = ["--member", "order=v2", "--member", "payment=v2"];
    operator.run(&[&["release", "group", "start", "checkout"], &members[..]].concat()).await
}

/// Sequence number, and release or service, of all records of an event.
async fn records(world: &World, event: &str) -> Result<Vec<(u64, String)>> {
    let records: Vec<Value> = world.control.get("events?after=0").await?;
    let of = |record: &Value| {
        let content = &record["event"];
        let member = content["id"].as_str().or(content["service"].as_str())?;
        let matches = content["event"] == event;
        matches.then(|| Some((record["seq"].as_u64()?, member.to_owned()))).flatten()
    };
    Ok(records.iter().filter_map(of).collect())
}

/// Checks that the records of an event come in adjacent pairs, one for each member: each pair was one append.
async fn in_pairs(world: &World, event: &str, pairs: usize) -> Result<()> {
    let records = records(world, event).await?;
    ensure!(records.len() == 2 * pairs, "{event}: {records:?}");
    for pair in records.chunks(2) {
        let [(seq, of), (next, other)] = pair else { anyhow::bail!("{event}: {records:?}") };
        ensure!(*next == seq + 1 && of != other, "{event}: {records:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_member_rolls_back_the_group_in_one_append() {
    let _alone = ONE_WORLD.lock().await;
    let world = two_services(LONG).await.unwrap();
    let operator = Operator::new(&world.control);
    let [order, payment] = traffic(&world).await.unwrap();
    start(&operator).await.unwrap();
    for service in MEMBERS {
        operator.until(service, |it| it.weight > 0.0 && it.converged).await.unwrap();
    }
    order.until("its candidate", |it| (it.finished_by("v2") > 0).then_some(())).await.unwrap();
    let error = rejected(&world, &["release", "promote", "order"]).await.unwrap();
    assert!(error.contains("tidegate release group promote checkout"), "{error}");

    world.backends.get("payment", "v2").unwrap().set_faults(Faults::errors(1.0, 500).unwrap());
    for service in MEMBERS {
        operator.until(service, |it| it.phase == Phase::RolledBack).await.unwrap();
    }
    let (order_release, payment_release) =
        (release(&world, "order").await.unwrap(), release(&world, "payment").await.unwrap());
    assert_eq!(at(&order_release, "/cause/kind"), "group", "{order_release:#}");
    assert_eq!(at(&order_release, "/cause/release"), "payment.1", "{order_release:#}");
    let guardrail = at(&payment_release, "/cause/finding/guardrail");
    assert_eq!(guardrail, "error_rate", "{payment_release:#}");
    let status = operator.run(&["release", "group", "status", "checkout"]).await.unwrap();
    assert!(status.contains("payment.1"), "{status}");
    in_pairs(&world, "rolled_back", 1).await.unwrap();

    for traffic in [&order, &payment] {
        all_on_stable(traffic).await.unwrap();
        let before = traffic.seen().finished_by("v2");
        traffic.more(RESPONSES).await.unwrap();
        assert_eq!(
            traffic.seen().finished_by("v2"),
            before,
            "a candidate served after the rollback"
        );
    }
    order.end(None).await.unwrap();
    payment.end(Some("v2")).await.unwrap();
    operator.run(&["audit", "verify"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthy_members_advance_complete_and_roll_back_together() {
    let _alone = ONE_WORLD.lock().await;
    let mut world = two_services(QUICK).await.unwrap();
    let operator = Operator::new(&world.control);
    let [order, payment] = traffic(&world).await.unwrap();
    operator.run(&["freeze", "start", "payment", "--reason", "incident 9"]).await.unwrap();
    start(&operator).await.unwrap();
    // The blocker of one member blocks the other.
    let blocker = json!({"kind": "group", "group": "checkout", "release": "payment.1"});
    only_blocker(&world, "order", blocker).await.unwrap();
    let explained = operator.run(&["release", "explain", "order"]).await.unwrap();
    assert!(explained.contains("payment.1") && explained.contains("incident 9"), "{explained}");
    operator.run(&["freeze", "end", "payment"]).await.unwrap();
    for service in MEMBERS {
        operator.until(service, |it| it.phase == Phase::Completed).await.unwrap();
    }
    in_pairs(&world, "step_entered", 2).await.unwrap();
    in_pairs(&world, "completed", 1).await.unwrap();
    for traffic in [&order, &payment] {
        traffic.until_only("v2", RESPONSES).await.unwrap();
    }
    // The group survives a crash.
    world.control.kill9().unwrap();
    world.control.restart().await.unwrap();
    let operator = Operator::new(&world.control);
    operator.run(&["release", "group", "rollback", "checkout"]).await.unwrap();
    in_pairs(&world, "stable_restored", 1).await.unwrap();
    for traffic in [&order, &payment] {
        all_on_stable(traffic).await.unwrap();
    }
    order.end(None).await.unwrap();
    payment.end(None).await.unwrap();
}
