//! gRPC's own proxyless client against `tidegate serve`: calls to `xds:///order` are divided as the release says, and
//! none fails while it moves. Needs a Python with grpcio: `get-grpcio` finds or fetches one.
#![cfg(test)]

mod client;
mod world;

use std::path::Path;
use std::process::Command;

use tidegate_tests::story::{Operator, Phase};

use client::Tally;
use world::World;

/// How far from 30 % chance may take 2000 calls: six standard deviations.
const TOLERANCE: f64 = 0.062;

fn share(tally: &Tally) -> f64 {
    f64::from(tally.of("v2")) / f64::from(tally.calls())
}

#[tokio::test]
async fn a_grpc_client_follows_a_release_and_no_call_fails() {
    let mut world = World::start().await.unwrap();
    let before = world.client.tally(4).await.unwrap();
    assert_eq!(before.of("v1"), before.calls(), "{before:?}");

    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "order", "--version", "v2"]).await.unwrap();
    operator
        .until("order", |release| release.phase == Phase::Stepping && release.converged)
        .await
        .unwrap();
    let canary = world.client.tally(4).await.unwrap();
    assert!((share(&canary) - 0.3).abs() < TOLERANCE, "{canary:?}");

    operator.run(&["release", "promote", "order"]).await.unwrap();
    operator
        .until("order", |release| release.phase == Phase::Watching && release.converged)
        .await
        .unwrap();
    let all = world.client.tally(4).await.unwrap();
    assert_eq!(all.of("v2"), all.calls(), "{all:?}");

    operator.run(&["release", "rollback", "order"]).await.unwrap();
    // It has ended, so nobody waits for its convergence any more: look at the traffic.
    world.client.until(|tally| tally.of("v1") == tally.calls()).await.unwrap();
    let failures = world.client.failures().unwrap();
    assert!(failures.is_empty(), "{failures:?}");
}

/// Compiles what the scripts hold, so that a typing error in one is not found in the middle of the other test.
#[test]
fn the_scripts_are_python() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("grpc");
    for script in ["client.py", "server.py"] {
        let compile = "import ast, sys; ast.parse(open(sys.argv[1]).read())";
        let file = here.join(script);
        let parsed = Command::new("python3").args(["-c", compile]).arg(&file).status().unwrap();
        assert!(parsed.success(), "{}", file.display());
    }
}
