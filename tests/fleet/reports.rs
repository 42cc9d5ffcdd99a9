//! Report intake while a release runs: from senders without pause, and from fleets that keep the interval of the
//! server's replies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tidegate_proto::report::v1::report_service_client::ReportServiceClient;
use tidegate_proto::report::v1::{Histogram, ReportRequest, VersionCounts};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::transport::Channel;

use crate::servers::Tidegate;
use crate::sidecar::FLEET;
use crate::usage;

/// Connections: each of one filter instance without pause, or shared by the instances of a fleet.
pub(crate) const SENDERS: u64 = 64;
/// Duration of a measurement.
const TIME: Duration = Duration::from_secs(5);
/// Time for the interval to settle before a measurement: the server averages over several seconds.
const SETTLING: Duration = Duration::from_secs(10);

/// Intake from senders without pause.
#[derive(Debug)]
pub(crate) struct Intake {
    /// Acknowledged reports.
    pub(crate) reports: u64,
    /// Duration.
    pub(crate) time: Duration,
    /// CPU time of the server.
    pub(crate) cpu: Duration,
}

/// Intake from a fleet that keeps the server's interval.
#[derive(Debug)]
pub(crate) struct Paced {
    pub(crate) instances: u64,
    /// Acknowledged reports per second.
    pub(crate) rate: f64,
    /// CPU time of the server, in cores.
    pub(crate) share: f64,
    /// The interval of the last reply, in milliseconds.
    pub(crate) interval_ms: u32,
}

/// Measures senders without pause.
pub(crate) async fn measure() -> Result<Intake> {
    let dir = tempfile::Builder::new().prefix("tidegate-fleet-").tempdir()?;
    let tidegate = Tidegate::start(10, dir.path(), None).await?;
    let clients = clients(&tidegate).await?;
    let before = usage::cpu(tidegate.process)?;
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for (instance, mut client) in (1..).zip(clients) {
        senders.spawn(async move {
            let mut sequence = 0;
            while started.elapsed() < TIME {
                sequence =
                    client.report(report(instance, sequence + 1)).await?.into_inner().acknowledged;
            }
            anyhow::Ok(sequence)
        });
    }
    let mut reports = 0;
    while let Some(acknowledged) = senders.join_next().await {
        reports += acknowledged??;
    }
    let time = started.elapsed();
    let cpu = usage::cpu(tidegate.process)?.saturating_sub(before);
    Ok(Intake { reports, time, cpu })
}

/// Measures a fleet of so many filter instances that keep the server's interval.
pub(crate) async fn measure_paced(instances: u64) -> Result<Paced> {
    let dir = tempfile::Builder::new().prefix("tidegate-fleet-").tempdir()?;
    let tidegate = Tidegate::start(10, dir.path(), None).await?;
    let clients = clients(&tidegate).await?;
    let taken = Arc::new(AtomicU64::new(0));
    let interval = Arc::new(AtomicU32::new(0));
    let mut senders = JoinSet::new();
    for (instance, client) in (1..=instances).zip(clients.into_iter().cycle()) {
        let (taken, interval) = (Arc::clone(&taken), Arc::clone(&interval));
        senders.spawn(async move {
            let mut client = client;
            // First reports are spread over a second, as in a fleet that is running.
            sleep(Duration::from_millis(instance * 997 % 1000)).await;
            for sequence in 1.. {
                let reply = client.report(report(instance, sequence)).await?.into_inner();
                taken.fetch_add(1, Ordering::Relaxed);
                interval.store(reply.interval_ms, Ordering::Relaxed);
                sleep(Duration::from_millis(reply.interval_ms.into())).await;
            }
            anyhow::Ok(())
        });
    }
    let look = || {
        let cpu = usage::cpu(tidegate.process)?;
        anyhow::Ok((Instant::now(), cpu, taken.load(Ordering::Relaxed)))
    };
    run(&mut senders, SETTLING).await?;
    let (since, cpu, reports) = look()?;
    run(&mut senders, TIME).await?;
    let (until, cpu_then, reports_then) = look()?;
    let seconds = until.duration_since(since).as_secs_f64();
    Ok(Paced {
        instances,
        rate: (reports_then - reports) as f64 / seconds,
        share: cpu_then.saturating_sub(cpu).as_secs_f64() / seconds,
        interval_ms: interval.load(Ordering::Relaxed),
    })
}

/// Waits while the senders run. Fails if one ends.
async fn run(senders: &mut JoinSet<Result<()>>, time: Duration) -> Result<()> {
    tokio::select! {
        () = sleep(time) => Ok(()),
        Some(ended) = senders.join_next() => ended?,
    }
}

async fn clients(tidegate: &Tidegate) -> Result<Vec<ReportServiceClient<Channel>>> {
    let server = format!("http://{}", tidegate.server.address);
    let mut clients = Vec::new();
    for _ in 0..SENDERS {
        clients.push(ReportServiceClient::connect(server.clone()).await?);
    }
    Ok(clients)
}

/// The report of one worker of a busy sidecar: both versions of one service.
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
