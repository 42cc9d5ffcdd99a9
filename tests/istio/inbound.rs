//! The filter where a pod receives requests, as a plugin without `match` has it: it decides nothing and counts nothing.

use anyhow::{Result, ensure};
use reqwest::Client;
use tidegate_tests::story::ProgressOutput;
use tidegate_tests::wait::{WAIT_LIMIT, until};

use super::forgery::{backend, versions};
use super::mesh::{HOST, Mesh, Setup};
use super::proxy::Role;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_counted_where_it_is_sent_and_passes_an_inbound_sidecar_without_our_headers() {
    run().await.unwrap();
}

async fn run() -> Result<()> {
    let output = ProgressOutput::default();
    let versions_of_service = Some([backend("v1").await?, backend("v2").await?]);
    let setup = Setup { versions: versions_of_service, has_inbound: true, ..Setup::default() };
    let mesh = Mesh::start(setup).await?;
    // All on v1: those of the sidecar pass two filters.
    let sent = versions(&mesh, None).await?.len() as u64;
    let counted = async || (requests(&mesh, "v1").await.ok()? >= sent).then_some(());
    until("the reports of all proxies", WAIT_LIMIT, counted).await?;
    let inbound = mesh.proxy(Role::Inbound);
    let answer = Client::new()
        .get(format!("http://{}/", inbound.ingress))
        .header("host", HOST)
        .header("x-tidegate-version", "v2")
        .header("x-tidegate-bucket", "0")
        .send()
        .await?
        .error_for_status()?
        .text()
        .await?;
    ensure!(answer == "v1 ", "the service has received {answer}");
    mesh.until_reported_again().await?;
    let counted = requests(&mesh, "v1").await?;
    output.say(format_args!("{sent} requests sent, {counted} counted for v1"));
    ensure!(counted == sent, "{counted} of {sent} requests are counted");
    ensure!(requests(&mesh, "v2").await? == 0);
    Ok(())
}

/// The requests of a version, as the proxies have reported them.
async fn requests(mesh: &Mesh, version: &str) -> Result<u64> {
    let labels = format!("{{service=\"order\",version=\"{version}\"}}");
    mesh.metric(&format!("tidegate_requests_total{labels}")).await
}
