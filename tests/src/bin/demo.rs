//! `make demo`: all scenarios on real Envoys. Exits with 0 if all pass.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use tidegate_demo_app::load::{LoadConfig, LoadGenerator};
use tidegate_tests::backends;
use tidegate_tests::story::{self, ProgressOutput, ScenarioReport};
use tidegate_tests::{World, WorldOptions};

/// Requests per second to each service during all scenarios.
const STEADY_RATE: f64 = 15.0;

/// Runs the main use cases of Tidegate on real Envoys
#[derive(Debug, Parser)]
struct Options {
    /// Leave everything running at the end, and print commands to try
    #[arg(long)]
    keep: bool,
    /// Number of Envoys, with two workers each
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    sidecars: u8,
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "errors go to the terminal")]
async fn main() -> ExitCode {
    let options = Options::parse();
    let result = tokio::select! {
        result = run(&options) => result,
        // Dropping the future drops the world, which ends its processes.
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted; everything was stopped")),
    };
    let ended = match result {
        Ok(world) if options.keep => wait_for_interrupt(&world).await,
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<World> {
    let output = ProgressOutput::default();
    output.say(format_args!(
        "starting {} Envoys, the control plane, and six services in two versions each",
        options.sidecars
    ));
    let mut world = World::start(WorldOptions {
        sidecars: options.sidecars.into(),
        knobs: story::knobs(),
        ..WorldOptions::default()
    })
    .await?;
    output.say("ready; a steady load runs on all six services until the end\n");
    let steady = backends::names()
        .map(|service| Ok((service, LoadGenerator::start(&steady(&world, service))?)))
        .collect::<Result<Vec<_>>>()?;
    let reports = story::run_all(&mut world, &output).await?;
    let unexplained = close(&reports, steady).await?;
    anyhow::ensure!(unexplained == 0, "{unexplained} requests failed because of Tidegate");
    Ok(world)
}

fn steady(world: &World, service: &str) -> LoadConfig {
    LoadConfig { rate: STEADY_RATE, ..world.load(service) }
}

/// Prints the table of results. Returns the number of failed requests that no faulty version answered.
#[expect(clippy::print_stdout, reason = "the table is the result")]
async fn close(
    reports: &[ScenarioReport],
    steady: Vec<(&'static str, LoadGenerator)>,
) -> Result<u64> {
    println!("  {:<62} {:>9} {:>16}", "SCENARIO", "REQUESTS", "UNEXPLAINED");
    let mut unexplained = 0;
    for (letter, report) in ('a'..).zip(reports) {
        println!(
            "  ({letter}) {:<58} {:>9} {:>16}",
            report.title, report.requests, report.unexplained
        );
        println!("      {}", report.figures);
        unexplained += report.unexplained;
    }
    for (service, load) in steady {
        let report = load.stop().await;
        // Only the version that fails in (b) may cause failures.
        let faulty = report.versions.get("v2").filter(|_| service == "payment");
        let unexplained_here = report
            .failed
            .checked_sub(faulty.map_or(0, |version| version.failed))
            .context("more failures than failures")?;
        for failure in report.failures.iter().filter(|failure| failure.version.is_none()).take(5) {
            println!("      {service}: {failure}");
        }
        let row = format!("steady load on {service}");
        println!("      {row:<58} {:>9} {unexplained_here:>16}", report.sent);
        unexplained += unexplained_here;
    }
    println!("  {:<72} {unexplained:>16}\n", "requests that failed because of Tidegate");
    Ok(unexplained)
}

/// Leaves the world running until Ctrl-C.
#[expect(clippy::print_stdout, reason = "prints commands to try")]
async fn wait_for_interrupt(world: &World) -> Result<()> {
    let server = format!("http://{}", world.control.api());
    let ingress = world.sidecars.first().context("a world without an Envoy")?.ingress;
    println!("Everything is running. Commands to try in another terminal:");
    println!("  export TIDEGATE_SERVER={server}");
    println!("  curl -i -H 'Host: order.local' -H 'x-user-id: 42' http://{ingress}/");
    println!("  dist/tidegate status --watch");
    println!("  dist/tidegate-demo-app load --target {ingress} --host order.local --rate 100");
    println!("  dist/tidegate release start order v2");
    for service in ["order", "payment"] {
        let address = world.backends.get(service, "v2")?.address();
        println!(
            "  curl -X PUT http://{address}/faults -d '{{\"error_share\": 1}}'   # make {service} v2 fail"
        );
    }
    for sidecar in &world.sidecars {
        println!(
            "  curl http://{}/config_dump   # what {} runs",
            sidecar.envoy.admin(),
            sidecar.fleet
        );
    }
    println!("Ctrl-C ends the demo.");
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
}
