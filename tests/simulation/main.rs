//! A deterministic simulation: the real engine, xDS sessions, ACK tracker and telemetry, with a journal in memory and
//! simulated Envoys, on a virtual clock.
//!
//! A seed determines a run. In its first part connections break, reports and acknowledgements are lost, sidecars NACK, the
//! configuration and the flags change, operators command, and the control plane crashes, also between an append and
//! its publication. Then the faults stop. The rules of ARCHITECTURE.md are asserted throughout:
//!
//! | Rule | Where |
//! |---|---|
//! | Publications equal the fold of the journal; a restart folds to the same state | `control_plane.rs`, `world.rs` |
//! | Make before break: no route names a cluster that is not warm, no cluster is removed while a route names it | `sidecar.rs` |
//! | One response in flight for each type of a stream | `stream.rs` |
//! | Weights sum to 1 000 000, and no configured service is missing | `routes.rs`, `sidecar.rs` |
//! | While a weight rises, users move towards the candidate only | `rules.rs` |
//! | No release advances without report coverage, requests and convergence | `rules.rs` |
//! | A report that is sent again is counted once | `world.rs` |
//! | A bad candidate is rolled back as soon as enough of its requests are reported | `rules.rs` |
//! | A sidecar that has the newest configuration serves no version that is not in use, is quarantined or was rolled back | `world.rs` |
//! | Once faults stop, every sidecar converges, a bad release is rolled back and a good one completes | below |
//!
//! `TIDEGATE_SIMULATIONS` sets how many seeds run, `TIDEGATE_SEED` runs one. A run that fails prints the command that
//! replays it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests: a panic is a failed test, with its line"
)]

mod configuration;
mod control_plane;
mod disk;
mod faults;
mod random;
mod routes;
mod rules;
mod sidecar;
mod stream;
mod traffic;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_delivery::fixtures::{name, start};
use tidegate_delivery::model::command::{Command, ReleaseCommand};
use tidegate_delivery::model::release::{Phase, RollbackCause};

use self::world::{World, services};

/// Seeds of a run without `TIDEGATE_SIMULATIONS`.
const SEEDS: u64 = 8;
/// Ticks with faults.
const FAULTS: usize = 800;
/// Ticks until convergence after the faults.
const CONVERGE: usize = 100;
/// Ticks until the end of a release after the faults.
const RELEASE: usize = 600;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[test]
fn every_seed_satisfies_the_rules() {
    let seeds = match variable("TIDEGATE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("TIDEGATE_SIMULATIONS").unwrap_or(SEEDS),
    };
    let (mut events, mut simulated) = (BTreeMap::new(), Duration::ZERO);
    for seed in seeds {
        let world = simulate(seed);
        simulated += Duration::from_millis(world.now());
        for (kind, count) in &world.rules.events {
            *events.entry(*kind).or_insert(0) += count;
        }
    }
    println!("{:.1} hours simulated: {events:#?}", simulated.as_secs_f64() / 3600.0);
}

#[test]
fn a_seed_determines_the_run() {
    let seed = variable("TIDEGATE_SEED").unwrap_or(1);
    assert_eq!(simulate(seed).hash(), simulate(seed).hash());
}

fn simulate(seed: u64) -> World {
    let mut world = World::new(seed);
    world.loss = 100;
    for _ in 0..FAULTS {
        faults::draw(&mut world);
        world.step();
    }
    stop_faults(&mut world);
    converge(&mut world);
    for service in services() {
        release(&mut world, service, true);
        release(&mut world, service, false);
    }
    converge(&mut world);
    world
}

/// Ends all faults, releases and freezes.
fn stop_faults(world: &mut World) {
    world.note("faults stop");
    (world.loss, world.reports_lost_until) = (0, 0);
    world.starts_at = 0;
    for index in 0..world.sidecars.len() {
        world.sidecars[index].stop_nacking();
        world.cut(index, 0);
    }
    // A crash that was armed happens in the first commands.
    for _ in 0..3 {
        world.step();
        world.command(&Command::UnfreezeDeployments(None));
        for service in services() {
            world.command(&Command::UnfreezeDeployments(Some(name(service))));
            if let Some(release) = world.running(service) {
                world.command(&Command::Release(release.id, ReleaseCommand::Rollback));
            }
        }
    }
}

fn converge(world: &mut World) {
    for _ in 0..CONVERGE {
        world.step();
        if world.difference().is_none() {
            return;
        }
    }
    panic!("no convergence: {}", world.difference().unwrap_or_default());
}

/// A bad candidate is rolled back by a guardrail; a good one completes.
fn release(world: &mut World, service: &str, bad: bool) {
    let state = world.state();
    let stable = state.services[service].stable.as_str().to_owned();
    let candidate = if stable == "v2" { "v3" } else { "v2" };
    let key = (service.to_owned(), candidate.to_owned());
    world.bad.retain(|(of, _)| of != service);
    if bad {
        world.bad.insert(key);
    }
    let version = name(candidate);
    let unquarantine = Command::Unquarantine { service: name(service), version };
    // The first append may meet a crash that was armed before the faults stopped.
    for _ in 0..3 {
        world.command(&unquarantine);
        world.command(&start(service, candidate));
        world.step();
        if world.running(service).is_some() {
            break;
        }
    }
    assert!(world.running(service).is_some(), "{candidate} of {service} cannot be released");
    for _ in 0..RELEASE {
        world.step();
        let state = world.state();
        match &state.services[service].release.as_ref().unwrap().phase {
            Phase::RolledBack { cause: RollbackCause::Guardrail { .. }, .. } if bad => return,
            Phase::Completed { .. } if !bad => return,
            Phase::RolledBack { cause, .. } => panic!("{service} {candidate}: {cause}"),
            Phase::Completed { .. } => panic!("a bad candidate of {service} completed"),
            _ => {}
        }
    }
    panic!("the release of {service} does not end: {:?}", state.services[service].release);
}
