//! How many reports the server takes in: senders that never pause, while a release runs.

use std::time::{Duration, Instant};

use anyhow::Result;
use tidegate_proto::report::v1::report_service_client::ReportServiceClient;
use tidegate_proto::report::v1::{Histogram, ReportRequest, VersionCounts};
use tokio::task::JoinSet;

use crate::sidecar::FLEET;
use crate::subject::Tidegate;
use crate::usage;

/// Filter instances that report at the same time, each on a connection of its own.
pub(crate) const SENDERS: u64 = 64;
/// How long they do.
const TIME: Duration = Duration::from_secs(5);

/// What was measured.
#[derive(Debug)]
pub(crate) struct Intake {
    /// Reports taken in.
    pub(crate) reports: u64,
    /// In this time.
    pub(crate) time: Duration,
    /// At the cost of this much processor time of the server.
    pub(crate) cpu: Duration,
    /// What the last reply said about the time to the next report, in milliseconds.
    pub(crate) interval_ms: u32,
}

/// Measures it.
pub(crate) async fn measure() -> Result<Intake> {
    let dir = tempfile::Builder::new().prefix("tidegate-fleet-").tempdir()?;
    let tidegate = Tidegate::start(10, dir.path(), None).await?;
    let server = format!("http://{}", tidegate.server.address);
    let mut clients = Vec::new();
    for _ in 0..SENDERS {
        clients.push(ReportServiceClient::connect(server.clone()).await?);
    }
    let before = usage::cpu(tidegate.process)?;
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for (instance, mut client) in (1..).zip(clients) {
        senders.spawn(async move {
            let mut last = (0, 0);
            while started.elapsed() < TIME {
                let reply = client.report(report(instance, last.0 + 1)).await?.into_inner();
                last = (reply.acknowledged, reply.interval_ms);
            }
            anyhow::Ok(last)
        });
    }
    let (mut reports, mut interval_ms) = (0, 0);
    while let Some(last) = senders.join_next().await {
        let (acknowledged, interval) = last??;
        reports += acknowledged;
        interval_ms = interval;
    }
    let time = started.elapsed();
    let cpu = usage::cpu(tidegate.process)?.saturating_sub(before);
    Ok(Intake { reports, time, cpu, interval_ms })
}

/// What one thread of a busy sidecar says four times a second: both versions of one service.
fn report(instance: u64, sequence: u64) -> ReportRequest {
    let counts = |version: &str, release: &str, each: u64| VersionCounts {
        service: "s0".to_owned(),
        version: version.to_owned(),
        release: release.to_owned(),
        requests: 12 * each,
        errors: 0,
        client_errors: 1,
        latency: Some(Histogram { index: (30..42).collect(), count: vec![each; 12] }),
        ..VersionCounts::default()
    };
    ReportRequest {
        node_id: format!("sidecar-{instance}"),
        fleet: FLEET.to_owned(),
        instance,
        sequence,
        config_version: "0123456789abcdef".to_owned(),
        counts: vec![counts("v1", "", 20), counts("v2", "", 1)],
        ..ReportRequest::default()
    }
}
