//! Blockers and rollbacks that do not come from guardrails, on real Envoys under load: freezes by hand and by window,
//! approvals, signals, `on_fail: pause`, sidecars that do not report, and groups.

mod group;
mod silent;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tidegate_demo_app::faults::Faults;
use tidegate_tests::status::{at, release, until_release};
use tidegate_tests::story::{self, Operator, Phase, Traffic};
use tidegate_tests::wait::{WAIT_LIMIT, until};
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};
use tokio::sync::Mutex;

/// Serialises the tests under `cargo test`, because they share the CPU. nextest has its own limit.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());
const RATE: f64 = 200.0;
const USERS: u64 = 200;
/// Responses in a row that must all come from one version after a change.
const RESPONSES: u64 = 200;

/// A world with this strategy of `order`, and these freeze windows.
async fn world(order: &str, freeze: Option<&str>) -> Result<World> {
    let strategies = BTreeMap::from([("order".to_owned(), order.to_owned())]);
    let freeze = freeze.map(str::to_owned);
    let knobs = Knobs { strategies, freeze, ..story::knobs() };
    World::start(WorldOptions { knobs, ..WorldOptions::default() }).await
}

/// Waits until a release has exactly one blocker, and it has these members.
async fn only_blocker(world: &World, service: &str, members: Value) -> Result<()> {
    let what = format!("{service} to be blocked by {members} alone");
    let blocked = until(&what, WAIT_LIMIT, async || {
        let release = release(world, service).await.ok()?;
        let blockers = at(&release, "/progress/blockers").as_array()?;
        let members = members.as_object()?;
        let has = |blocker: &Value| members.iter().all(|(name, value)| &blocker[name] == value);
        matches!(blockers.as_slice(), [only] if has(only)).then_some(())
    });
    blocked.await
}

/// Waits until v1 serves all requests.
async fn all_on_stable(traffic: &Traffic) -> Result<()> {
    traffic.until_only("v1", RESPONSES).await
}

/// Runs a command that must be rejected, and returns the error.
async fn rejected(world: &World, args: &[&str]) -> Result<String> {
    let output = world.control.cli(args).await?;
    ensure!(!output.status.success(), "{args:?} was not rejected");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

const QUICK: &str = "{canary: {steps: [5%, 100%], step_time: 1s, watch: 1s, min_requests: 10}}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_by_hand_blocks_a_step_but_no_automatic_rollback() {
    let _alone = ONE_WORLD.lock().await;
    let world = world(QUICK, None).await.unwrap();
    let operator = Operator::new(&world.control);
    let traffic = Traffic::start(&world, "order", RATE, USERS).await.unwrap();
    operator.run(&["freeze", "start", "order", "--reason", "incident 7"]).await.unwrap();
    operator.run(&["release", "start", "order", "--version", "v2"]).await.unwrap();
    only_blocker(&world, "order", json!({"kind": "freeze", "reason": "incident 7"})).await.unwrap();
    operator.run(&["freeze", "end", "order"]).await.unwrap();
    operator.until("order", |release| release.weight > 0.0).await.unwrap();
    operator.run(&["freeze", "start", "--reason", "incident 8"]).await.unwrap();
    // Minimum time and requests are reached: only the freeze blocks the step.
    only_blocker(&world, "order", json!({"kind": "freeze", "reason": "incident 8"})).await.unwrap();
    let blocked = operator.release("order").await.unwrap();
    assert!((blocked.weight - 0.05).abs() < 1e-9, "{blocked:?}");
    let error = rejected(&world, &["release", "promote", "order"]).await.unwrap();
    assert!(error.contains("incident 8"), "{error}");
    let explained = operator.run(&["release", "explain", "order"]).await.unwrap();
    assert!(explained.contains("incident 8") && explained.contains("step 1 of 2"), "{explained}");

    world.backends.get("order", "v2").unwrap().set_faults(Faults::errors(1.0, 500).unwrap());
    operator.until("order", |release| release.phase == Phase::RolledBack).await.unwrap();
    let release = release(&world, "order").await.unwrap();
    assert_eq!(at(&release, "/cause/finding/guardrail"), "error_rate", "{release:#}");
    all_on_stable(&traffic).await.unwrap();
    traffic.end(Some("v2")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_window_blocks_its_services_but_no_rollback_by_an_operator() {
    let _alone = ONE_WORLD.lock().await;
    let freeze = "[{name: long, start: 2020-01-01T00:00:00Z, end: 2100-01-01T00:00:00Z, services: [payment]}]";
    let world = world(QUICK, Some(freeze)).await.unwrap();
    let operator = Operator::new(&world.control);
    let traffic = Traffic::start(&world, "payment", RATE, USERS).await.unwrap();
    let started = operator.run(&["release", "start", "payment", "--version", "v2"]).await.unwrap();
    assert!(started.contains("`long`"), "{started}");
    only_blocker(&world, "payment", json!({"kind": "freeze_window", "freeze": "long"}))
        .await
        .unwrap();
    let error = rejected(&world, &["release", "promote", "payment", "--all"]).await.unwrap();
    assert!(error.contains("`long`"), "{error}");
    let status = operator.run(&["freeze", "status"]).await.unwrap();
    assert!(status.contains("payment") && !status.contains("order"), "{status}");
    operator.run(&["release", "rollback", "payment"]).await.unwrap();
    all_on_stable(&traffic).await.unwrap();
    traffic.end(None).await.unwrap();
    // Other services are not blocked.
    let others = Traffic::start(&world, "order", RATE, USERS).await.unwrap();
    operator.run(&["release", "start", "order", "--version", "v2"]).await.unwrap();
    operator.until("order", |release| release.phase == Phase::Completed).await.unwrap();
    others.end(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_security_signal_rolls_a_version_back_and_quarantines_it_also_after_its_release() {
    let _alone = ONE_WORLD.lock().await;
    let mut world = world(QUICK, None).await.unwrap();
    let operator = Operator::new(&world.control);
    let traffic = Traffic::start(&world, "order", RATE, USERS).await.unwrap();
    operator.run(&["release", "start", "order", "--version", "v2"]).await.unwrap();
    operator.until("order", |release| release.phase == Phase::Completed).await.unwrap();
    traffic.until_only("v2", RESPONSES).await.unwrap();
    let signal = ["--kind", "security", "--name", "scanner", "--status", "bad"];
    let signal = [&["version", "signal", "order", "v2"], &signal[..]].concat();
    operator.run(&signal).await.unwrap();
    all_on_stable(&traffic).await.unwrap();
    traffic.end(None).await.unwrap();
    // The quarantine survives a crash.
    world.control.kill9().unwrap();
    world.control.restart().await.unwrap();
    let start = ["release", "start", "order", "--version", "v2"];
    let error = rejected(&world, &start).await.unwrap();
    assert!(error.contains("quarantined") && error.contains("`scanner`"), "{error}");
    let operator = Operator::new(&world.control);
    operator.run(&["version", "unquarantine", "order", "v2"]).await.unwrap();
    operator.run(&start).await.unwrap();
    // Also during a release.
    operator.run(&signal).await.unwrap();
    let ended = operator.release("order").await.unwrap();
    assert_eq!(ended.phase, Phase::RolledBack);
    operator.run(&["audit", "verify"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_business_signal_blocks_a_release_until_an_operator_rolls_it_back() {
    let _alone = ONE_WORLD.lock().await;
    let world = world(QUICK, None).await.unwrap();
    let operator = Operator::new(&world.control);
    let traffic = Traffic::start(&world, "order", RATE, USERS).await.unwrap();
    operator.run(&["release", "start", "order", "--version", "v2"]).await.unwrap();
    operator.until("order", |release| release.weight > 0.0).await.unwrap();
    let signal = ["version", "signal", "order", "v2", "--kind", "business", "--name", "orders"];
    operator.run(&[&signal[..], &["--status", "bad"]].concat()).await.unwrap();
    only_blocker(&world, "order", json!({"kind": "signal", "signal": "orders"})).await.unwrap();
    assert!(operator.release("order").await.unwrap().is_running());
    operator.run(&["release", "rollback", "order"]).await.unwrap();
    all_on_stable(&traffic).await.unwrap();
    traffic.end(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_unblocks_a_step_and_on_fail_pause_pauses_a_failing_release() {
    let _alone = ONE_WORLD.lock().await;
    let strategy = "{canary: {steps: [{weight: 5%, approval: release-manager}, 100%], step_time: 5m, watch: 1s, \
                 min_requests: 10, on_fail: pause}}";
    let world = world(strategy, None).await.unwrap();
    let operator = Operator::new(&world.control);
    let traffic = Traffic::start(&world, "order", RATE, USERS).await.unwrap();
    let start = ["release", "start", "order", "--version", "v2", "--actor", "anne"];
    operator.run(&start).await.unwrap();
    let blocker = json!({"kind": "approval", "role": "release-manager", "missing": 1});
    only_blocker(&world, "order", blocker).await.unwrap();
    let approve = ["release", "approve", "order", "--role", "release-manager", "--actor"];
    let error = rejected(&world, &[&approve[..], &["anne"]].concat()).await.unwrap();
    assert!(error.contains("anne"), "{error}");
    operator.run(&[&approve[..], &["bob"]].concat()).await.unwrap();
    operator.until("order", |release| release.weight > 0.0 && release.converged).await.unwrap();

    let bad = world.backends.get("order", "v2").unwrap();
    bad.set_faults(Faults::errors(1.0, 500).unwrap());
    let paused = |it: &Value| at(it, "/paused_by_guardrail/guardrail") == "error_rate";
    until_release(&world, "order", paused).await.unwrap();
    let paused = operator.release("order").await.unwrap();
    assert!((paused.weight - 0.05).abs() < 1e-9, "{paused:?}");
    operator.run(&["release", "rollback", "order"]).await.unwrap();
    all_on_stable(&traffic).await.unwrap();
    traffic.end(Some("v2")).await.unwrap();
}
