//! A mesh with listeners of its own: Envoy receives routes, clusters and the filter from Tidegate.

use std::collections::BTreeSet;
use std::path::Path;

use tidegate_core::bucket::bucket;
use tidegate_tests::wait;
use tidegate_xds::kind::Mode;

use super::backend::{self, Load, get};
use super::bootstraps::{self, Streams};
use super::control::{Control, order};
use super::envoy::{Envoy, free_address, newest};

const HOST: &str = "order.local";
/// The salt of the buckets: the release's id.
const SALT: &[u8] = b"order.1";

#[tokio::test]
async fn own_listeners_split_traffic_by_user_sotw() {
    own_listeners_split_traffic_by_user(&newest().await, Mode::Sotw).await;
}

#[tokio::test]
async fn own_listeners_split_traffic_by_user_delta() {
    own_listeners_split_traffic_by_user(&newest().await, Mode::Delta).await;
}

/// With the filter, a user is routed to the candidate if and only if its bucket is below the weight.
pub(crate) async fn own_listeners_split_traffic_by_user(binary: &Path, mode: Mode) {
    let v1 = backend::start("v1").await.to_string();
    let v2 = backend::start("v2").await.to_string();
    let both = [("v1", v1.as_str()), ("v2", v2.as_str())];
    let (ingress, admin) = (free_address(), free_address());
    let mut control = Control::start_with_filter(free_address(), &order(&both, "v1", None));
    let bootstrap = bootstraps::own(mode, Streams::Aggregated, control.address, admin, ingress);
    let mut envoy = Envoy::run(binary, &bootstrap, admin);
    envoy.ready().await;
    control.converged(1, 1).await;
    let client = reqwest::Client::new();
    let load = Load::start(ingress, HOST);

    let users: Vec<String> = (0..100).map(|number| format!("user-{number}")).collect();
    for weight in [0, 300_000, 600_000, 1_000_000] {
        control.publish(&order(&both, "v1", Some(("v2", weight)))).await;
        let expected: BTreeSet<&str> = users
            .iter()
            .map(String::as_str)
            .filter(|user| bucket(SALT, user.as_bytes()) < weight)
            .collect();
        // Envoy ACKs an update before its workers use it.
        let divided = async || {
            let mut moved = BTreeSet::new();
            for user in &users {
                let headers = [("x-user-id", user.as_str()), ("x-tidegate-bucket", "0")];
                if get(&client, ingress, HOST, &headers).await.unwrap() == "v2" {
                    moved.insert(user.as_str());
                }
            }
            (moved == expected).then_some(())
        };
        wait::until(&format!("the split at {weight}"), wait::WAIT_LIMIT, divided).await.unwrap();
    }
    let (sent, failures) = load.stop().await;
    assert!(failures.is_empty(), "{} of {sent} failed: {:?}", failures.len(), failures.first());
}
