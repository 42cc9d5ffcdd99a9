//! An Envoy gets its configuration, reports, and takes new certificates, all by mutual TLS; one of another identity
//! gets nothing.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tidegate_tests::control_plane::XdsMode;
use tidegate_tests::envoy::Envoy;
use tidegate_tests::wait::{PATIENCE, until};

use super::ca::{Ca, replace};
use super::mesh::{Mesh, Traffic};

const WEB: &str = "spiffe://example.org/ns/shop/web";
const STRANGER: &str = "spiffe://example.org/ns/other/web";
/// Reports that were taken.
const REPORTS: &str = "tidegate_reports_total{result=\"accepted\"}";
/// New files that the server took.
const RELOADS: &str = "tidegate_tls_reloads_total{result=\"taken\"}";
/// New files that an Envoy took.
const ENVOY_RELOADS: &str = "cluster.tidegate.client_ssl_socket_factory.ssl_context_update_by_sds";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_envoys_over_mutual_tls() {
    Box::pin(tell()).await.unwrap();
}

async fn tell() -> Result<()> {
    let (old, new) = (Ca::new("old")?, Ca::new("new")?);
    let mut mesh = Mesh::start(&old).await?;
    old.svid(mesh.dir(), "envoy-1", WEB)?;
    let mut envoy = mesh.envoy("envoy-1", XdsMode::Delta, true).await?;
    envoy.ready().await?;
    let traffic = Traffic::start(mesh.ingress);
    traffic.more(50).await?;
    mesh.until_more(REPORTS, 0.0).await?;
    mesh.until_more("tidegate_requests_total{service=\"order\",version=\"v1\"}", 0.0).await?;

    is_named_and_gets_nothing(&mesh, &old).await?;
    renews(&mut mesh, &envoy, &traffic, (&old, &new)).await?;
    traffic.end().await?;
    drop(envoy);
    Ok(())
}

async fn is_named_and_gets_nothing(mesh: &Mesh, ca: &Ca) -> Result<()> {
    ca.svid(mesh.dir(), "envoy-2", STRANGER)?;
    let mut stranger = mesh.envoy("envoy-2", XdsMode::Sotw, false).await?;
    // 7 is PERMISSION_DENIED. Envoy shows the message as it came, with its escapes.
    let told = stranger.process.wait_for_line("config stream to tidegate closed: 7").await?;
    ensure!(told.contains(STRANGER) && told.contains("demo"), "{told}");
    mesh.until_more("tidegate_door_refused_total{reason=\"fleet\"}", 0.0).await?;
    let nodes: Vec<Value> = mesh.control.get("nodes").await?;
    ensure!(nodes.iter().all(|node| node["id"] != "envoy-2"), "{nodes:?}");
    ensure!(stranger.config_dump().await?.to_string().matches("order/v1").count() == 0);
    Ok(())
}

/// Both sides get a new certificate of a new authority, and then the old authority goes.
async fn renews(
    mesh: &mut Mesh,
    envoy: &Envoy,
    traffic: &Traffic,
    (old, new): (&Ca, &Ca),
) -> Result<()> {
    let since = connected_since(mesh).await?;
    let (mine, theirs) = (mesh.metric(RELOADS).await?, of_envoy(envoy).await?);
    replace(mesh.dir(), "ca.pem", &format!("{}{}", old.pem, new.pem))?;
    mesh.until_more(RELOADS, mine).await?;
    until_envoy_reloads(envoy, theirs).await?;
    let (mine, theirs) = (mesh.metric(RELOADS).await?, of_envoy(envoy).await?);
    new.server(mesh.dir(), "server")?;
    new.svid(mesh.dir(), "envoy-1", WEB)?;
    mesh.until_more(RELOADS, mine).await?;
    until_envoy_reloads(envoy, theirs).await?;
    traffic.more(100).await?;
    mesh.until_more(REPORTS, mesh.metric(REPORTS).await?).await?;
    ensure!(connected_since(mesh).await? == since, "its stream was dropped");

    // Whoever comes now must have a certificate of the new authority.
    replace(mesh.dir(), "ca.pem", &new.pem)?;
    mesh.control.restart().await?;
    let back = async || connected_since(mesh).await.ok().map(drop);
    until("envoy-1 with its new certificate", PATIENCE, back).await?;
    mesh.until_more(REPORTS, 0.0).await?;
    traffic.more(50).await
}

/// Since when the first Envoy is connected.
async fn connected_since(mesh: &Mesh) -> Result<Value> {
    let nodes: Vec<Value> = mesh.control.get("nodes").await?;
    let mut connected = nodes.iter().filter(|node| node["connected"] == true);
    let node = connected.find(|node| node["id"] == "envoy-1").context("envoy-1 is not there")?;
    Ok(node["since"].clone())
}

async fn of_envoy(envoy: &Envoy) -> Result<u64> {
    let stats = envoy.stats(ENVOY_RELOADS).await?;
    Ok(stats.get(ENVOY_RELOADS).copied().unwrap_or_default())
}

async fn until_envoy_reloads(envoy: &Envoy, before: u64) -> Result<()> {
    let more = async || of_envoy(envoy).await.ok().filter(|now| *now > before).map(drop);
    until("Envoy takes new files", PATIENCE, more).await
}
