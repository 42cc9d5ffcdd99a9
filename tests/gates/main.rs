//! What holds a release and what takes it back, beside its own evidence, on real Envoys under load: freezes, the
//! stopped line, approvals, signals, plans that hold rather than go back, and groups.

mod group;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tidegate_demo_app::faults::Faults;
use tidegate_tests::story::{self, Operator, Phase, Traffic};
use tidegate_tests::wait::{PATIENCE, until};
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};
use tokio::sync::Mutex;

/// Worlds share the machine's cores: under plain `cargo test` one at a time. nextest has its own limit.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());
const RATE: f64 = 200.0;
const USERS: u64 = 200;
/// Answers in a row that must all be stable's after a release went back.
const AFTER: u64 = 200;

/// A world whose `order` has its own strategy, and in which some services are frozen for long.
async fn world(order: &str, freeze: Option<&str>) -> Result<World> {
    let strategies = BTreeMap::from([("order".to_owned(), order.to_owned())]);
    let freeze = freeze.map(str::to_owned);
    let knobs = Knobs { strategies, freeze, ..story::knobs() };
    World::start(WorldOptions { knobs, ..WorldOptions::default() }).await
}

#[derive(Deserialize)]
struct Service {
    release: Option<Release>,
}

#[derive(Deserialize)]
struct Release {
    progress: Option<Progress>,
}

#[derive(Deserialize)]
struct Progress {
    blockers: Vec<Blocker>,
}

#[derive(Deserialize)]
struct Blocker {
    detail: String,
}

/// Waits until a release waits for nothing but one thing, whose words are given.
async fn waits_only_for(world: &World, service: &str, words: &str) -> Result<()> {
    let what = format!("{service} to wait for {words:?} alone");
    let waits = until(&what, PATIENCE, async || {
        let path = format!("services/{service}");
        let seen: Service = world.control.get(&path).await.ok()?;
        let waits = seen.release?.progress?.blockers;
        matches!(waits.as_slice(), [only] if only.detail.contains(words)).then_some(())
    });
    waits.await
}

/// Everybody is back on v1, and stays there.
async fn all_on_stable(traffic: &Traffic) -> Result<()> {
    traffic.until_only("v1", AFTER).await
}

/// Runs a command that must be refused, and returns why.
async fn refused(world: &World, args: &[&str]) -> Result<String> {
    let output = world.control.cli(args).await?;
    ensure!(!output.status.success(), "{args:?} was not refused");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

const QUICK: &str = "{canary: {steps: [5%, 100%], step_time: 1s, watch: 1s, min_requests: 10}}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_line_holds_a_step_and_lets_an_automatic_rollback_through() {
    let _alone = ONE_WORLD.lock().await;
    let world = world(QUICK, None).await.unwrap();
    let operator = Operator::new(&world.control);
    let traffic = Traffic::start(&world, "order", RATE, USERS).await.unwrap();
    operator.run(&["freeze", "start", "order", "--reason", "incident 7"]).await.unwrap();
    operator.run(&["release", "start", "order", "--version", "v2"]).await.unwrap();
    waits_only_for(&world, "order", "to end: incident 7").await.unwrap();
    operator.run(&["freeze", "end", "order"]).await.unwrap();
    operator.until("order", |release| release.weight > 0.0).await.unwrap();
    operator.run(&["freeze", "start", "--reason", "incident 8"]).await.unwrap();
    // Time and requests are there: only the freeze blocks it.
    waits_only_for(&world, "order", "to end: incident 8").await.unwrap();
    let held = operator.release("order").await.unwrap();
    assert!((held.weight - 0.05).abs() < 1e-9, "{held:?}");
    let why = refused(&world, &["release", "promote", "order"]).await.unwrap();
    assert!(why.contains("incident 8"), "{why}");
    let told = operator.run(&["release", "explain", "order"]).await.unwrap();
    assert!(told.contains("incident 8") && told.contains("step 1 of 2, at 5%"), "{told}");

    world.backends.get("order", "v2").unwrap().set_faults(Faults::errors(1.0, 500).unwrap());
    let ended = operator.until("order", |release| release.phase == Phase::RolledBack).await;
    let cause = ended.unwrap().cause.unwrap_or_default();
    assert!(cause.contains("error rate"), "{cause}");
    all_on_stable(&traffic).await.unwrap();
    traffic.end(Some("v2")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_holds_what_it_names_and_lets_a_person_go_back() {
    let _alone = ONE_WORLD.lock().await;
    let freeze = "[{name: long, start: 2020-01-01T00:00:00Z, end: 2100-01-01T00:00:00Z, services: [payment]}]";
    let world = world(QUICK, Some(freeze)).await.unwrap();
    let operator = Operator::new(&world.control);
    let traffic = Traffic::start(&world, "payment", RATE, USERS).await.unwrap();
    let begun = operator.run(&["release", "start", "payment", "--version", "v2"]).await.unwrap();
    assert!(begun.contains("stays at 0%") && begun.contains("`long`"), "{begun}");
    waits_only_for(&world, "payment", "the freeze window `long` to end").await.unwrap();
    let why = refused(&world, &["release", "promote", "payment", "--all"]).await.unwrap();
    assert!(why.contains("the freeze window `long`"), "{why}");
    let line = operator.run(&["freeze", "status"]).await.unwrap();
    assert!(line.contains("payment") && !line.contains("order"), "{line}");
    operator.run(&["release", "rollback", "payment"]).await.unwrap();
    all_on_stable(&traffic).await.unwrap();
    traffic.end(None).await.unwrap();
    // Of the others it holds nothing.
    let others = Traffic::start(&world, "order", RATE, USERS).await.unwrap();
    operator.run(&["release", "start", "order", "--version", "v2"]).await.unwrap();
    operator.until("order", |release| release.phase == Phase::Completed).await.unwrap();
    others.end(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_security_signal_takes_a_version_back_also_after_its_release_and_locks_it_away() {
    let _alone = ONE_WORLD.lock().await;
    let mut world = world(QUICK, None).await.unwrap();
    let operator = Operator::new(&world.control);
    let traffic = Traffic::start(&world, "order", RATE, USERS).await.unwrap();
    operator.run(&["release", "start", "order", "--version", "v2"]).await.unwrap();
    operator.until("order", |release| release.phase == Phase::Completed).await.unwrap();
    traffic.until_only("v2", AFTER).await.unwrap();
    let signal = ["--kind", "security", "--name", "scanner", "--status", "bad"];
    let signal = [&["version", "signal", "order", "v2"], &signal[..]].concat();
    operator.run(&signal).await.unwrap();
    all_on_stable(&traffic).await.unwrap();
    traffic.end(None).await.unwrap();
    // It is in the journal: a crash does not let it out.
    world.control.kill9().unwrap();
    world.control.restart().await.unwrap();
    let start = ["release", "start", "order", "--version", "v2"];
    let why = refused(&world, &start).await.unwrap();
    assert!(why.contains("quarantined") && why.contains("`scanner`"), "{why}");
    let operator = Operator::new(&world.control);
    operator.run(&["version", "unquarantine", "order", "v2"]).await.unwrap();
    operator.run(&start).await.unwrap();
    // In mid-release as well.
    operator.run(&signal).await.unwrap();
    let ended = operator.release("order").await.unwrap();
    assert_eq!(ended.phase, Phase::RolledBack);
    operator.run(&["audit", "verify"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_business_holds_a_release_and_a_word_takes_it_back() {
    let _alone = ONE_WORLD.lock().await;
    let world = world(QUICK, None).await.unwrap();
    let operator = Operator::new(&world.control);
    let traffic = Traffic::start(&world, "order", RATE, USERS).await.unwrap();
    operator.run(&["release", "start", "order", "--version", "v2"]).await.unwrap();
    operator.until("order", |release| release.weight > 0.0).await.unwrap();
    let say = async |status| {
        let words = ["version", "signal", "order", "v2", "--kind", "business", "--name", "orders"];
        operator.run(&[&words[..], &["--status", status]].concat()).await
    };
    say("bad").await.unwrap();
    waits_only_for(&world, "order", "the business signal `orders`").await.unwrap();
    assert!(operator.release("order").await.unwrap().is_running());
    operator.run(&["release", "rollback", "order"]).await.unwrap();
    all_on_stable(&traffic).await.unwrap();
    traffic.end(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_opens_a_step_and_a_plan_may_hold_what_breaks() {
    let _alone = ONE_WORLD.lock().await;
    let gated = "{canary: {steps: [{weight: 5%, approval: release-manager}, 100%], step_time: 5m, watch: 1s, \
                 min_requests: 10, on_fail: pause}}";
    let world = world(gated, None).await.unwrap();
    let operator = Operator::new(&world.control);
    let traffic = Traffic::start(&world, "order", RATE, USERS).await.unwrap();
    let start = ["release", "start", "order", "--version", "v2", "--actor", "anne"];
    operator.run(&start).await.unwrap();
    waits_only_for(&world, "order", "1 more approval as `release-manager`").await.unwrap();
    let approve = ["release", "approve", "order", "--role", "release-manager", "--actor"];
    let why = refused(&world, &[&approve[..], &["anne"]].concat()).await.unwrap();
    assert!(why.contains("anne started it"), "{why}");
    operator.run(&[&approve[..], &["bob"]].concat()).await.unwrap();
    operator.until("order", |release| release.weight > 0.0 && release.converged).await.unwrap();

    let bad = world.backends.get("order", "v2").unwrap();
    bad.set_faults(Faults::errors(1.0, 500).unwrap());
    let told = until("the release to be held", PATIENCE, async || {
        let told = operator.run(&["release", "explain", "order"]).await.ok()?;
        told.contains("an operator to resume it or roll it back").then_some(told)
    });
    let told = told.await.context("never held").unwrap();
    assert!(told.contains("at 5%") && told.contains("held, by controller"), "{told}");
    operator.run(&["release", "rollback", "order"]).await.unwrap();
    all_on_stable(&traffic).await.unwrap();
    traffic.end(Some("v2")).await.unwrap();
}
