//! The real control plane is killed with SIGKILL after each kind of record, during a canary, a blue/green release and its
//! rollback, under traffic. No request may fail, and every release must resume.
//!
//! Crashes at each append and call are simulated in the tests of the server.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use tidegate_tests::receiver::Receiver;
use tidegate_tests::status::at;
use tidegate_tests::story::{Operator, Phase, Traffic};
use tidegate_tests::wait::WAIT_LIMIT;
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};
use tokio::time::timeout;

const RATE: f64 = 100.0;
const USERS: u64 = 100;
const SMOKE: &str = "smoke_tests: [{path: /healthz, expect: 200}]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_survive_a_kill_after_each_kind_of_record() {
    println!("{} kills", survive().await.unwrap());
}

/// Returns the number of kills.
async fn survive() -> Result<u32> {
    let receiver = Receiver::start(Some(200)).await?;
    let mut world = world(&receiver).await?;
    let [order, product] = [
        Traffic::start(&world, "order", RATE, USERS),
        Traffic::start(&world, "product", RATE, USERS),
    ];
    let (order, product) = (order.await?, product.await?);
    let mut killer = Killer::default();

    Operator::new(&world.control).run(&["release", "start", "order", "--version", "v2"]).await?;
    killer.kill_until(&mut world, "completed").await?;
    hooks_called(&receiver, "order", &["started", "switched", "completed"]).await?;

    killer.seen.clear();
    Operator::new(&world.control).run(&["release", "start", "product", "--version", "v2"]).await?;
    killer.kill_until(&mut world, "completed").await?;
    Operator::new(&world.control).run(&["release", "rollback", "product"]).await?;
    killer.kill_until(&mut world, "stable_restored").await?;
    hooks_called(&receiver, "product", &["started", "switched", "completed", "rolled_back"])
        .await?;

    let operator = Operator::new(&world.control);
    assert_eq!(operator.release("order").await?.phase, Phase::Completed);
    assert_eq!(operator.stable("order").await?, "v2");
    assert_eq!(operator.release("product").await?.phase, Phase::RolledBack);
    assert_eq!(operator.stable("product").await?, "v1");
    operator.run(&["audit", "verify"]).await?;
    product.until_only("v1", USERS).await?;
    order.until_only("v2", USERS).await?;
    for traffic in [order, product] {
        traffic.end(None).await?;
    }
    assert!(killer.kills >= 12, "only {} kills", killer.kills);
    Ok(killer.kills)
}

/// Short releases with a hook for each moment.
async fn world(receiver: &Receiver) -> Result<World> {
    let hooks = |service: &str| {
        let hooks = ["started", "switched", "completed", "rolled_back"].map(|on| {
            let name = on.replace('_', "-");
            format!("{{name: {name}, on: {on}, url: \"{}/{service}/{on}\"}}", receiver.url)
        });
        (service.to_owned(), vec![format!("hooks: [{}]", hooks.join(", "))])
    };
    let canary = format!(
        "{{canary: {{steps: [20%, 100%], step_time: 1s, watch: 1s, min_requests: 5, {SMOKE}}}}}"
    );
    let blue_green = format!("{{blue_green: {{watch: 1s, min_requests: 5, {SMOKE}}}}}");
    let knobs = Knobs {
        strategies: [("order".to_owned(), canary), ("product".to_owned(), blue_green)].into(),
        extras: [hooks("order"), hooks("product")].into(),
        preview: true,
        ..Knobs::default()
    };
    World::start(WorldOptions { sidecars: 1, knobs, ..WorldOptions::default() }).await
}

/// Asserts that each hook was called, always with the same idempotency key.
async fn hooks_called(receiver: &Receiver, service: &str, moments: &[&str]) -> Result<()> {
    for moment in moments {
        let prefix = format!("{service}.1/{}/", moment.replace('_', "-"));
        let calls = receiver.calls(&format!("/{service}/{moment}"), 1).await?;
        let key = calls.first().map(|call| call.key.clone()).unwrap_or_default();
        assert!(key.starts_with(&prefix), "{key}");
        for call in calls {
            assert_eq!(call.key, key);
            assert_eq!(at(&call.body, "/release"), &format!("{service}.1"));
        }
    }
    Ok(())
}

/// Kills the control plane after each new kind of record.
#[derive(Default)]
struct Killer {
    /// Kinds of records after which it was killed.
    seen: BTreeSet<String>,
    /// The newest record read.
    after: u64,
    kills: u32,
}

impl Killer {
    /// Repeats kill and restart until a record of the kind `last`.
    async fn kill_until(&mut self, world: &mut World, last: &str) -> Result<()> {
        while !self.seen.contains(last) {
            let kind = timeout(WAIT_LIMIT, self.next_kind(world)).await;
            let kind =
                kind.with_context(|| format!("no record of a new kind after {:?}", self.seen))?;
            world.control.process()?.signal(Signal::SIGKILL)?;
            self.kills += 1;
            self.seen.insert(kind);
            world.control.restart().await?;
        }
        Ok(())
    }

    /// Waits for a record of a new kind.
    async fn next_kind(&mut self, world: &World) -> String {
        loop {
            let path = format!("events?after={}", self.after);
            let records: Vec<Value> = world.control.get(&path).await.unwrap_or_default();
            for record in &records {
                self.after = at(record, "/seq").as_u64().unwrap_or(self.after);
                let kind = at(record, "/event/event").as_str().unwrap_or_default();
                if !self.seen.contains(kind) {
                    return kind.to_owned();
                }
            }
            // Short, so that the kill follows the record closely.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
