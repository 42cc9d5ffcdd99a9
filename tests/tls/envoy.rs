//! Over mutual TLS an Envoy receives its configuration, reports, and uses renewed certificates. An Envoy with an identity of
//! another fleet is rejected.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tidegate_tests::control_plane::XdsMode;
use tidegate_tests::envoy::Envoy;
use tidegate_tests::wait::{WAIT_LIMIT, until};

use super::ca::{Ca, replace};
use super::mesh::{Mesh, Traffic};

const WEB: &str = "spiffe://example.org/ns/shop/web";
const OTHER_IDENTITY: &str = "spiffe://example.org/ns/other/web";
/// Accepted reports.
const REPORTS: &str = "tidegate_reports_total{result=\"accepted\"}";
/// Certificate reloads of the server.
const RELOADS: &str = "tidegate_xds_tls_reloads_total{result=\"success\"}";
/// Certificate reloads of an Envoy.
const ENVOY_RELOADS: &str = "cluster.tidegate.client_ssl_socket_factory.ssl_context_update_by_sds";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_envoys_over_mutual_tls() {
    Box::pin(run()).await.unwrap();
}

async fn run() -> Result<()> {
    let (old, new) = (Ca::new("old")?, Ca::new("new")?);
    let mut mesh = Mesh::start(&old).await?;
    old.svid(mesh.dir(), "envoy-1", WEB)?;
    let mut envoy = mesh.envoy("envoy-1", XdsMode::Delta, true).await?;
    envoy.ready().await?;
    let traffic = Traffic::start(mesh.ingress);
    traffic.more(50).await?;
    mesh.until_more(REPORTS, 0.0).await?;
    mesh.until_more("tidegate_requests_total{service=\"order\",version=\"v1\"}", 0.0).await?;

    rejects_another_identity(&mesh, &old).await?;
    renews_certificates(&mut mesh, &envoy, &traffic, (&old, &new)).await?;
    traffic.end().await?;
    drop(envoy);
    Ok(())
}

async fn rejects_another_identity(mesh: &Mesh, ca: &Ca) -> Result<()> {
    ca.svid(mesh.dir(), "envoy-2", OTHER_IDENTITY)?;
    let mut other = mesh.envoy("envoy-2", XdsMode::Sotw, false).await?;
    // 7 is PERMISSION_DENIED. Envoy logs the message unchanged.
    let line = other.process.wait_for_line("config stream to tidegate closed: 7").await?;
    ensure!(line.contains(OTHER_IDENTITY) && line.contains("demo"), "{line}");
    mesh.until_more("tidegate_xds_rejections_total{reason=\"fleet\"}", 0.0).await?;
    let nodes: Vec<Value> = mesh.control.get("nodes").await?;
    ensure!(nodes.iter().all(|node| node["id"] != "envoy-2"), "{nodes:?}");
    ensure!(other.config_dump().await?.to_string().matches("order/v1").count() == 0);
    Ok(())
}

/// Both sides get a certificate of a new CA, then the old CA is removed.
async fn renews_certificates(
    mesh: &mut Mesh,
    envoy: &Envoy,
    traffic: &Traffic,
    (old, new): (&Ca, &Ca),
) -> Result<()> {
    let since = connected_since(mesh).await?;
    let (server, client) = (mesh.metric(RELOADS).await?, envoy_reloads(envoy).await?);
    replace(mesh.dir(), "ca.pem", &format!("{}{}", old.pem, new.pem))?;
    mesh.until_more(RELOADS, server).await?;
    until_envoy_reloads(envoy, client).await?;
    let (server, client) = (mesh.metric(RELOADS).await?, envoy_reloads(envoy).await?);
    new.server(mesh.dir(), "server")?;
    new.svid(mesh.dir(), "envoy-1", WEB)?;
    mesh.until_more(RELOADS, server).await?;
    until_envoy_reloads(envoy, client).await?;
    traffic.more(100).await?;
    mesh.until_more(REPORTS, mesh.metric(REPORTS).await?).await?;
    ensure!(connected_since(mesh).await? == since, "its stream was interrupted");

    // New connections need a certificate of the new CA.
    replace(mesh.dir(), "ca.pem", &new.pem)?;
    mesh.control.restart().await?;
    let reconnected = async || connected_since(mesh).await.ok().map(drop);
    until("envoy-1 to connect with its new certificate", WAIT_LIMIT, reconnected).await?;
    mesh.until_more(REPORTS, 0.0).await?;
    traffic.more(50).await
}

/// The connection time of the first Envoy.
async fn connected_since(mesh: &Mesh) -> Result<Value> {
    let nodes: Vec<Value> = mesh.control.get("nodes").await?;
    let mut connected = nodes.iter().filter(|node| node["connected"] == true);
    let node =
        connected.find(|node| node["id"] == "envoy-1").context("envoy-1 is not connected")?;
    Ok(node["since"].clone())
}

async fn envoy_reloads(envoy: &Envoy) -> Result<u64> {
    let stats = envoy.stats(ENVOY_RELOADS).await?;
    Ok(stats.get(ENVOY_RELOADS).copied().unwrap_or_default())
}

async fn until_envoy_reloads(envoy: &Envoy, before: u64) -> Result<()> {
    let more = async || envoy_reloads(envoy).await.ok().filter(|now| *now > before).map(drop);
    until("Envoy to reload its certificate", WAIT_LIMIT, more).await
}
