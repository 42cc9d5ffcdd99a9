//! `make bench`: how often the judge rolls back a release that is no worse than stable, and how soon it rolls back one that
//! is, on simulated traffic. Other rules see the same counts. Each release has a random generator of its own, so the figures
//! depend on the seed alone.
#![expect(clippy::print_stdout, reason = "it prints its figures")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "small numbers of a simulation"
)]

mod latency;
mod rules;
mod run;
mod table;
mod world;

use clap::Parser;

use tidegate_delivery::judge::statistics::proportion::interval;

use latency::Slower;
use run::{cost, detection, false_rollbacks};
use world::{Kind, World};

/// Simulates releases, and prints how often and how soon each rule rolls them back.
#[derive(Debug, Parser)]
struct Options {
    /// Simulated releases in each cell of the table of false rollbacks.
    #[arg(long, default_value_t = 1_000)]
    releases: u64,
    /// Simulated releases in each cell of the table of detection times.
    #[arg(long, default_value_t = 200)]
    detections: u64,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only worlds whose name begins with this.
    #[arg(long)]
    world: Option<String>,
    /// Only these requests per second.
    #[arg(long)]
    rps: Option<u32>,
    /// Only this error rate, in percent.
    #[arg(long)]
    base: Option<f64>,
    /// Requests without the identity of a client.
    #[arg(long)]
    anonymous: bool,
    /// Leave the other rules out, which is quicker.
    #[arg(long)]
    alone: bool,
    /// Leave the comparison of the latency out.
    #[arg(long)]
    no_latency: bool,
    /// Leave the table of detection times out.
    #[arg(long)]
    no_detection: bool,
    /// Leave the table of false rollbacks out.
    #[arg(long)]
    no_false_rollbacks: bool,
    /// Cargo passes it to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The comparison of the latency.
fn latencies(options: &Options) {
    println!(
        "\nLatency. Equal versions: rolled back at 5, 10, 25, 50 % for 5 min each, with the exact 95 % interval in %. Slower \
         ones: within 10 min at 5 %; median / 95th percentile in seconds:"
    );
    for rps in [100, 1_000] {
        if options.rps.is_some_and(|it| it != rps) {
            continue;
        }
        for slower in Slower::EQUAL.into_iter().chain(Slower::WORSE) {
            let is_equal = Slower::EQUAL.contains(&slower);
            let releases = if is_equal { options.releases } else { options.detections };
            let (rolled_back, median, late) =
                latency::rollbacks(slower, f64::from(rps), releases, options.seed);
            let times = if is_equal {
                let (low, high) = interval(rolled_back, releases);
                format!(" [{:.3}, {:.3}]", 100.0 * low, 100.0 * high)
            } else {
                format!(", {median:.1} / {late:.1} s")
            };
            println!("  {rps} rps  {}: {rolled_back} of {releases}{times}", slower.name());
        }
    }
}

fn main() {
    let options = Options::parse();
    let clients = if options.anonymous { "without" } else { "with" };
    println!("Clients {clients} identity.");
    println!(
        "False rollbacks of equal versions: {} releases a cell, seed {}.",
        options.releases, options.seed
    );
    println!(
        "5, 10, 25, 50 % for 5 min each, 100 % for 30 min. In brackets: the exact 95 % interval.\n"
    );
    println!("{}", table::HEAD);
    for kind in Kind::ALL {
        if options.no_false_rollbacks
            || options.world.as_ref().is_some_and(|it| !kind.name().starts_with(it.as_str()))
        {
            continue;
        }
        for rps in [100, 1_000] {
            for base in [0.1, 0.5, 1.0, 3.0, 4.9] {
                let skipped = options.rps.is_some_and(|it| it != rps)
                    || options.base.is_some_and(|it| (it - base).abs() > 1e-9);
                if !skipped {
                    let anonymous = options.anonymous;
                    let equal = World::equal(kind, f64::from(rps), base / 100.0);
                    let world = World { anonymous, ..equal };
                    let Options { releases, seed, alone, .. } = options;
                    let counts = false_rollbacks(&world, releases, seed, !alone);
                    println!("{}", table::row(kind.name(), rps, base, &counts));
                }
            }
        }
    }
    let world = World::equal(Kind::Steady, 1_000.0, 0.005);
    println!("\nOne evaluation of one release: {:.1} µs.", cost(world, options.seed));
    if !options.no_latency {
        latencies(&options);
    }
    if options.no_detection {
        return;
    }
    println!(
        "\nDetection: median / 95th percentile in seconds from the break, 5 % weight, base 0.5 %, {} releases a cell.\n",
        options.detections
    );
    for (title, breaks_at) in
        [("broken from the first request", 0), ("after 300 s of good behaviour", 300)]
    {
        println!("{title}:");
        for rps in [100, 1_000, 10_000] {
            if options.rps.is_some_and(|it| it != rps) {
                continue;
            }
            let cells: Vec<String> = [1.0, 2.0, 5.1, 10.0, 20.0, 100.0]
                .into_iter()
                .map(|percent| {
                    let equal = World::equal(Kind::Steady, f64::from(rps), 0.005);
                    let world = World { candidate: percent / 100.0, breaks_at, ..equal };
                    format!("→{percent}%: {}", detection(&world, options.detections, options.seed))
                })
                .collect();
            println!("  {rps} rps  {}", cells.join("   "));
        }
    }
}
