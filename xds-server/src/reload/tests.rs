//! The file watcher and the reloader with a real controller and simulated time and disk.

mod losses;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::controller::fakes::{World, anne};
use tidegate_delivery::fixtures::{name, start, verb};
use tidegate_delivery::model::command::{Command, ReleaseCommand};
use tidegate_delivery::units::Timestamp;

const TEXT: &str = r#"
listen: {xds: "127.0.0.1:18000", api: "127.0.0.1:8080"}
filter: {wasm: filter.wasm}
fleets: [{name: demo}]
services:
  - name: order
    hosts: ["order.local"]
    strategy: {canary: {steps: [5%, 100%]}}
    stable: v1
    versions: [{name: v1, endpoints: ["127.0.0.1:9101"]}, {name: v2, endpoints: ["127.0.0.1:9102"]}]
"#;

/// A server with its file.
struct Server {
    world: World,
    controller: Handle,
    reloader: Arc<Reloader>,
    watcher: FileWatcher,
    receivers: watch::Receiver<Vec<Receiver>>,
    previews: watch::Receiver<Previews>,
    dir: TempDir,
}

impl Server {
    fn start() -> Self {
        Self::start_on(TEXT)
    }

    fn start_on(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("tidegate.yaml"), text).unwrap();
        Self::start_in(World::default(), dir)
    }

    fn start_in(world: World, dir: TempDir) -> Self {
        let path = dir.path().join("tidegate.yaml");
        let config = config::load(&path).unwrap();
        let mut parts = world.parts(Box::new(world.clone()));
        parts.version = Version { hash: config.hash.clone(), source: Source::File };
        parts.services = config.services.clone();
        parts.mesh = config.mesh.clone();
        let controller = crate::controller::spawn(parts).unwrap();
        let (previews, ways) = watch::channel(Previews::of_mesh(&config.mesh));
        let (receivers_sender, receivers) = watch::channel(Vec::new());
        let access = Arc::new(Access::unrestricted(Arc::default()));
        let appliers = Appliers { access, previews, receivers: receivers_sender };
        let (clock, base) = (Clock::new(Timestamp::default), dir.path().to_owned());
        let hash = config.hash.clone();
        let reloader = Reloader::new(controller.clone(), clock, base, config, appliers);
        let watcher = FileWatcher::new(Arc::clone(&reloader), path, hash);
        Self { world, controller, reloader, watcher, receivers, previews: ways, dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("tidegate.yaml")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    /// Polls until the text of the file is handled.
    async fn poll(&mut self) {
        for _ in 0..2 {
            self.watcher.poll(false).await;
        }
    }

    fn failure(&self) -> Option<String> {
        self.watcher.status().borrow().failure.as_ref().map(|it| it.message.clone())
    }

    /// The first weight of `order`, in percent.
    fn first_step(&self) -> u32 {
        let view = self.controller.view();
        let plan = &view.borrow().state.services["order"].spec.plan;
        plan.steps[0].weight.parts() / 10_000
    }

    async fn ask(&self, command: Command) {
        self.controller.submit(command, anne()).await.unwrap();
    }

    async fn send(&self, text: &str) -> Result<Outcome, ReloadError> {
        self.send_allowing(text, &[]).await
    }

    async fn send_allowing(&self, text: &str, allow: &[&str]) -> Result<Outcome, ReloadError> {
        let allow = allow.iter().map(|it| it.parse().unwrap()).collect();
        self.reloader.apply(text.to_owned(), Source::Api, allow, anne()).await
    }
}

/// With another first weight of `order`, which takes nothing away.
fn with_step(percent: u32) -> String {
    TEXT.replace("[5%,", &format!("[{percent}%,"))
}

fn swap(link: &Path, to: &Path) {
    let next = link.with_extension("next");
    symlink(to, &next).unwrap();
    fs::rename(next, link).unwrap();
}

#[tokio::test]
async fn a_stable_edit_is_applied_and_journaled() {
    let mut server = Server::start();
    let before = server.world.records().len();
    server.poll().await;
    assert_eq!(server.world.records().len(), before, "nothing was edited");

    // A partly written file is not applied.
    server.write("listen: {");
    server.watcher.poll(false).await;
    server.write(&with_step(50));
    server.watcher.poll(false).await;
    assert_eq!((server.first_step(), server.failure()), (5, None));
    server.watcher.poll(false).await;
    assert_eq!(server.first_step(), 50);

    let records = server.world.records();
    let kinds: Vec<_> = records[before..].iter().map(|it| it.event.event().kind()).collect();
    assert_eq!(kinds, ["catalogue_applied", "configuration_applied"]);
    assert_eq!(records.last().unwrap().actor, "configuration");
    let applied = server.controller.view().borrow().state.configuration.clone().unwrap();
    let hash = config::hash(&with_step(50));
    assert_eq!(applied.version, Version { hash, source: Source::File });
}

#[tokio::test]
async fn files_that_are_renamed_or_linked_into_place_are_found() {
    let mut server = Server::start();
    let draft = server.dir.path().join("draft");
    fs::write(&draft, with_step(50)).unwrap();
    fs::rename(&draft, server.path()).unwrap();
    server.poll().await;
    assert_eq!(server.first_step(), 50);

    // As Kubernetes does it: tidegate.yaml → data/tidegate.yaml, and data → another directory.
    let (data, file) = (server.dir.path().join("data-link"), server.path());
    for step in [1, 2] {
        let dir = server.dir.path().join(step.to_string());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("tidegate.yaml"), with_step(step)).unwrap();
        swap(&data, &dir);
        if step == 1 {
            swap(&file, &data.join("tidegate.yaml"));
        }
        server.poll().await;
        assert_eq!(server.first_step(), step);
    }
}

#[tokio::test]
async fn an_invalid_configuration_changes_nothing_and_is_reported_with_positions() {
    let mut server = Server::start();
    let before = server.world.records().len();
    server.write(&with_step(500));
    server.poll().await;
    let failure = server.watcher.status().borrow().failure.clone().unwrap();
    assert_eq!(failure.problems.len(), 1);
    assert_eq!(failure.problems[0].span.line, 8);
    assert!(failure.message.contains("8:") && failure.message.contains("`500%`"), "{failure:?}");

    fs::remove_file(server.path()).unwrap();
    server.poll().await;
    assert!(server.failure().unwrap().contains("cannot read"));

    server.write(&TEXT.replace("127.0.0.1:18000", "127.0.0.1:18001"));
    server.poll().await;
    assert!(server.failure().unwrap().contains("listen.xds needs a restart"));
    let elsewhere = format!("data_dir: elsewhere\n{TEXT}").replace("8080", "8081");
    let refused = server.send(&elsewhere).await.unwrap_err().to_string();
    assert!(refused.contains("listen.api, data_dir"), "{refused}");

    assert_eq!(server.world.records().len(), before);
    server.write(TEXT);
    server.poll().await;
    assert_eq!(server.failure(), None);
    assert_eq!(server.world.records().len(), before);
}

const SEARCH: &str = r#"  - name: search
    hosts: ["search.local"]
    strategy: {canary: {steps: [5%, 100%]}}
    stable: v1
    versions: [{name: v1, endpoints: ["127.0.0.1:9201"]}]
"#;

/// Without v2 of `order`, with `search`, and with one more fleet.
fn edited() -> String {
    let text = TEXT.replace(r#", {name: v2, endpoints: ["127.0.0.1:9102"]}"#, "");
    format!("{}{SEARCH}", text.replace("{name: demo}", "{name: demo}, {name: other}"))
}

#[tokio::test]
async fn a_service_that_a_release_withholds_is_applied_after_its_end() {
    let mut server = Server::start();
    server.world.lag(true);
    server.ask(start("order", "v2")).await;
    server.write(&edited());
    server.poll().await;
    let message = server.failure().unwrap();
    assert!(message.contains("`order.1`") && message.contains("`v2`"), "{message}");
    let versions = |server: &Server| {
        server.controller.view().borrow().state.services["order"].spec.versions.len()
    };
    assert_eq!(versions(&server), 2);
    let view = server.controller.view();
    assert!(view.borrow().state.services.contains_key("search"));
    assert_eq!(server.world.mesh().fleets[1].name.as_str(), "other");
    let before = server.world.records().len();
    server.poll().await;
    assert_eq!(server.world.records().len(), before, "a retry without an effect is not journaled");

    // A server that starts with this file retries the file.
    server.controller.stop().await;
    let Server { world, dir, .. } = server;
    let mut server = Server::start_in(world, dir);
    server.poll().await;
    assert!(server.failure().is_some());

    server.ask(verb("order.1", ReleaseCommand::Abort)).await;
    server.poll().await;
    assert_eq!((versions(&server), server.failure()), (1, None));
}

#[tokio::test]
async fn a_withheld_service_stays_in_its_listeners() {
    let listening = |services: &str| {
        let listener =
            format!("{{name: in, address: \"127.0.0.1:10000\", services: [{services}]}}");
        TEXT.replace("{name: demo}", &format!("{{name: demo, listeners: [{listener}]}}"))
    };
    let mut server = Server::start_on(&format!("{}{SEARCH}", listening("order, search")));
    server.world.lag(true);
    server.ask(start("order", "v2")).await;
    let without = listening("search");
    let (without, _) = without.split_once("  - name: order").unwrap();
    server.write(&format!("{without}{SEARCH}"));
    // The second time nothing changes.
    for _ in 0..2 {
        server.poll().await;
        assert!(server.failure().unwrap().contains("`order.1`"));
        let services = server.world.mesh().fleets[0].listeners()[0].services.clone();
        assert!(services.include(&name("order")) && services.include(&name("search")));
    }
}

#[tokio::test]
async fn a_file_that_is_applied_in_part_does_not_replace_a_later_configuration() {
    let mut server = Server::start();
    server.world.lag(true);
    server.ask(start("order", "v2")).await;
    server.write(&edited());
    server.poll().await;
    assert!(server.failure().is_some());
    server.send_allowing(&with_step(50), &["service:search", "fleet:other"]).await.unwrap();
    server.ask(verb("order.1", ReleaseCommand::Abort)).await;
    server.poll().await;
    assert_eq!((server.first_step(), server.failure()), (50, None));
}

#[tokio::test]
async fn a_refused_file_does_not_replace_a_later_configuration() {
    let mut server = Server::start();
    server.ask(start("order", "v2")).await;
    for all in [true, false] {
        server.ask(verb("order.1", ReleaseCommand::Promote { all })).await;
    }
    let without = |step| {
        let text = with_step(step).replace("stable: v1", "stable: v2");
        text.replace(r#"{name: v1, endpoints: ["127.0.0.1:9101"]}, "#, "")
    };
    server.write(&without(10));
    server.poll().await;
    assert!(server.failure().unwrap().contains("--allow version:order/v1"));
    // Now the file would take nothing more away.
    server.send_allowing(&without(20), &["version:order/v1"]).await.unwrap();
    server.poll().await;
    assert_eq!(server.first_step(), 20);
}

#[tokio::test]
async fn the_file_removes_a_version_in_use_only_after_it_was_allowed() {
    let mut server = Server::start();
    let text = TEXT
        .replace(r#"{name: v1, endpoints: ["127.0.0.1:9101"]}, "#, "")
        .replace("stable: v1", "stable: v2")
        .replace("[5%,", "[50%,");
    server.write(&text);
    server.poll().await;
    assert!(server.failure().unwrap().contains("--allow version:order/v1"));
    assert_eq!(server.first_step(), 5);

    // A server that starts with this file keeps the services of the journal.
    server.controller.stop().await;
    let Server { world, dir, .. } = server;
    let mut server = Server::start_in(world, dir);
    server.poll().await;
    assert!(server.failure().unwrap().contains("--allow version:order/v1"));
    assert_eq!(server.first_step(), 5);

    server.send_allowing(&text, &["version:order/v1"]).await.unwrap();
    server.poll().await;
    assert_eq!((server.first_step(), server.failure()), (50, None));
}

#[tokio::test]
async fn a_sent_configuration_is_in_force_until_the_file_changes_or_is_reloaded() {
    let mut server = Server::start();
    let sent = format!(
        "{}notifications: [{{name: team, kind: webhook, url: \"http://127.0.0.1:1/\"}}]\n",
        with_step(50).replace(
            "{name: demo}",
            "{name: demo}, {name: edge, listeners: [{name: p, address: \"127.0.0.1:10000\", services: [\"*\"], preview: true}]}",
        )
    );
    let tried = server.reloader.dry_run(sent.clone(), BTreeSet::new(), &anne()).await.unwrap();
    assert!(tried.outcome.changed);
    assert_eq!(server.first_step(), 5);
    assert!(!server.dir.path().join("data").exists(), "a dry run creates no key");

    assert!(server.send(&sent).await.unwrap().changed);
    assert!(!server.send(&sent).await.unwrap().changed);
    server.poll().await;
    assert_eq!(server.first_step(), 50);
    assert_eq!(server.receivers.borrow_and_update()[0].name.as_str(), "team");
    assert!(server.previews.has_changed().unwrap());
    assert_ne!(server.world.mesh().preview_key, PreviewKey::default());

    server.watcher.poll(true).await;
    assert_eq!(server.first_step(), 5);
    assert!(server.receivers.borrow_and_update().is_empty());
}

#[tokio::test]
async fn a_configuration_that_cannot_be_journaled_is_not_applied_and_retried() {
    let mut server = Server::start();
    server.world.fill_disk(true);
    server.write(&with_step(50).replace("{name: demo}", "{name: demo}, {name: other}"));
    server.poll().await;
    assert!(server.failure().is_some());
    assert_eq!(server.world.mesh().fleets.len(), 1);
    server.world.fill_disk(false);
    server.poll().await;
    assert_eq!((server.first_step(), server.failure()), (50, None));
    assert_eq!(server.world.mesh().fleets.len(), 2);
}
