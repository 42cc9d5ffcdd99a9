//! Releases without any change of Istio's resources.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tidegate_demo_app::faults::Faults;
use tidegate_demo_app::load::LoadConfig;
use tidegate_tests::stats::plausible;
use tidegate_tests::story::{Phase, ProgressOutput, Traffic, answers_of_all_users, users_on};

use super::mesh::{Mesh, Setup};

const USERS: u64 = 300;
/// A response of the bad version is the last one if none follows for this long.
const QUIET: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_canary_completes_with_sticky_users() {
    good_canary().await.unwrap();
}

async fn good_canary() -> Result<()> {
    let output = ProgressOutput::default();
    let mesh = Mesh::start(Setup::default()).await?;
    let operator = mesh.operator();
    output.say("sidecar, gateway and waypoint have their configuration");
    let traffic = mesh.traffic(300.0, USERS).await?;
    let began = Instant::now();
    operator.run(&["release", "start", "order", "--version", "v2"]).await?;
    let mut on_candidate: HashSet<u64> = HashSet::new();
    for weight in [0.05, 0.25, 0.95] {
        operator.until("order", |release| release.weight >= weight && release.converged).await?;
        let reached = began.elapsed();
        let [p50, p99] = mesh.step_times().await?;
        let users = answers_of_all_users(&traffic, USERS).await?;
        let still = operator.release("order").await?;
        ensure!((still.weight - weight).abs() < 1e-9, "the step ended before it was measured");
        let candidate = users_on("v2", &users)?;
        let (k, n) = (candidate.len() as u64, users.len() as u64);
        ensure!(plausible(k, n, weight), "{k} of {n} users at a weight of {weight}");
        ensure!(on_candidate.is_subset(&candidate), "users returned to v1 at {weight}");
        output.say(format_args!(
            "{:>3.0} %: {:.1} s after the command; every proxy had it after p50 {p50} ms, p99 {p99} ms; {k} of {n} users on v2",
            weight * 100.0,
            reached.as_secs_f64()
        ));
        on_candidate = candidate;
    }
    operator.until("order", |release| release.phase == Phase::Completed).await?;
    // The default route still leads to v1.
    traffic.until_only("v2", 2 * USERS).await?;
    output.say(format_args!(
        "completed {:.1} s after the command: every user on v2, and the default route leads to v1",
        began.elapsed().as_secs_f64()
    ));
    traffic.end(None).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_version_is_rolled_back() {
    bad_version().await.unwrap();
}

async fn bad_version() -> Result<()> {
    let output = ProgressOutput::default();
    let mesh = Mesh::start(Setup::default()).await?;
    let operator = mesh.operator();
    let traffic = mesh.traffic(500.0, 1_000).await?;
    operator.run(&["release", "start", "order", "--version", "v2"]).await?;
    operator.until("order", |release| release.weight >= 0.05 && release.converged).await?;
    let before = mesh.convergences().await?;
    mesh.backends.get("order", "v2")?.set_faults(Faults::errors(1.0, 500)?);
    let first = traffic
        .until("a bad response", |seen| seen.versions.get("v2").and_then(|v2| v2.first_failed))
        .await?;
    let ended = operator.until("order", |release| release.phase == Phase::RolledBack).await?;
    let last = traffic
        .until("the last response by v2", |seen| {
            seen.versions.get("v2").map(|v2| v2.last).filter(|last| last.elapsed() > QUIET)
        })
        .await?;
    let took = last.checked_duration_since(first).context("the last response came first")?;
    output.say(format_args!("first bad response to last by v2: {} ms", took.as_millis()));
    mesh.until_synced().await?;
    let after = mesh.convergences().await?;
    let mean = (after.seconds - before.seconds) * 1000.0 / (after.count - before.count).max(1.0);
    output.say(format_args!(
        "until a sidecar reports the configuration of the rollback: {mean:.0} ms"
    ));
    let why = ended.cause.unwrap_or_default();
    ensure!(why.contains("error rate"), "rolled back for another reason: {why}");
    traffic.end(Some("v2")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_pins_a_version() {
    flag().await.unwrap();
}

async fn flag() -> Result<()> {
    let output = ProgressOutput::default();
    let mesh = Mesh::start(Setup::default()).await?;
    let operator = mesh.operator();
    let plain = mesh.load(100.0, 100);
    let beta = LoadConfig { headers: vec![("x-beta".into(), "yes".into())], ..plain.clone() };
    let (beta, plain) =
        (Traffic::with("beta", &beta).await?, Traffic::with("plain", &plain).await?);
    let file = mesh.dir().join("beta.json");
    let flag = json!({"flags": {"beta": {
        "state": "ENABLED",
        "variants": {"in": "v2", "out": ""},
        "defaultVariant": "out",
        "targeting": {"if": [{"==": [{"var": "headers.x-beta"}, "yes"]}, "in"]},
        "metadata": {"service": "order"},
    }}});
    std::fs::write(&file, flag.to_string())?;
    let began = Instant::now();
    operator.run(&["flag", "set", "-f", file.to_str().context("a path")?]).await?;
    beta.until_only("v2", 200).await?;
    output.say(format_args!(
        "200 responses in a row by v2 {} ms after the command",
        began.elapsed().as_millis()
    ));
    plain.until_only("v1", 200).await?;
    operator.run(&["flag", "delete", "beta"]).await?;
    beta.until_only("v1", 200).await?;
    beta.end(None).await?;
    plain.end(None).await?;
    Ok(())
}
