//! Configuration changes under traffic on real Envoys: by the file, by SIGHUP and by REST, and rejected ones. No request may
//! fail.

mod first_hour;
mod monitoring;
mod upgrade;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::Value;
use tidegate_demo_app::faults::Faults;
use tidegate_demo_app::load::LoadConfig;
use tidegate_demo_app::service::{Service, ServiceVersion};
use tidegate_tests::story::{Operator, Phase, Traffic};
use tidegate_tests::wait::{WAIT_LIMIT, until};
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions, ports};

/// Requests a second, and users, of each load.
const RATE: f64 = 200.0;
const USERS: u64 = 200;
const QUICK: &str = "{canary: {steps: [50%, 100%], step_time: 1s, watch: 1s, min_requests: 10}}";

/// The operator's file.
struct File(PathBuf);

impl File {
    fn of(world: &World) -> Self {
        Self(world.dir().join("tidegate.yaml"))
    }

    fn text(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.0)?)
    }

    /// Writes another file and renames it, as editors do.
    fn save(&self, text: &str) -> Result<()> {
        let draft = self.0.with_extension("draft");
        fs::write(&draft, text)?;
        Ok(fs::rename(draft, &self.0)?)
    }

    fn edit(&self, from: &str, to: &str) -> Result<()> {
        let text = self.text()?;
        ensure!(text.contains(from), "no {from:?} in {text}");
        self.save(&text.replacen(from, to, 1))
    }
}

/// Why the file is not applied; null if it is.
async fn file_error(world: &World) -> Result<Value> {
    let config: Value = world.control.get("config").await?;
    Ok(config.pointer("/file/error").cloned().unwrap_or_default())
}

async fn until_error(world: &World, words: &str) -> Result<()> {
    until(&format!("an error about {words:?}"), WAIT_LIMIT, async || {
        let error = file_error(world).await.ok()?;
        error.get("message")?.as_str()?.contains(words).then_some(())
    })
    .await
}

/// Waits until the file is applied and `sidecars` connected sidecars are synced.
async fn until_applied(world: &World, file: &File, sidecars: usize) -> Result<()> {
    let text = file.text()?;
    let file = file.0.display().to_string();
    until(&format!("{file} to be applied"), WAIT_LIMIT, async || {
        let config: Value = world.control.get("config").await.ok()?;
        let hash = config.pointer("/applied/version/hash")?.as_str()?;
        let nodes: Vec<Value> = world.control.get("nodes").await.ok()?;
        let is_synced = |node: &&Value| node["connected"] == true && node["synced"] == true;
        let all = nodes.iter().filter(is_synced).count() == sidecars;
        (all && hash == tidegate::config::hash(&text)).then_some(())
    })
    .await
}

async fn search(version: &str) -> Result<Service> {
    let identity = ServiceVersion { service: "search".to_owned(), version: version.to_owned() };
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(Service::start(identity, anywhere, Faults::default()).await?)
}

async fn world() -> Result<World> {
    let strategies = [("order".to_owned(), QUICK.to_owned())].into();
    let knobs = Knobs { strategies, ..Knobs::default() };
    World::start(WorldOptions { knobs, ..WorldOptions::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_versions_listeners_and_fleets_are_changed_by_the_file() {
    change_by_file().await.unwrap();
}

async fn change_by_file() -> Result<()> {
    let mut world = world().await?;
    let file = File::of(&world);
    let order = Traffic::start(&world, "order", RATE, USERS).await?;

    // Adds a service, then a version, then releases that version.
    let (v1, v2) = (search("v1").await?, search("v2").await?);
    let first = format!(
        "  - name: search\n    hosts: [\"search.local\"]\n    strategy: {QUICK}\n    stable: v1\n    versions:\n      \
         - {{name: v1, endpoints: [\"{}\"]}}\n",
        v1.address()
    );
    file.save(&format!("{}{first}", file.text()?))?;
    until_applied(&world, &file, 2).await?;
    let load = Traffic::start(&world, "search", RATE, USERS).await?;
    let second = format!("      - {{name: v2, endpoints: [\"{}\"]}}\n", v2.address());
    file.save(&format!("{}{second}", file.text()?))?;
    until_applied(&world, &file, 2).await?;
    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "search", "--version", "v2"]).await?;
    operator.until("search", |release| release.phase == Phase::Completed).await?;
    load.until_only("v2", 2 * USERS).await?;

    // Adds a listener, by SIGHUP.
    let listener = ports::free_address()?;
    let more =
        format!(", {{name: more, address: \"{listener}\", services: [search]}}]\n  - name: demo-2");
    file.edit("]\n  - name: demo-2", &more)?;
    world.control.process()?.signal(Signal::SIGHUP)?;
    until_applied(&world, &file, 2).await?;
    let config = LoadConfig::new(vec![listener], "search.local".to_owned());
    let beside =
        Traffic::with("search", &LoadConfig { rate: RATE, users: USERS, ..config }).await?;
    beside.more(USERS).await?;
    beside.end(None).await?;

    // Removes a fleet. Its sidecar's stream ends; the sidecar keeps its configuration.
    let text = file.text()?;
    let (before, rest) = text.split_once("  - name: demo-2").context("the fleet")?;
    let (_, after) = rest.split_once("services:\n").context("the services")?;
    file.save(&format!("{before}services:\n{after}"))?;
    // The file alone does not take it away.
    until_error(&world, "--allow fleet:demo-2").await?;
    let operator = Operator::new(&world.control);
    let status = operator.run(&["status"]).await?;
    ensure!(status.contains("--allow fleet:demo-2"), "{status}");
    operator.run(&["apply", "-f", "tidegate.yaml", "--allow", "fleet:demo-2"]).await?;
    until_applied(&world, &file, 1).await?;
    order.more(2 * USERS).await?;
    load.end(None).await?;
    order.end(None).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_configuration_changes_nothing() {
    reject().await.unwrap();
}

async fn reject() -> Result<()> {
    let mut world = world().await?;
    let file = File::of(&world);
    let good = file.text()?;
    let order = Traffic::start(&world, "order", RATE, USERS).await?;

    file.edit("[50%, 100%]", "[500%, 100%]")?;
    world.control.process()?.signal(Signal::SIGHUP)?;
    until_error(&world, "`500%`").await?;
    let http = reqwest::Client::builder().timeout(WAIT_LIMIT).build()?;
    let api = format!("http://{}", world.control.api());
    let ready = http.get(format!("{api}/readyz")).send().await?.status();
    ensure!(ready == StatusCode::OK, "not ready: {ready}");
    let metrics = http.get(format!("{api}/metrics")).send().await?.text().await?;
    ensure!(metrics.contains("tidegate_config_last_reload_successful 0"), "{metrics}");
    file.save(&good)?;
    until_applied(&world, &file, 2).await?;
    until("the error to end", WAIT_LIMIT, async || {
        file_error(&world).await.ok()?.is_null().then_some(())
    })
    .await?;

    // The candidate of a running release cannot be removed, by the file or by REST.
    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "order", "--version", "v2"]).await?;
    operator.until("order", |release| release.phase == Phase::Stepping).await?;
    operator.run(&["release", "pause", "order"]).await?;
    let v2 = world.backends.get("order", "v2")?.address();
    file.edit(&format!("      - {{name: v2, endpoints: [\"{v2}\"]}}\n"), "")?;
    until_error(&world, "release `order.1`").await?;
    let sent = world.control.cli(&["apply", "-f", "tidegate.yaml", "--dry-run"]).await?;
    let stdout = String::from_utf8_lossy(&sent.stdout);
    ensure!(sent.status.success() && stdout.contains("its version `v2`"), "{sent:?}");
    order.more(USERS).await?;
    // Its endpoints can change.
    let endpoint = v2.to_string();
    operator.run(&["version", "set", "order", "v2", "--endpoint", &endpoint]).await?;
    operator.run(&["release", "abort", "order"]).await?;
    until("the error to end", WAIT_LIMIT, async || {
        file_error(&world).await.ok()?.is_null().then_some(())
    })
    .await?;
    until_applied(&world, &file, 2).await?;

    // By REST.
    fs::write(world.dir().join("sent.yaml"), &good)?;
    operator.run(&["apply", "-f", "sent.yaml", "--reason", "back again"]).await?;
    let config: Value = world.control.get("config").await?;
    let version = config.pointer("/applied/version").context("a version")?;
    ensure!(
        version["source"] == "api" && version["hash"] == tidegate::config::hash(&good),
        "{config}"
    );
    order.until_only("v1", 2 * USERS).await?;
    order.end(None).await?;
    Ok(())
}
