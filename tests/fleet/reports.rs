//! How many reports the server takes in, while a release runs: from senders that never pause, and from fleets that
//! report when they are told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tidegate_proto::report::v1::report_service_client::ReportServiceClient;
use tidegate_proto::report::v1::{Histogram, ReportRequest, VersionCounts};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::transport::Channel;

use crate::sidecar::FLEET;
use crate::subject::Tidegate;
use crate::usage;

/// Connections, each of one filter instance that reports without pause, or shared by some of a fleet.
pub(crate) const SENDERS: u64 = 64;
/// How long one looks.
const TIME: Duration = Duration::from_secs(5);
/// How long before that a fleet reports already: the interval follows what was seen over two of it.
const SETTLING: Duration = Duration::from_secs(10);

/// What was measured.
#[derive(Debug)]
pub(crate) struct Intake {
    /// Reports taken in.
    pub(crate) reports: u64,
    /// In this time.
    pub(crate) time: Duration,
    /// At the cost of this much processor time of the server.
    pub(crate) cpu: Duration,
}

/// What was measured of a fleet that reports when it is told to.
#[derive(Debug)]
pub(crate) struct Paced {
    pub(crate) instances: u64,
    /// Reports taken in a second.
    pub(crate) rate: f64,
    /// The server's processor time, in cores.
    pub(crate) share: f64,
    /// What the last reply said about the time to the next report, in milliseconds.
    pub(crate) interval_ms: u32,
}

/// Measures it.
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

/// Measures a fleet of so many filter instances, each of which reports when it was told to.
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
            // All within the first second, as filters of a fleet that is already there.
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
    go_on(&mut senders, SETTLING).await?;
    let (since, cpu, reports) = look()?;
    go_on(&mut senders, TIME).await?;
    let (until, cpu_then, reports_then) = look()?;
    let seconds = until.duration_since(since).as_secs_f64();
    Ok(Paced {
        instances,
        rate: (reports_then - reports) as f64 / seconds,
        share: cpu_then.saturating_sub(cpu).as_secs_f64() / seconds,
        interval_ms: interval.load(Ordering::Relaxed),
    })
}

/// Lets senders go on for a while. One that ends has failed.
async fn go_on(senders: &mut JoinSet<Result<()>>, time: Duration) -> Result<()> {
    tokio::select! {
        () = sleep(time) => Ok(()),
        Some(ended) = senders.join_next() => ended?,
    }
}

/// Connections to a server.
async fn clients(tidegate: &Tidegate) -> Result<Vec<ReportServiceClient<Channel>>> {
    let server = format!("http://{}", tidegate.server.address);
    let mut clients = Vec::new();
    for _ in 0..SENDERS {
        clients.push(ReportServiceClient::connect(server.clone()).await?);
    }
    Ok(clients)
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
