//! `make demo`: the whole story, told on real Envoys. Exits 0 only if all of it came true.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use tidegate_demo_app::load::{LoadConfig, LoadGenerator};
use tidegate_tests::backends;
use tidegate_tests::story::{self, Chapter, Narrator};
use tidegate_tests::{World, WorldOptions};

/// Requests a second to each service, from the first chapter to the last.
const STEADY_RATE: f64 = 15.0;

/// Tells what Tidegate does, on real Envoys, and shows whether it came true.
#[derive(Debug, Parser)]
struct Options {
    /// Leave everything running at the end, and say what to try.
    #[arg(long)]
    keep: bool,
    /// How many Envoys, with two workers each.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    sidecars: u8,
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a failed story says so on the terminal")]
async fn main() -> ExitCode {
    let options = Options::parse();
    let told = tokio::select! {
        told = tell(&options) => told,
        // Dropping the story's future drops the world, which ends every process of it.
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted; everything was stopped")),
    };
    let ended = match told {
        Ok(world) if options.keep => keep(&world).await,
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe story did not come true: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn tell(options: &Options) -> Result<World> {
    let narrator = Narrator::default();
    narrator.say(format_args!(
        "starting {} Envoys, the control plane, and six services in two versions each",
        options.sidecars
    ));
    let mut world = World::start(WorldOptions {
        sidecars: options.sidecars.into(),
        knobs: story::knobs(),
        ..WorldOptions::default()
    })
    .await?;
    narrator.say("ready; a steady load runs on all six services from here to the end\n");
    let steady = backends::names()
        .map(|service| Ok((service, LoadGenerator::start(&steady(&world, service))?)))
        .collect::<Result<Vec<_>>>()?;
    let chapters = story::tell(&mut world, &narrator).await?;
    let caused = close(&chapters, steady).await?;
    anyhow::ensure!(caused == 0, "{caused} requests failed because of Tidegate");
    Ok(world)
}

fn steady(world: &World, service: &str) -> LoadConfig {
    LoadConfig { rate: STEADY_RATE, ..world.load(service) }
}

/// The closing table. Returns how many requests failed that no faulty version answered.
#[expect(clippy::print_stdout, reason = "the table is what the demo is run for")]
async fn close(chapters: &[Chapter], steady: Vec<(&'static str, LoadGenerator)>) -> Result<u64> {
    println!("  {:<62} {:>9} {:>16}", "CHAPTER", "REQUESTS", "FAILED BY US");
    let mut caused = 0;
    for (letter, chapter) in ('a'..).zip(chapters) {
        println!(
            "  ({letter}) {:<58} {:>9} {:>16}",
            chapter.title, chapter.requests, chapter.caused
        );
        println!("      {}", chapter.found);
        caused += chapter.caused;
    }
    for (service, load) in steady {
        let report = load.stop().await;
        // Only the version that (b) spoils may fail anybody.
        let faulty = report.versions.get("v2").filter(|_| service == "payment");
        let by_us = report
            .failed
            .checked_sub(faulty.map_or(0, |version| version.failed))
            .context("more failures than failures")?;
        for failure in report.failures.iter().filter(|failure| failure.version.is_none()).take(5) {
            println!("      {service}: {failure}");
        }
        let row = format!("steady load on {service}");
        println!("      {row:<58} {:>9} {by_us:>16}", report.sent);
        caused += by_us;
    }
    println!("  {:<72} {caused:>16}\n", "requests that failed because of Tidegate");
    Ok(caused)
}

/// Leaves the world to whoever watches, until Ctrl-C.
#[expect(clippy::print_stdout, reason = "says what to try")]
async fn keep(world: &World) -> Result<()> {
    let server = format!("http://{}", world.control.api());
    let ingress = world.sidecars.first().context("a world without an Envoy")?.ingress;
    println!("Everything is left running. To try, in another terminal:");
    println!("  export TIDEGATE_SERVER={server}");
    println!("  curl -i -H 'Host: order.local' -H 'x-user-id: 42' http://{ingress}/");
    println!("  dist/tidegate status --watch");
    println!("  dist/tidegate-demo-app load --target {ingress} --host order.local --rate 100");
    println!("  dist/tidegate release start order --version v2");
    for service in ["order", "payment"] {
        let address = world.backends.get(service, "v2")?.address();
        println!(
            "  curl -X PUT http://{address}/faults -d '{{\"error_share\": 1}}'   # spoil {service} v2"
        );
    }
    for sidecar in &world.sidecars {
        println!(
            "  curl http://{}/config_dump   # what {} runs",
            sidecar.envoy.admin(),
            sidecar.fleet
        );
    }
    println!("Ctrl-C ends it.");
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
}
