//! A hundred weight steps and a rollback under load: no request may fail. The baseline, in the same run and of the same
//! duration, is the same load without changes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tidegate_demo_app::load::LoadReport;
use tidegate_tests::story::{Operator, Phase, Traffic};
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};

const RATE: f64 = 1000.0;
const SERVICE: &str = "order";

pub(crate) async fn run() -> Result<()> {
    let steps = (1..=100).map(|percent| format!("{percent}%")).collect::<Vec<_>>().join(", ");
    let strategy = format!(
        "{{canary: {{steps: [{steps}], step_time: 100ms, watch: 1h, holdback: 0%, min_requests: 1}}}}"
    );
    let knobs = Knobs { strategies: [(SERVICE.to_owned(), strategy)].into(), ..Knobs::default() };
    let world = World::start(WorldOptions { knobs, ..WorldOptions::default() }).await?;
    let operator = Operator::new(&world.control);

    let traffic = Traffic::start(&world, SERVICE, RATE, 1_000).await?;
    let started = Instant::now();
    operator.run(&["release", "start", SERVICE, "--version", "v2"]).await?;
    loop {
        // All steps may take longer than the time limit of one wait: each has its own.
        let now = operator.release(SERVICE).await?.weight;
        let moved = |release: &tidegate_tests::story::ReleaseView| release.weight > now;
        if operator.until(SERVICE, moved).await?.phase == Phase::Watching {
            break;
        }
    }
    operator.run(&["release", "rollback", SERVICE]).await?;
    traffic.until_only("v1", 500).await?;
    let took = started.elapsed();
    let (changing, _) = traffic.end(None).await?;

    let traffic = Traffic::start(&world, SERVICE, RATE, 1_000).await?;
    tokio::time::sleep(took).await;
    let (unchanged, _) = traffic.end(None).await?;

    println!(
        "\nweight steps: {} Envoys, {RATE} requests/s, 100 steps and a rollback in {:.0} s",
        world.sidecars.len(),
        took.as_secs_f64()
    );
    println!("  {:<22} {:>9} {:>7} {:>9} {:>9}", "", "REQUESTS", "FAILED", "p50 ms", "p99 ms");
    row("100 steps, a rollback", &changing);
    row("no changes", &unchanged);
    ensure!(
        took > Duration::ZERO && changing.failed == 0,
        "{} requests failed; the goal is 0",
        changing.failed
    );
    Ok(())
}

fn row(name: &str, report: &LoadReport) {
    let slowest = |of: fn(&tidegate_demo_app::load::VersionReport) -> f64| {
        report.versions.values().map(of).fold(0.0, f64::max)
    };
    println!(
        "  {name:<22} {:>9} {:>7} {:>9.2} {:>9.2}",
        report.sent,
        report.failed,
        slowest(|version| version.p50_ms),
        slowest(|version| version.p99_ms)
    );
}
