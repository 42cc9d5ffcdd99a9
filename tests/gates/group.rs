//! Two services released together: one that fails takes both back, and good ones complete together.

use serde_json::Value;

use super::*;

const LONG: &str = "{canary: {steps: [20%, 100%], step_time: 5m, watch: 1s, min_requests: 10}}";
const MEMBERS: [&str; 2] = ["order", "payment"];

/// `order` and `payment` with the same strategy.
async fn two(strategy: &str) -> Result<World> {
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

/// The numbers of all records of an event, with the member that each is of.
async fn records(world: &World, event: &str) -> Result<Vec<(u64, String)>> {
    let records: Vec<Value> = world.control.get("events?after=0").await?;
    let of = |record: &Value| {
        let told = &record["event"];
        let about = told["id"].as_str().or(told["service"].as_str())?;
        let is_it = told["event"] == event;
        is_it.then(|| Some((record["seq"].as_u64()?, about.to_owned()))).flatten()
    };
    Ok(records.iter().filter_map(of).collect())
}

/// Records of an event come in pairs without anything between: each pair was one append.
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
async fn one_that_fails_in_mid_canary_takes_the_good_one_back_with_it() {
    let _alone = ONE_WORLD.lock().await;
    let world = two(LONG).await.unwrap();
    let operator = Operator::new(&world.control);
    let [order, payment] = traffic(&world).await.unwrap();
    start(&operator).await.unwrap();
    for service in MEMBERS {
        operator.until(service, |it| it.weight > 0.0 && it.converged).await.unwrap();
    }
    order.until("its candidate", |it| (it.finished_by("v2") > 0).then_some(())).await.unwrap();
    let why = refused(&world, &["release", "promote", "order"]).await.unwrap();
    assert!(why.contains("tidegate release group promote checkout"), "{why}");

    world.backends.get("payment", "v2").unwrap().set_faults(Faults::errors(1.0, 500).unwrap());
    for service in MEMBERS {
        operator.until(service, |it| it.phase == Phase::RolledBack).await.unwrap();
    }
    let cause = operator.release("order").await.unwrap().cause.unwrap_or_default();
    assert!(cause.contains("payment.1") && cause.contains("error rate"), "{cause}");
    let told = operator.run(&["release", "group", "status", "checkout"]).await.unwrap();
    assert!(told.contains("with payment.1 of its group"), "{told}");
    in_pairs(&world, "rolled_back", 1).await.unwrap();

    for traffic in [&order, &payment] {
        all_on_stable(traffic).await.unwrap();
        let met = traffic.seen().finished_by("v2");
        traffic.more(AFTER).await.unwrap();
        assert_eq!(traffic.seen().finished_by("v2"), met, "somebody met a candidate afterwards");
    }
    order.end(None).await.unwrap();
    payment.end(Some("v2")).await.unwrap();
    operator.run(&["audit", "verify"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_ones_take_each_step_together_complete_together_and_go_back_together() {
    let _alone = ONE_WORLD.lock().await;
    let mut world = two(QUICK).await.unwrap();
    let operator = Operator::new(&world.control);
    let [order, payment] = traffic(&world).await.unwrap();
    operator.run(&["freeze", "start", "payment", "--reason", "incident 9"]).await.unwrap();
    start(&operator).await.unwrap();
    // One is held, and so the other, which says for whom.
    waits_only_for(&world, "order", "`payment.1` of its group `checkout`").await.unwrap();
    let told = operator.run(&["release", "explain", "order"]).await.unwrap();
    assert!(told.contains("with payment.1") && told.contains("incident 9"), "{told}");
    operator.run(&["freeze", "end", "payment"]).await.unwrap();
    for service in MEMBERS {
        operator.until(service, |it| it.phase == Phase::Completed).await.unwrap();
    }
    in_pairs(&world, "step_entered", 2).await.unwrap();
    in_pairs(&world, "completed", 1).await.unwrap();
    for traffic in [&order, &payment] {
        traffic.until_only("v2", AFTER).await.unwrap();
    }
    // The group is in the journal.
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
