//! Tests of the harness itself, with an Envoy that has its own bootstrap.
#![expect(clippy::unwrap_used, reason = "a panic in a helper fails the test")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tidegate_demo_app::load::{LoadConfig, LoadGenerator};
use tidegate_tests::backends::Backends;
use tidegate_tests::envoy::{Envoy, EnvoyOptions};
use tidegate_tests::process::Process;
use tidegate_tests::{binaries, ports, wait};

fn shell(name: &str, script: &str, dir: &Path) -> Process {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    Process::spawn(name, command, dir).unwrap()
}

fn alive(pid: &str) -> bool {
    // A zombie has ended.
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    kill(Pid::from_raw(pid.parse().unwrap()), None).is_ok() && !state.contains(") Z ")
}

async fn gone(pid: &str) {
    wait::until("a process to be gone", wait::WAIT_LIMIT, async || (!alive(pid)).then_some(()))
        .await
        .unwrap();
}

#[tokio::test]
async fn envoy_routes_to_a_backend_and_its_admin_interface_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let backends = Backends::start().await.unwrap();
    let (admin, ingress) = (ports::free_address().unwrap(), ports::free_address().unwrap());
    let upstream = backends.get("order", "v2").unwrap();
    let bootstrap = include_str!("bootstrap.yaml")
        .replace("ADMIN_PORT", &admin.port().to_string())
        .replace("INGRESS_PORT", &ingress.port().to_string())
        .replace("UPSTREAM_PORT", &upstream.address().port().to_string());
    let binary = tokio::task::spawn_blocking(binaries::envoy).await.unwrap().unwrap();
    let mut envoy =
        Envoy::start(&binary, "envoy", &bootstrap, admin, dir.path(), &EnvoyOptions::default())
            .unwrap();
    envoy.ready().await.unwrap();

    let load = LoadGenerator::start(&LoadConfig {
        rate: 200.0,
        ..LoadConfig::new(vec![ingress], "order.local")
    })
    .unwrap();
    wait::until("responses", wait::WAIT_LIMIT, async || {
        (load.snapshot().finished > 100).then_some(())
    })
    .await
    .unwrap();
    let report = load.stop().await;
    assert_eq!(report.failed, 0, "{report}");
    assert_eq!(report.versions["v2"].finished, report.sent);
    assert_eq!(upstream.requests(), report.sent);

    let stats = envoy.stats("^cluster.order.upstream_rq_total$").await.unwrap();
    assert_eq!(stats["cluster.order.upstream_rq_total"], report.sent);
    assert_eq!(envoy.clusters().await.unwrap()["cluster_statuses"][0]["name"], "order");
    assert!(envoy.config_dump().await.unwrap()["configs"].is_array());
    envoy.drain().await.unwrap();
    assert!(envoy.quit().await.unwrap().success());
}

#[tokio::test]
async fn an_invalid_bootstrap_is_in_the_error() {
    let dir = tempfile::tempdir().unwrap();
    let admin = ports::free_address().unwrap();
    let binary = tokio::task::spawn_blocking(binaries::envoy).await.unwrap().unwrap();
    let options = EnvoyOptions::default();
    let mut envoy =
        Envoy::start(&binary, "envoy", r#"{"amdin": {}}"#, admin, dir.path(), &options).unwrap();
    let error = envoy.ready().await.unwrap_err().to_string();
    assert!(error.contains("amdin"), "{error}");
}

#[tokio::test]
async fn dropping_a_process_kills_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = shell("parent", "sleep 1000 & echo child $!; wait", dir.path());
    let line = process.wait_for_line("child ").await.unwrap();
    let (_, child) = line.split_once(' ').unwrap();
    assert!(alive(child));
    drop(process);
    gone(child).await;
}

#[tokio::test]
async fn a_process_is_stopped_continued_and_terminated() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done";
    let mut process = shell("child", script, dir.path());
    process.wait_for_line("up").await.unwrap();
    process.signal(Signal::SIGSTOP).unwrap();
    process.signal(Signal::SIGCONT).unwrap();
    assert_eq!(process.terminate(wait::WAIT_LIMIT).await.unwrap().code(), Some(3));
    let error = shell("short", "echo why; exit 4", dir.path())
        .wait_for_line("never")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("exit status: 4") && error.contains("why"), "{error}");
    let error = wait::until("no such event", Duration::ZERO, async || None::<()>)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no such event"), "{error}");
}

/// The program that the next test kills.
#[tokio::test]
#[ignore = "started by nothing_survives_a_kill_of_the_harness"]
async fn victim() {
    let dir = tempfile::tempdir().unwrap();
    drop(shell("ended", "sleep 1000", dir.path()));
    let kept = shell("kept", "sleep 1000", dir.path());
    println!("kept {}", kept.id());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn nothing_survives_a_kill_of_the_harness() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "victim", "--nocapture"]).env("TMPDIR", dir.path());
    let mut victim = Process::spawn("victim", command, dir.path()).unwrap();
    let line = victim.wait_for_line("kept ").await.unwrap();
    let kept = line.rsplit(' ').next().unwrap();
    assert!(alive(kept));
    victim.kill9().unwrap();
    gone(kept).await;
}
