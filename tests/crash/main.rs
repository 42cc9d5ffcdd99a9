//! The real control plane is killed with -9 whenever its journal shows something of a kind that was not there before,
//! through a canary, a blue/green release and its way back. Traffic flows all the time, and nobody may notice.
//!
//! Each single append and call is in the control plane's own tests, with a crash that is only played.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use tidegate_tests::receiver::Receiver;
use tidegate_tests::sight::at;
use tidegate_tests::story::{Operator, Phase, Traffic};
use tidegate_tests::wait::PATIENCE;
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

/// Says how often it was killed.
async fn survive() -> Result<u32> {
    let receiver = Receiver::start(Some(200)).await?;
    let mut world = world(&receiver).await?;
    let [order, product] = [
        Traffic::start(&world, "order", RATE, USERS),
        Traffic::start(&world, "product", RATE, USERS),
    ];
    let (order, product) = (order.await?, product.await?);
    let mut reaper = Reaper::default();

    Operator::new(&world.control).run(&["release", "start", "order", "--version", "v2"]).await?;
    reaper.reap(&mut world, "completed").await?;
    told(&receiver, "order", &["started", "switched", "completed"]).await?;

    reaper.seen.clear();
    Operator::new(&world.control).run(&["release", "start", "product", "--version", "v2"]).await?;
    reaper.reap(&mut world, "completed").await?;
    Operator::new(&world.control).run(&["release", "rollback", "product"]).await?;
    reaper.reap(&mut world, "stable_restored").await?;
    told(&receiver, "product", &["started", "switched", "completed", "rolled_back"]).await?;

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
    assert!(reaper.kills >= 12, "only {} kills", reaper.kills);
    Ok(reaper.kills)
}

/// Quick releases, which tell the receiver of each moment.
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

/// Each of these was told at least once, and always by the same key.
async fn told(receiver: &Receiver, service: &str, moments: &[&str]) -> Result<()> {
    for moment in moments {
        let key = format!("{service}.1/{}", moment.replace('_', "-"));
        for call in receiver.calls(&format!("/{service}/{moment}"), 1).await? {
            assert_eq!(call.key, key);
            assert_eq!(at(&call.body, "/release"), &format!("{service}.1"));
        }
    }
    Ok(())
}

/// Kills the control plane for every new thing that it decides.
#[derive(Default)]
struct Reaper {
    /// The kinds of records that it was killed for.
    seen: BTreeSet<String>,
    /// The newest record that was looked at.
    after: u64,
    kills: u32,
}

impl Reaper {
    /// Goes on until it was killed for the last kind of a story, and runs again.
    async fn reap(&mut self, world: &mut World, last: &str) -> Result<()> {
        while !self.seen.contains(last) {
            let news = timeout(PATIENCE, self.news(world)).await;
            let kind = news.with_context(|| format!("no news after {:?}", self.seen))?;
            world.control.process()?.signal(Signal::SIGKILL)?;
            self.kills += 1;
            self.seen.insert(kind);
            world.control.restart().await?;
        }
        Ok(())
    }

    /// Waits for a record of a new kind.
    async fn news(&mut self, world: &World) -> String {
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
            // Not for long: it is to be killed before it has done much more.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
