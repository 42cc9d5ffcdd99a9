//! Time from the first bad response of a version that fails every request to its last.
//!
//! 1000 requests per second, 5 % of them to the candidate, which begins to fail. The baseline is computed from Flagger's
//! rule, `(threshold + 1) × interval`: 20 s with the smallest values, 120 s with the defaults.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::Deserialize;
use tidegate_demo_app::faults::Faults;
use tidegate_tests::distribution::Distribution;
use tidegate_tests::story::{Operator, Phase, Traffic};
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};

const TRIALS: u64 = 25;
const RATE: f64 = 1000.0;
const SERVICE: &str = "payment";
const FLAGGER_FLOOR: Duration = Duration::from_secs(20);
/// A response is the last one if none follows for this long.
const QUIET: Duration = Duration::from_secs(2);

/// One trial. The last bad response may precede the decision, if no other was sent in between.
struct Trial {
    decided: Duration,
    total: Duration,
    failed: u64,
}

impl Trial {
    /// From the decision to the last bad response.
    fn enforced(&self) -> Duration {
        self.total.saturating_sub(self.decided)
    }
}

#[derive(Deserialize)]
struct Record {
    seq: u64,
    at: u64,
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    event: String,
    #[serde(default)]
    id: String,
}

pub(crate) async fn run() -> Result<()> {
    let strategy = "{canary: {steps: [5%, 100%], step_time: 1h, watch: 1h}}".to_owned();
    let knobs = Knobs { strategies: [(SERVICE.to_owned(), strategy)].into(), ..Knobs::default() };
    let world = World::start(WorldOptions { knobs, ..WorldOptions::default() }).await?;
    println!(
        "\nrollback: {} Envoys, {RATE} requests/s, 5 % to a version that then fails all",
        world.sidecars.len()
    );
    let mut trials = Vec::new();
    for number in 1..=TRIALS {
        let trial = trial(&world, number).await.with_context(|| format!("trial {number}"))?;
        println!(
            "  trial {number:>2}: {:>4} ms to the decision, {:>4} ms more to the last bad response, {:>3} bad responses",
            trial.decided.as_millis(),
            trial.enforced().as_millis(),
            trial.failed
        );
        trials.push(trial);
    }
    let distribution = |of: fn(&Trial) -> Duration| trials.iter().map(of).collect::<Distribution>();
    let total = distribution(|trial| trial.total);
    println!("  first bad response → decision journaled  {}", distribution(|trial| trial.decided));
    println!("  decision → last bad response             {}", distribution(Trial::enforced));
    println!("  first bad response → last bad response   {total}");
    println!(
        "  goal: p50 < 500 ms, p99 < 1500 ms. Flagger's floor of {} s is {:.0} times the median.",
        FLAGGER_FLOOR.as_secs(),
        FLAGGER_FLOOR.as_secs_f64() / total.quantile(0.5).as_secs_f64()
    );
    Ok(())
}

async fn trial(world: &World, number: u64) -> Result<Trial> {
    let operator = Operator::new(&world.control);
    let bad = world.backends.get(SERVICE, "v2")?;
    bad.set_faults(Faults::default());
    let traffic = Traffic::start(world, SERVICE, RATE, 10_000).await?;
    operator.run(&["release", "start", SERVICE, "--version", "v2"]).await?;
    operator.until(SERVICE, |release| release.weight > 0.0 && release.converged).await?;
    // Good requests first, a different number in each trial, so that trials have different phases of the report interval.
    traffic.more(1_000 + 37 * number).await?;
    let (wall, instant) = (wall_clock()?, tokio::time::Instant::now());
    bad.set_faults(Faults::errors(1.0, 503)?);
    let first = traffic
        .until("a bad response", |seen| seen.versions.get("v2").and_then(|v2| v2.first_failed))
        .await?;
    let release = operator.until(SERVICE, |release| release.phase == Phase::RolledBack).await?;
    let last = traffic
        .until("the last bad response", |seen| {
            seen.versions.get("v2").map(|v2| v2.last).filter(|last| last.elapsed() > QUIET)
        })
        .await?;
    let decided_at = decided_at(world, &release.id).await?.saturating_sub(wall);
    let decided = decided_at.saturating_sub(first.saturating_duration_since(instant));
    let total = last.saturating_duration_since(first);
    let failed = traffic.seen().versions.get("v2").map_or(0, |v2| v2.failed);
    traffic.end(Some("v2")).await?;
    Ok(Trial { decided, total, failed })
}

/// The time of the rollback in the journal.
async fn decided_at(world: &World, release: &str) -> Result<Duration> {
    let mut after = 0;
    loop {
        let events: Vec<Record> = world.control.get(&format!("events?after={after}")).await?;
        let rolled_back =
            |record: &&Record| record.event.event == "rolled_back" && record.event.id == release;
        if let Some(record) = events.iter().find(rolled_back) {
            return Ok(Duration::from_millis(record.at));
        }
        after = events.last().context("no rollback in the journal")?.seq;
    }
}

fn wall_clock() -> Result<Duration> {
    #[expect(clippy::disallowed_methods, reason = "compared with the journal's wall clock")]
    let now = SystemTime::now();
    Ok(now.duration_since(UNIX_EPOCH)?)
}
