//! The scenarios of the public conformance harness for xDS servers. Resources are set by the harness's five RPCs, and a
//! client on a gRPC stream checks the responses. Each scenario runs for each of its resource types and streams.

mod client;
mod scenarios;
mod world;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use tidegate_xds::kind::{Kind, Mode};

use client::Client;
use scenarios::{SCENARIOS, Scenario, Step, Transport};
use world::World;

#[tokio::test]
async fn every_scenario_passes() {
    let mut failures = Vec::new();
    let mut runs = 0;
    for scenario in SCENARIOS {
        for (kind, other) in scenario.kinds {
            for (aggregated, transport) in [(true, Transport::Ads), (false, Transport::Separate)] {
                if ![transport, Transport::Both].contains(&scenario.on) {
                    continue;
                }
                runs += 1;
                let result = run_scenario(scenario, *kind, *other, aggregated).await;
                let on = if aggregated { "ADS" } else { "a separate stream" };
                let run = || format!("{:?}, {kind} on {on}: {}", scenario.mode, scenario.name);
                failures.extend(result.with_context(run).err());
            }
        }
    }
    assert!(failures.is_empty(), "{} of {runs} failed:\n{failures:#?}", failures.len());
}

/// Runs one scenario. Its steps apply to `kind`, and after [`Step::Other`] to `other`.
async fn run_scenario(
    scenario: &Scenario,
    kind: Kind,
    other: Option<Kind>,
    aggregated: bool,
) -> Result<()> {
    let world = World::start().await?;
    let kinds: Vec<_> = [Some(kind), other].into_iter().flatten().collect();
    world.set(&kinds, &names(scenario.resources), "1").await?;
    let mut client = Client::new(&world, scenario.mode, aggregated);
    let mut on = (kind, other);
    for step in scenario.steps {
        run_step(step, &world, &mut client, &mut on)
            .await
            .with_context(|| format!("at {step:?}"))?;
    }
    Ok(())
}

async fn run_step(
    step: &Step,
    world: &World,
    client: &mut Client,
    on: &mut (Kind, Option<Kind>),
) -> Result<()> {
    let (kind, other) = *on;
    match step {
        Step::Subscribe(added) => client.subscribe(kind, &names(added)).await,
        Step::Unsubscribe(removed) => {
            client.unsubscribe(kind, &names(removed)).await?;
            world.until_unsubscribed(kind, &names(removed)).await
        }
        Step::Update(name, version) => world.update(kind, name, version).await,
        Step::Add(name, version) => world.add(kind, name, version).await,
        Step::Remove(name) => world.remove(kind, name).await,
        Step::Receives(expected, version) => {
            let response = client.receive(kind).await?;
            let mut seen: Vec<_> = response.resources.iter().map(|it| it.0.as_str()).collect();
            seen.sort_unstable();
            ensure!(seen == names(expected), "the response contains {seen:?}");
            let newest = response.resources.iter().any(|(_, seen)| seen == version);
            ensure!(newest, "no resource of version {version} in {response:?}");
            Ok(())
        }
        Step::Removes(removed) => {
            let response = client.receive(kind).await?;
            ensure!(
                response.removed == names(removed),
                "the response removes {:?}",
                response.removed
            );
            Ok(())
        }
        Step::Other => {
            *on = (other.context("the scenario has one type only")?, Some(kind));
            Ok(())
        }
        Step::NoResponse => world.until_settled(client.received(), client.subscribed()).await,
    }
}

fn names(of: &'static str) -> Vec<&'static str> {
    of.split_whitespace().collect()
}

/// Some scenarios have several entries, because the expected responses depend on the type.
#[test]
fn the_scenarios_are_those_of_the_harness() {
    let of = |mode| {
        let scenarios = SCENARIOS.iter().filter(|scenario| scenario.mode == mode);
        scenarios.map(|scenario| scenario.name).collect::<BTreeSet<_>>().len()
    };
    assert_eq!((of(Mode::Sotw), of(Mode::Delta)), (12, 6));
}
