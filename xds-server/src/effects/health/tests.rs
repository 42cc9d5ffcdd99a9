//! Health checks against local sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::http::StatusCode;
use tokio::net::TcpListener;

use super::{run, *};
use crate::controller::fakes::{World, anne, until};
use tidegate_delivery::fixtures::*;
use tidegate_delivery::model::blocker::Blocker;
use tidegate_delivery::model::catalogue::VersionSpec;
use tidegate_delivery::model::release::Phase;

const FAST: CheckTiming =
    CheckTiming { interval: Duration::from_millis(1), timeout: Duration::from_secs(60) };

/// `order`, with instances of v2 at these ports.
fn parts(world: &World, check: HealthCheck, ports: &[u16]) -> crate::controller::Parts {
    let mut spec = order();
    spec.plan.health = Some(check);
    let endpoints = ports.iter().flat_map(|port| at(*port)).collect();
    spec.versions.insert(
        name("v2"),
        VersionSpec { endpoints, istio: None, environment: None, commit: None },
    );
    crate::controller::Parts { services: vec![spec], ..world.parts(Box::new(world.clone())) }
}

/// An instance that answers `/healthz` with a status that the test can change.
async fn instance(status: u16) -> (u16, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(status));
    let shared = Arc::clone(&status);
    let respond =
        move || async move { StatusCode::from_u16(shared.load(Ordering::Relaxed)).unwrap() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Router::new().route("/healthz", axum::routing::get(respond));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (port, status)
}

async fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

fn unhealthy(port: u16, failure: RequestFailure) -> InstanceHealth {
    InstanceHealth::of(vec![UnhealthyInstance { endpoint: format!("127.0.0.1:{port}"), failure }])
}

#[tokio::test]
async fn an_unhealthy_instance_blocks_the_release_until_it_is_healthy() {
    let (healthy, _) = instance(200).await;
    let (other, status) = instance(503).await;
    let world = World::default();
    let check = HealthCheck::Http("/healthz".to_owned());
    let handle = crate::controller::spawn(parts(&world, check, &[healthy, other])).unwrap();
    let _checks = tokio::spawn(run(handle.clone(), FAST, Supervisor::default()));
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    let blocker = Blocker::Health {
        health: unhealthy(other, RequestFailure::UnexpectedStatus { status: 503, expected: 200 }),
    };
    until(&handle, |view| {
        view.progress.get("order.1").is_some_and(|progress| progress.blockers.contains(&blocker))
    })
    .await;
    status.store(200, Ordering::Relaxed);
    until(&handle, |view| matches!(newest(&view.state, "order").phase, Phase::Stepping { .. }))
        .await;
}

#[tokio::test]
async fn a_tcp_check_reports_an_instance_that_refuses_connections() {
    let closed = closed_port().await;
    let (open, _) = instance(500).await;
    let world = World::default();
    let handle =
        crate::controller::spawn(parts(&world, HealthCheck::Tcp, &[closed, open])).unwrap();
    let _checks = tokio::spawn(run(handle.clone(), FAST, Supervisor::default()));
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    let view = until(&handle, |view| newest(&view.state, "order").health.is_some()).await;
    let health = newest(&view.state, "order").health.clone().unwrap();
    assert_eq!(health, unhealthy(closed, RequestFailure::transport("connection refused")));
}
