//! A proxyless gRPC client against `tidegate serve`: calls to `xds:///order` follow the weight of the release, and none fails
//! while it changes. Needs a Python with grpcio: `get-grpcio` finds or installs one.
#![cfg(test)]

mod client;
mod world;

use std::path::Path;
use std::process::Command;

use tidegate_tests::story::{Operator, Phase};

use client::Answers;
use world::World;

/// Largest deviation from 30 % in 2000 calls: six standard deviations.
const TOLERANCE: f64 = 0.062;

fn candidate_share(answers: &Answers) -> f64 {
    f64::from(answers.of("v2")) / f64::from(answers.calls())
}

#[tokio::test]
async fn a_grpc_client_follows_a_release_and_no_call_fails() {
    let mut world = World::start().await.unwrap();
    let before = world.client.next_batches(4).await.unwrap();
    assert_eq!(before.of("v1"), before.calls(), "{before:?}");

    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "order", "--version", "v2"]).await.unwrap();
    operator
        .until("order", |release| release.phase == Phase::Stepping && release.converged)
        .await
        .unwrap();
    let canary = world.client.next_batches(4).await.unwrap();
    assert!((candidate_share(&canary) - 0.3).abs() < TOLERANCE, "{canary:?}");

    operator.run(&["release", "promote", "order"]).await.unwrap();
    operator
        .until("order", |release| release.phase == Phase::Watching && release.converged)
        .await
        .unwrap();
    let watched = world.client.next_batches(4).await.unwrap();
    assert!((candidate_share(&watched) - 0.95).abs() < TOLERANCE, "{watched:?}");

    operator.run(&["release", "promote", "order"]).await.unwrap();
    world.client.until(|answers| answers.of("v2") == answers.calls()).await.unwrap();
    operator.run(&["release", "rollback", "order"]).await.unwrap();
    // The release has ended, so its convergence is not reported any more.
    world.client.until(|answers| answers.of("v1") == answers.calls()).await.unwrap();
    let failures = world.client.failures().unwrap();
    assert!(failures.is_empty(), "{failures:?}");
}

/// Compiles the scripts, which the other test may not reach.
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
