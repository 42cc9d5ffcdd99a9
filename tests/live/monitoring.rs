//! Alert rules and dashboards query metrics that the server exports, after a release, its rollback and a NACK have given
//! every series a value.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tidegate_demo_app::faults::Faults;
use tidegate_tests::story::{Operator, Phase, Traffic};
use tidegate_tests::wait::{WAIT_LIMIT, until};

use super::{RATE, USERS, world};

fn compose() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose")
}

/// The names of Tidegate's metrics in a text, without those of alerts, volumes and images.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("tidegate_")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_and_dashboards_query_exported_metrics() {
    queries().await.unwrap();
}

async fn queries() -> Result<()> {
    let files =
        ["prometheus-rules.yml", "grafana/dashboards/tidegate.json"].map(|it| compose().join(it));
    let mut queried = BTreeSet::new();
    for file in &files {
        queried.extend(metrics(&fs::read_to_string(file)?));
    }
    ensure!(queried.len() > 10, "{queried:?}");

    let world = world().await?;
    let operator = Operator::new(&world.control);
    let traffic = Traffic::start(&world, "order", RATE, USERS).await?;
    operator.run(&["release", "start", "order", "--version", "v2"]).await?;
    operator.until("order", |release| release.phase == Phase::Stepping).await?;
    // The actual share is exported while the release runs.
    let mut exported = BTreeSet::new();
    until("the actual share", WAIT_LIMIT, async || {
        let text = scrape(&world.control.api().to_string()).await.ok()?;
        text.contains("tidegate_actual_weight_ratio{").then_some(())
    })
    .await?;
    exported.extend(metrics(&scrape(&world.control.api().to_string()).await?));
    world.backends.get("order", "v2")?.set_faults(Faults::errors(1.0, 500)?);
    operator.until("order", |release| release.phase == Phase::RolledBack).await?;
    exported.extend(metrics(&scrape(&world.control.api().to_string()).await?));
    traffic.end(Some("v2")).await?;
    let missing: Vec<_> = queried.difference(&exported).collect();
    ensure!(missing.is_empty(), "not exported: {missing:?}");
    let rules = files.first().context("the rules")?;
    check_with_promtool("rules", Some(rules), "")?;
    let text = scrape(&world.control.api().to_string()).await?;
    check_with_promtool("metrics", None, &text)
}

async fn scrape(api: &str) -> Result<String> {
    Ok(reqwest::get(format!("http://{api}/metrics")).await?.text().await?)
}

/// Runs `promtool check`, with an argument and an input. Skipped without promtool (Debian: `apt-get install prometheus`).
#[expect(clippy::print_stdout, reason = "the output of a test")]
fn check_with_promtool(what: &str, file: Option<&Path>, input: &str) -> Result<()> {
    let mut command = Command::new("promtool");
    command.args(["check", what]).args(file);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = command.spawn() else {
        println!("promtool is not installed: the {what} are not checked");
        return Ok(());
    };
    // It reads all of its input before it writes.
    promtool.stdin.take().context("its input")?.write_all(input.as_bytes())?;
    let output = promtool.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && errors.is_empty(), "check {what}: {errors}");
    Ok(())
}
