//! A version whose DNS name does not resolve affects no other service: releases of the others converge, and an Envoy that
//! starts opens its listeners.
//!
//! Envoy's resolver sends its queries to a UDP socket that never answers, without a timeout. A cluster that waits for
//! its name therefore waits forever, and the test does not depend on the duration of a DNS timeout.

use std::fs;
use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tidegate_tests::control_plane::XdsMode;
use tidegate_tests::envoy::{Envoy, EnvoyOptions};
use tidegate_tests::status::{at, traffic, until_node, until_release};
use tidegate_tests::story::{self, Operator};
use tidegate_tests::wait::{WAIT_LIMIT, until};
use tidegate_tests::world::Sidecar;
use tidegate_tests::{World, WorldOptions, binaries, ports};
use tokio::sync::Mutex;

/// Each world has an Envoy of two threads: under plain `cargo test` the worlds run one after the other.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());

const NODE: &str = "envoy-demo-1";
/// The version that does not resolve belongs to this service; the release is one of `order`.
const UNRESOLVABLE: &str = "payment";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sotw() {
    unresolvable_name_blocks_no_other_service(XdsMode::Sotw).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delta() {
    unresolvable_name_blocks_no_other_service(XdsMode::Delta).await.unwrap();
}

async fn unresolvable_name_blocks_no_other_service(mode: XdsMode) -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let options =
        WorldOptions { sidecars: 1, mode, knobs: story::knobs(), ..WorldOptions::default() };
    let mut world = World::start(options).await?;
    let Sidecar { envoy, fleet, ingress } = world.sidecars.pop().context("no sidecar")?;
    drop(envoy);
    let silent = UdpSocket::bind("127.0.0.1:0")?;
    let envoy = start(&world, &fleet, mode, silent.local_addr()?).await?;
    world.sidecars.push(Sidecar { envoy, fleet: fleet.clone(), ingress });

    // The name comes by a configuration change, while the Envoy runs.
    let file = world.dir().join("tidegate.yaml");
    let text = fs::read_to_string(&file)?;
    let address = world.backends.get(UNRESOLVABLE, "v2")?.address().to_string();
    ensure!(text.contains(&address), "no {address} in {text}");
    fs::write(&file, text.replace(&address, "payment-v2.example.org:9000"))?;
    until("the cluster with the name", WAIT_LIMIT, async || {
        let sidecar = world.sidecars.first()?;
        is_dns_cluster_active(&sidecar.envoy.config_dump().await.ok()?).then_some(())
    })
    .await?;
    until_node(&world, NODE, |node| at(node, "/synced") == true).await?;

    let operator = Operator::new(&world.control);
    let load = traffic(&world, "order").await?;
    operator.run(&["release", "start", "order", "--version", "v2"]).await?;
    let converged = |release: &Value| {
        at(release, "/phase") == "stepping" && at(release, "/progress/convergence/acked") == 1
    };
    until_release(&world, "order", converged).await?;
    load.end(None).await?;

    // An Envoy that starts takes the cluster with the name among its first resources.
    drop(world.sidecars.pop());
    let envoy = start(&world, &fleet, mode, silent.local_addr()?).await?;
    ensure!(is_dns_cluster_active(&envoy.config_dump().await?), "the cluster is not active");
    world.sidecars.push(Sidecar { envoy, fleet, ingress });
    for service in ["order", UNRESOLVABLE] {
        let load = traffic(&world, service).await?;
        load.more(300).await?;
        load.end(None).await?;
    }
    Ok(())
}

/// Starts an Envoy whose resolver has `server` alone, and waits until its listeners accept.
async fn start(world: &World, fleet: &str, mode: XdsMode, server: SocketAddr) -> Result<Envoy> {
    let binary = tokio::task::spawn_blocking(binaries::envoy).await??;
    let admin = ports::free_address()?;
    let bootstrap = world.control.bootstrap(fleet, NODE, admin, mode).await?;
    let mut bootstrap: Value = serde_json::from_str(&bootstrap)?;
    let resolver = json!({
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [{"socket_address": {
                "address": server.ip().to_string(), "port_value": server.port()
            }}],
            "query_timeout_seconds": 3600
        }
    });
    let fields = bootstrap.as_object_mut().context("the bootstrap is no object")?;
    fields.insert("typed_dns_resolver_config".to_owned(), resolver);
    let bootstrap = bootstrap.to_string();
    let options = EnvoyOptions::default();
    let mut envoy = Envoy::start(&binary, NODE, &bootstrap, admin, world.dir(), &options)?;
    envoy.ready().await?;
    Ok(envoy)
}

/// Whether Envoy has the cluster of the version whose name does not resolve, and has finished warming it.
fn is_dns_cluster_active(dump: &Value) -> bool {
    let configs = at(dump, "/configs").as_array().into_iter().flatten();
    let active = configs.filter_map(|config| at(config, "/dynamic_active_clusters").as_array());
    active.flatten().any(|cluster| {
        at(cluster, "/cluster/name") == "payment/v2" && at(cluster, "/cluster/type") == "STRICT_DNS"
    })
}
