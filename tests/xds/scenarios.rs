//! Connect, update, NACK and reconnect, with state of the world and delta: on the newest Envoy here, on the others in
//! [`versions`](super::versions).

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tidegate_xds::kind::{Kind, Mode};

use super::backend::{self, Load, get};
use super::control::{Control, order};
use super::envoy::{Envoy, free_address, newest};

const HOST: &str = "order.local";

#[tokio::test]
async fn traffic_follows_the_state_sotw() {
    traffic_follows_the_state(&newest().await, Mode::Sotw).await;
}

#[tokio::test]
async fn traffic_follows_the_state_delta() {
    traffic_follows_the_state(&newest().await, Mode::Delta).await;
}

#[tokio::test]
async fn no_request_fails_while_versions_come_and_go_sotw() {
    no_request_fails_while_versions_come_and_go(&newest().await, Mode::Sotw).await;
}

#[tokio::test]
async fn no_request_fails_while_versions_come_and_go_delta() {
    no_request_fails_while_versions_come_and_go(&newest().await, Mode::Delta).await;
}

#[tokio::test]
async fn traffic_flows_while_the_control_plane_is_down_sotw() {
    traffic_flows_while_the_control_plane_is_down(&newest().await, Mode::Sotw).await;
}

#[tokio::test]
async fn traffic_flows_while_the_control_plane_is_down_delta() {
    traffic_flows_while_the_control_plane_is_down(&newest().await, Mode::Delta).await;
}

/// The filter's module is not on the disk: Envoy NACKs that one resource, and routes as without the filter.
pub(crate) async fn traffic_follows_the_state(binary: &Path, mode: Mode) {
    let v1 = backend::start("v1").await.to_string();
    let v2 = backend::start("v2").await.to_string();
    let both = [("v1", v1.as_str()), ("v2", v2.as_str())];
    let ingress = free_address();
    let mut control = Control::start(ingress, &order(&both, "v1", None)).await;
    let mut envoy = Envoy::start(binary, mode, control.address);
    envoy.ready().await;
    control.converged(1, 1).await;
    let client = reqwest::Client::new();
    let answer = async |headers: &[(&str, &str)]| get(&client, ingress, HOST, headers).await;

    assert_eq!(answer(&[]).await.as_deref(), Ok("v1"));
    let with_port = get(&client, ingress, "order.local:8443", &[]).await;
    assert_eq!(with_port.as_deref(), Ok("v1"), "the port in Host is part of the match");
    for (name, value) in [("x-tidegate-version", "v2"), ("x-tidegate-bucket", "0")] {
        control.publish(&order(&both, "v1", Some(("v2", 500_000)))).await;
        let version = answer(&[(name, value)]).await;
        assert_eq!(version.as_deref(), Ok("v1"), "a client chooses the version by {name}");
    }

    let rejected = control.ack_tracker.nodes().remove(0).nacks;
    let kinds: Vec<Kind> = rejected.keys().copied().collect();
    assert_eq!(kinds, [Kind::Extension], "{rejected:?}\n{}", envoy.log());

    control.publish(&order(&both, "v1", Some(("v2", 1_000_000)))).await;
    assert_eq!(answer(&[]).await.as_deref(), Ok("v2"), "100 % depends on the filter");
    control.publish(&order(&both, "v1", None)).await;
    assert_eq!(answer(&[]).await.as_deref(), Ok("v1"), "the route to stable is missing");

    let dump = envoy.config_dump().await;
    assert_eq!(clusters(&dump), ["order/v1", "order/v2"].map(String::from).into());
}

/// Versions are deployed, released, completed and removed. Their endpoints are IP addresses and names.
pub(crate) async fn no_request_fails_while_versions_come_and_go(binary: &Path, mode: Mode) {
    let v1 = backend::start("v1").await.to_string();
    let v2 = backend::start("v2").await.to_string();
    let v3 = backend::start("v3").await.to_string().replace("127.0.0.1", "localhost");
    let (v1, v2, v3) = (("v1", &*v1), ("v2", &*v2), ("v3", &*v3));
    let ingress = free_address();
    let mut control = Control::start(ingress, &order(&[v1], "v1", None)).await;
    let mut envoy = Envoy::start(binary, mode, control.address);
    envoy.ready().await;
    control.converged(1, 1).await;

    let load = Load::start(ingress, HOST);
    let mut expected = BTreeSet::from(["order/v1".to_owned()]);
    for _ in 0..5 {
        for (from, to) in [(v1, v2), (v2, v3), (v3, v1)] {
            let both = [from, to];
            load.wait_for(20).await;
            // One push adds the candidate's cluster and routes everything to it: the cluster must be warm first.
            control.publish(&order(&both, from.0, Some((to.0, 1_000_000)))).await;
            load.wait_for(20).await;
            // One push removes the old cluster and the routes to it: the cluster must be removed last.
            control.publish(&order(&[to], to.0, None)).await;
            expected = BTreeSet::from([format!("order/{}", to.0)]);
        }
    }
    // One push replaces a version: the new cluster must be warm, and the routes changed, before the old one is removed.
    for to in [v2, v3, v1] {
        load.wait_for(20).await;
        control.publish(&order(&[to], to.0, None)).await;
        expected = BTreeSet::from([format!("order/{}", to.0)]);
    }
    let (sent, failures) = load.stop().await;
    assert!(failures.is_empty(), "{} of {sent} failed: {:?}", failures.len(), failures.first());
    assert_eq!(clusters(&envoy.config_dump().await), expected);
}

/// Traffic flows while the control plane is down. Envoy reconnects to its successor, and takes updates from it.
pub(crate) async fn traffic_flows_while_the_control_plane_is_down(binary: &Path, mode: Mode) {
    let v1 = backend::start("v1").await.to_string();
    let v2 = backend::start("v2").await.to_string();
    let both = [("v1", v1.as_str()), ("v2", v2.as_str())];
    let ingress = free_address();
    let control = Control::start(ingress, &order(&both, "v1", None)).await;
    let xds = control.address;
    let mut envoy = Envoy::start(binary, mode, xds);
    envoy.ready().await;
    control.converged(1, 1).await;

    let load = Load::start(ingress, HOST);
    load.wait_for(20).await;
    drop(control);
    load.wait_for(200).await;
    let mut control = Control::start_at(xds, ingress, &order(&both, "v1", None)).await;
    control.converged(1, 1).await;
    control.publish(&order(&both, "v1", Some(("v2", 1_000_000)))).await;
    load.wait_for(20).await;
    let (sent, failures) = load.stop().await;
    let first = failures.first();
    assert!(failures.is_empty(), "{} of {sent} failed: {first:?}", failures.len());
    let client = reqwest::Client::new();
    let answer = get(&client, ingress, HOST, &[]).await;
    assert_eq!(answer.as_deref(), Ok("v2"));
}

/// The active clusters that were received over xDS.
fn clusters(dump: &Value) -> BTreeSet<String> {
    let sections = dump["configs"].as_array().unwrap().iter();
    sections
        .flat_map(|section| section["dynamic_active_clusters"].as_array())
        .flatten()
        .map(|active| active["cluster"]["name"].as_str().unwrap().to_owned())
        .collect()
}
