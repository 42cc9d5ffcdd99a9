//! The first hour of a newcomer, by the commands of the README: a configuration for his services, a server, an Envoy, a canary.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tidegate_demo_app::faults::Faults;
use tidegate_demo_app::load::LoadConfig;
use tidegate_demo_app::service::{Service, ServiceVersion};
use tidegate_tests::control_plane::ControlPlane;
use tidegate_tests::process::Process;
use tidegate_tests::story::{Operator, Phase, Traffic};
use tidegate_tests::wait::{WAIT_LIMIT, until};
use tidegate_tests::{binaries, ports};

use super::{RATE, USERS};

async fn order(version: &str) -> Result<Service> {
    let identity = ServiceVersion { service: "order".to_owned(), version: version.to_owned() };
    Ok(Service::start(identity, ports::free_address()?, Faults::default()).await?)
}

/// What `tidegate init` writes, with ports of its own and a plan of seconds.
fn configuration(dir: &Path, services: &str, ports: &[(&str, SocketAddr)]) -> Result<String> {
    let file = dir.join("init.yaml");
    let output = Command::new(binaries::tidegate()?)
        .args(["init", services, "--filter"])
        .arg(binaries::filter()?)
        .arg("--out")
        .arg(&file)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut text = fs::read_to_string(file)?;
    let addresses: Vec<_> = ports.iter().map(|(port, it)| (*port, it.to_string())).collect();
    let replaced = addresses.iter().map(|(port, address)| (*port, address.as_str()));
    for (from, to) in replaced.chain([
        ("[5%, 25%, 50%, 100%]", "[50%, 100%]"),
        ("step_time: 1m", "step_time: 3s"),
        ("min_requests: 50", "min_requests: 10"),
        ("watch: 5m", "watch: 1s"),
    ]) {
        ensure!(text.contains(from), "no {from:?} in {text}");
        text = text.replacen(from, to, 1);
    }
    Ok(text)
}

/// `tidegate envoy run` with a real Envoy on PATH.
fn envoy_run(dir: &Path, envoy: &Path, xds: SocketAddr, admin: SocketAddr) -> Result<Process> {
    let folder = dir.join("bin");
    fs::create_dir(&folder)?;
    symlink(envoy, folder.join("envoy"))?;
    let mut command = Command::new(binaries::tidegate()?);
    command
        .args(["envoy", "run", "--fleet", "edge", "--xds", &xds.to_string()])
        .args(["--admin", &admin.to_string(), "--", "--concurrency", "2"])
        .env("PATH", folder)
        .env_remove("TIDEGATE_ENVOY");
    Process::spawn("envoy", command, dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_releases_a_version_with_the_documented_commands() {
    newcomer().await.unwrap();
}

async fn newcomer() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (v1, v2) = (order("v1").await?, order("v2").await?);
    let services = format!("order={},{}", v1.address(), v2.address());
    let [xds, api, ingress, admin] = [(); 4].map(|()| ports::free_address());
    let (xds, api, ingress, admin) = (xds?, api?, ingress?, admin?);
    let own = [("127.0.0.1:18000", xds), ("127.0.0.1:8080", api), ("127.0.0.1:10000", ingress)];
    let text = configuration(dir.path(), &services, &own)?;
    let control = ControlPlane::start(&binaries::tidegate()?, &text, xds, api, dir.path()).await?;

    let program = fs::canonicalize(binaries::envoy()?)?;
    let mut envoy = envoy_run(dir.path(), &program, xds, admin)?;
    let ready = format!("http://{admin}/ready");
    let is_ready = async || {
        let answer = reqwest::get(&ready).await.ok()?;
        answer.status().is_success().then_some(())
    };
    envoy.wait_for("Envoy is ready", is_ready).await?;
    // The process became Envoy, so what a supervisor sends reaches it.
    let running = fs::read_link(format!("/proc/{}/exe", envoy.id()))?;
    ensure!(running == program, "{} runs", running.display());

    let config = LoadConfig::new(vec![ingress], "order.local".to_owned());
    let load = Traffic::with("order", &LoadConfig { rate: RATE, users: USERS, ..config }).await?;
    let operator = Operator::new(&control);
    operator.run(&["release", "start", "order", "v2"]).await?;
    let line = until("the requests of both versions in the status", WAIT_LIMIT, async || {
        let status = operator.run(&["status"]).await.ok()?;
        let of = |role: &str| status.lines().find(|line| line.contains(role)).map(str::to_owned);
        let (stable, candidate) = (of("v1 stable")?, of("v2 candidate")?);
        // Rate, error rate, median and 99th percentile.
        let has_figures = |line: &str| line.contains("ms") && line.contains("0%");
        (has_figures(&stable) && has_figures(&candidate)).then_some(candidate)
    })
    .await?;
    ensure!(line.contains("50%"), "{line}");
    operator.run(&["release", "wait", "order", "--timeout", "2m"]).await?;
    operator.until("order", |release| release.phase == Phase::Completed).await?;
    load.until_only("v2", USERS).await?;
    load.end(None).await?;
    let history = operator.run(&["release", "history", "order"]).await?;
    ensure!(history.contains("order.1") && history.contains("completed"), "{history}");
    let explained = operator.run(&["release", "explain", "order"]).await?;
    ensure!(explained.contains("v2 is the stable version"), "{explained}");

    let ended = envoy.terminate(WAIT_LIMIT).await.context("Envoy after SIGTERM")?;
    ensure!(ended.success(), "{ended}");
    Ok(())
}
