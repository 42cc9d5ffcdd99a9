//! What must hold, state of the world and delta alike.

use std::collections::BTreeSet;

use serde_json::Value;
use tidegate_xds::kind::{Kind, Mode};

use super::backend::{self, Load, who};
use super::control::{Control, order};
use super::envoy::{Envoy, free_address};

const HOST: &str = "order.local";

#[tokio::test]
async fn traffic_follows_the_state_sotw() {
    traffic_follows_the_state(Mode::Sotw).await;
}

#[tokio::test]
async fn traffic_follows_the_state_delta() {
    traffic_follows_the_state(Mode::Delta).await;
}

#[tokio::test]
async fn no_request_fails_while_versions_come_and_go_sotw() {
    no_request_fails_while_versions_come_and_go(Mode::Sotw).await;
}

#[tokio::test]
async fn no_request_fails_while_versions_come_and_go_delta() {
    no_request_fails_while_versions_come_and_go(Mode::Delta).await;
}

#[tokio::test]
async fn a_killed_control_plane_is_not_missed_sotw() {
    a_killed_control_plane_is_not_missed(Mode::Sotw).await;
}

#[tokio::test]
async fn a_killed_control_plane_is_not_missed_delta() {
    a_killed_control_plane_is_not_missed(Mode::Delta).await;
}

/// The filter's module is not on the disk: Envoy refuses that one resource, and traffic flows to
/// where it must without the filter.
async fn traffic_follows_the_state(mode: Mode) {
    let v1 = backend::start("v1").await.to_string();
    let v2 = backend::start("v2").await.to_string();
    let both = [("v1", v1.as_str()), ("v2", v2.as_str())];
    let ingress = free_address();
    let mut control = Control::start(ingress, &order(&both, "v1", None)).await;
    let mut envoy = Envoy::start(mode, control.address);
    envoy.ready().await;
    control.converged(1, 1).await;
    let client = reqwest::Client::new();
    let get = async |headers: &[(&str, &str)]| who(&client, ingress, HOST, headers).await;

    assert_eq!(get(&[]).await.as_deref(), Ok("v1"));
    let with_port = who(&client, ingress, "order.local:8443", &[]).await;
    assert_eq!(with_port.as_deref(), Ok("v1"), "the port of a Host does not matter");
    for (name, value) in [("x-tidegate-version", "v2"), ("x-tidegate-bucket", "0")] {
        control.publish(&order(&both, "v1", Some(("v2", 500_000)))).await;
        let answer = get(&[(name, value)]).await;
        assert_eq!(answer.as_deref(), Ok("v1"), "a client must not choose by {name}");
    }

    let refused = control.ack_tracker.nodes().remove(0).refused;
    let kinds: Vec<Kind> = refused.keys().copied().collect();
    assert_eq!(kinds, [Kind::Extension], "{refused:?}\n{}", envoy.log());

    control.publish(&order(&both, "v1", Some(("v2", 1_000_000)))).await;
    assert_eq!(get(&[]).await.as_deref(), Ok("v2"), "a full weight needs no filter");
    control.publish(&order(&both, "v1", None)).await;
    assert_eq!(get(&[]).await.as_deref(), Ok("v1"), "back on stable");

    let dump = envoy.config_dump().await;
    assert_eq!(clusters(&dump), ["order/v1", "order/v2"].map(String::from).into());
}

/// Versions are deployed, released, completed and removed, in IP addresses and names.
async fn no_request_fails_while_versions_come_and_go(mode: Mode) {
    let v1 = backend::start("v1").await.to_string();
    let v2 = backend::start("v2").await.to_string();
    let v3 = backend::start("v3").await.to_string().replace("127.0.0.1", "localhost");
    let (v1, v2, v3) = (("v1", &*v1), ("v2", &*v2), ("v3", &*v3));
    let ingress = free_address();
    let mut control = Control::start(ingress, &order(&[v1], "v1", None)).await;
    let mut envoy = Envoy::start(mode, control.address);
    envoy.ready().await;
    control.converged(1, 1).await;

    let load = Load::start(ingress, HOST);
    let mut expected = BTreeSet::from(["order/v1".to_owned()]);
    for _ in 0..5 {
        for (from, to) in [(v1, v2), (v2, v3), (v3, v1)] {
            let both = [from, to];
            load.go_on(20).await;
            // The candidate is new and takes everything in one push: it must be warm first.
            control.publish(&order(&both, from.0, Some((to.0, 1_000_000)))).await;
            load.go_on(20).await;
            // The old version goes in the same push as its routes: it must go after them.
            control.publish(&order(&[to], to.0, None)).await;
            expected = BTreeSet::from([format!("order/{}", to.0)]);
        }
    }
    // From one version to another with nothing in between: the new one must be warm and routed to
    // before the old one goes.
    for to in [v2, v3, v1] {
        load.go_on(20).await;
        control.publish(&order(&[to], to.0, None)).await;
        expected = BTreeSet::from([format!("order/{}", to.0)]);
    }
    let (sent, failures) = load.stop().await;
    assert!(failures.is_empty(), "{} of {sent} failed: {:?}", failures.len(), failures.first());
    assert_eq!(clusters(&envoy.config_dump().await), expected);
}

/// While the control plane is away traffic flows; when it is back, Envoy follows it again.
async fn a_killed_control_plane_is_not_missed(mode: Mode) {
    let v1 = backend::start("v1").await.to_string();
    let v2 = backend::start("v2").await.to_string();
    let both = [("v1", v1.as_str()), ("v2", v2.as_str())];
    let ingress = free_address();
    let control = Control::start(ingress, &order(&both, "v1", None)).await;
    let xds = control.address;
    let mut envoy = Envoy::start(mode, xds);
    envoy.ready().await;
    control.converged(1, 1).await;

    let load = Load::start(ingress, HOST);
    load.go_on(20).await;
    drop(control);
    load.go_on(200).await;
    let mut control = Control::start_at(xds, ingress, &order(&both, "v1", None)).await;
    control.converged(1, 1).await;
    control.publish(&order(&both, "v1", Some(("v2", 1_000_000)))).await;
    load.go_on(20).await;
    let (sent, failures) = load.stop().await;
    let first = failures.first();
    assert!(failures.is_empty(), "{} of {sent} failed: {first:?}", failures.len());
    let client = reqwest::Client::new();
    let answer = who(&client, ingress, HOST, &[]).await;
    assert_eq!(answer.as_deref(), Ok("v2"));
}

/// The clusters that came over xDS and are in use.
fn clusters(dump: &Value) -> BTreeSet<String> {
    let sections = dump["configs"].as_array().unwrap().iter();
    sections
        .flat_map(|section| section["dynamic_active_clusters"].as_array())
        .flatten()
        .map(|active| active["cluster"]["name"].as_str().unwrap().to_owned())
        .collect()
}
