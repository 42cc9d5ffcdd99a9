//! Health against real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::http::StatusCode;
use tokio::net::TcpListener;

use super::{run, *};
use crate::controller::fakes::{World, anne, until};
use tidegate_delivery::fixtures::*;
use tidegate_delivery::model::catalogue::VersionSpec;
use tidegate_delivery::model::release::Phase;

const HASTE: Interval =
    Interval { every: Duration::from_millis(1), timeout: Duration::from_secs(60) };

/// `order`, whose v2 runs at these ports.
fn parts(world: &World, check: HealthCheck, ports: &[u16]) -> crate::controller::Parts {
    let mut spec = order();
    spec.plan.health = Some(check);
    let endpoints = ports.iter().flat_map(|port| at(*port)).collect();
    spec.versions.insert(name("v2"), VersionSpec { endpoints, environment: None });
    crate::controller::Parts { services: vec![spec], ..world.parts(Box::new(world.clone())) }
}

/// Answers `/healthz` with a status that can be changed.
async fn instance(status: u16) -> (u16, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(status));
    let shared = Arc::clone(&status);
    let answer =
        move || async move { StatusCode::from_u16(shared.load(Ordering::Relaxed)).unwrap() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Router::new().route("/healthz", axum::routing::get(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (port, status)
}

async fn nobody() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn an_instance_that_is_not_well_holds_the_release_and_is_named() {
    let (well, _) = instance(200).await;
    let (other, status) = instance(503).await;
    let world = World::default();
    let check = HealthCheck::Http("/healthz".to_owned());
    let handle = crate::controller::spawn(parts(&world, check, &[well, other])).unwrap();
    let _looks = tokio::spawn(run(handle.clone(), HASTE));
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    let waits = format!("its instances to be healthy: 127.0.0.1:{other} (503, not 200)");
    until(&handle, |view| {
        let progress = view.progress.get("order.1");
        progress.is_some_and(|progress| {
            progress.blockers.iter().any(|it| tidegate_delivery::text::blocker(it) == waits)
        })
    })
    .await;
    status.store(200, Ordering::Relaxed);
    until(&handle, |view| matches!(newest(&view.state, "order").phase, Phase::Stepping { .. }))
        .await;
}

#[tokio::test]
async fn an_instance_that_takes_no_connections_is_named_too() {
    let gone = nobody().await;
    let (there, _) = instance(500).await;
    let world = World::default();
    let handle = crate::controller::spawn(parts(&world, HealthCheck::Tcp, &[gone, there])).unwrap();
    let _looks = tokio::spawn(run(handle.clone(), HASTE));
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    let view = until(&handle, |view| newest(&view.state, "order").health.is_some()).await;
    let health = newest(&view.state, "order").health.clone().unwrap();
    assert_eq!(health.to_string(), format!("127.0.0.1:{gone} (connection refused)"));
}
