//! The scenarios of the public conformance harness for xDS servers, in our own words: what is
//! served is set through its five RPCs, and a client on a real stream says what it sees. Each runs
//! for each type and transport that it is about.

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
async fn every_scenario_holds() {
    let mut failures = Vec::new();
    let mut runs = 0;
    for scenario in SCENARIOS {
        for (kind, other) in scenario.kinds {
            for (aggregated, transport) in [(true, Transport::Ads), (false, Transport::Own)] {
                if ![transport, Transport::Both].contains(&scenario.on) {
                    continue;
                }
                runs += 1;
                let ended = play(scenario, *kind, *other, aggregated).await;
                let on = if aggregated { "ADS" } else { "its own service" };
                let run = || format!("{:?}, {kind} on {on}: {}", scenario.mode, scenario.name);
                failures.extend(ended.with_context(run).err());
            }
        }
    }
    assert!(failures.is_empty(), "{} of {runs} failed:\n{failures:#?}", failures.len());
}

/// Plays one scenario. Its steps are about `kind` until it turns to `other`.
async fn play(
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
        take(step, &world, &mut client, &mut on).await.with_context(|| format!("at {step:?}"))?;
    }
    Ok(())
}

async fn take(
    step: &Step,
    world: &World,
    client: &mut Client,
    on: &mut (Kind, Option<Kind>),
) -> Result<()> {
    let (kind, other) = *on;
    match step {
        Step::Subscribe(wanted) => client.subscribe(kind, &names(wanted)).await,
        Step::Drop(dropped) => {
            client.unsubscribe(kind, &names(dropped)).await?;
            world.until_dropped(kind, &names(dropped)).await
        }
        Step::Update(name, version) => world.update(kind, name, version).await,
        Step::Add(name, version) => world.add(kind, name, version).await,
        Step::Remove(name) => world.remove(kind, name).await,
        Step::Sees(expected, version) => {
            let response = client.receive(kind).await?;
            let mut seen: Vec<_> = response.resources.iter().map(|it| it.0.as_str()).collect();
            seen.sort_unstable();
            ensure!(seen == names(expected), "it sees {seen:?}");
            let newest = response.resources.iter().any(|(_, seen)| seen == version);
            ensure!(newest, "nothing of version {version} in {response:?}");
            Ok(())
        }
        Step::IsTold(gone) => {
            let response = client.receive(kind).await?;
            ensure!(response.removed == names(gone), "it is told {:?}", response.removed);
            Ok(())
        }
        Step::Other => {
            *on = (other.context("the scenario is about one type only")?, Some(kind));
            Ok(())
        }
        Step::Silence => world.until_silent(client.received(), client.wanted()).await,
    }
}

fn names(of: &'static str) -> Vec<&'static str> {
    of.split_whitespace().collect()
}

/// Some are told in several ways, because what is right depends on the type.
#[test]
fn the_scenarios_are_those_of_the_harness() {
    let of = |mode| {
        let scenarios = SCENARIOS.iter().filter(|scenario| scenario.mode == mode);
        scenarios.map(|scenario| scenario.name).collect::<BTreeSet<_>>().len()
    };
    assert_eq!((of(Mode::Sotw), of(Mode::Delta)), (12, 6));
}
