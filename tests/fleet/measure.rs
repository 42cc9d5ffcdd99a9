//! One run: both servers with the same number of sidecars, and pushes that alternate between them.

use std::time::{Duration, Instant};

use anyhow::Result;
use tidegate_tests::distribution::Distribution;
use tokio::time::sleep;

use crate::certificates::Authority;
use crate::servers::{self, Raw, Tidegate};
use crate::sidecar::{Server, Sidecars};
use crate::usage;

/// Pause before CPU time and memory are read, for the server to process the last ACKs.
const SETTLE: Duration = Duration::from_millis(150);

/// The parameters of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) sidecars: usize,
    pub(crate) services: usize,
    pub(crate) pushes: usize,
    pub(crate) per_connection: usize,
    pub(crate) transport: Transport,
}

/// The transport between sidecars and both servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// Plaintext.
    Plain,
    /// Mutual TLS.
    Mtls,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) size: Size,
    /// Bytes of a push to one sidecar.
    pub(crate) bytes: usize,
    pub(crate) tidegate: Side,
    pub(crate) raw: Side,
    /// Tidegate's time divided by the raw server's, for each pair of pushes; a ratio of 1 is stored as 1 s.
    pub(crate) ratios: Distribution,
}

/// The results of one server.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// From the command to the last ACK.
    pub(crate) pushes: Vec<Duration>,
    /// CPU time of all pushes.
    pub(crate) cpu: Duration,
    /// Growth of the resident memory when the sidecars connected, in kB.
    pub(crate) memory_kb: u64,
    /// From the reconnect of all sidecars until the last has its routes.
    pub(crate) storm: Duration,
}

pub(crate) async fn measure(size: Size) -> Result<Row> {
    let dir = tempfile::Builder::new().prefix("tidegate-fleet-").tempdir()?;
    let authority = match size.transport {
        Transport::Plain => None,
        Transport::Mtls => Some(Authority::new(dir.path(), size.sidecars)?),
    };
    let authority = authority.as_ref();
    let tidegate = Tidegate::start(size.services, dir.path(), authority).await?;
    let (messages, bytes) = servers::messages(&tidegate.server).await?;
    let raw = Raw::start(&messages, dir.path(), authority).await?;
    let (mut ours, mut theirs) = (Side::default(), Side::default());

    let of_ours = connect(&tidegate.server, tidegate.process, size, &mut ours).await?;
    let of_theirs = connect(&raw.server, raw.process(), size, &mut theirs).await?;

    for round in 0..size.pushes {
        // Alternating, and each as often first, so that other load on the machine affects both alike.
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                push(&of_ours, tidegate.process, &mut ours, || tidegate.push()).await?;
            } else {
                push(&of_theirs, raw.process(), &mut theirs, || raw.push()).await?;
            }
        }
    }
    let of_ours = storm(of_ours, &tidegate.server, size, &mut ours).await?;
    storm(of_theirs, &raw.server, size, &mut theirs).await?.stop().await;
    of_ours.stop().await;
    let ratio = |(ours, theirs): (&Duration, &Duration)| {
        Duration::from_secs_f64(ours.as_secs_f64() / theirs.as_secs_f64().max(1e-9))
    };
    let ratios = ours.pushes.iter().zip(&theirs.pushes).map(ratio).collect();
    Ok(Row { size, bytes, tidegate: ours, raw: theirs, ratios })
}

async fn connect(server: &Server, process: u32, size: Size, side: &mut Side) -> Result<Sidecars> {
    let before = usage::memory_kb(process)?;
    let sidecars = Sidecars::start(server, size.sidecars, size.per_connection)?;
    sidecars.ack_rounds.last().await?;
    sleep(SETTLE).await;
    side.memory_kb = usage::memory_kb(process)?.saturating_sub(before);
    Ok(sidecars)
}

async fn push<F: Future<Output = Result<()>>>(
    sidecars: &Sidecars,
    process: u32,
    side: &mut Side,
    command: impl FnOnce() -> F,
) -> Result<()> {
    sidecars.ack_rounds.start(sidecars.count);
    let before = usage::cpu(process)?;
    let started = Instant::now();
    let (commanded, last) = tokio::join!(command(), sidecars.ack_rounds.last());
    commanded?;
    side.pushes.push(last?.duration_since(started));
    sleep(SETTLE).await;
    side.cpu += usage::cpu(process)?.saturating_sub(before);
    Ok(())
}

async fn storm(
    sidecars: Sidecars,
    server: &Server,
    size: Size,
    side: &mut Side,
) -> Result<Sidecars> {
    sidecars.stop().await;
    let started = Instant::now();
    let sidecars = Sidecars::start(server, size.sidecars, size.per_connection)?;
    side.storm = sidecars.ack_rounds.last().await?.duration_since(started);
    sleep(SETTLE).await;
    Ok(sidecars)
}
