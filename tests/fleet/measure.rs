//! One size of fleet: both servers with as many sidecars, pushed by turns.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use tidegate_tests::spread::Spread;
use tokio::time::sleep;

use crate::mutual::Authority;
use crate::sidecar::{Server, Sidecars};
use crate::subject::{self, Raw, Tidegate};
use crate::usage;

/// How long a server may take to digest the last answers before one looks at its processor time.
const DIGEST: Duration = Duration::from_millis(150);

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) sidecars: usize,
    pub(crate) services: usize,
    pub(crate) pushes: usize,
    pub(crate) per_connection: usize,
    /// Whether a second Tidegate, with mutual TLS, is measured too.
    pub(crate) tls: bool,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) size: Size,
    /// Length of what is pushed to each.
    pub(crate) bytes: usize,
    pub(crate) tidegate: Side,
    pub(crate) raw: Side,
    /// Tidegate with mutual TLS.
    pub(crate) mutual: Option<Side>,
    /// How often Tidegate took as long as the raw server, pair by pair, in thousandths.
    pub(crate) ratios: Spread,
}

/// What was measured of one server.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// From the command to the last answer.
    pub(crate) pushes: Vec<Duration>,
    /// Processor time of all pushes.
    pub(crate) cpu: Duration,
    /// Memory that the sidecars took, in kB.
    pub(crate) memory_kb: u64,
    /// From the first call to the last who has its routes.
    pub(crate) storm: Duration,
}

/// Measures one size.
pub(crate) async fn measure(size: Size) -> Result<Row> {
    let dir = tempfile::Builder::new().prefix("tidegate-fleet-").tempdir()?;
    let tidegate = Tidegate::start(size.services, size.sidecars, dir.path(), None).await?;
    let (messages, bytes) = subject::messages(tidegate.server.address).await?;
    let raw = Raw::start(&messages, dir.path()).await?;
    let (mut ours, mut theirs) = (Side::default(), Side::default());
    let mut mutual = Mutual::start(size, &dir.path().join("tls")).await?;

    let server = Server::plain(raw.address);
    let of_ours = connect(&tidegate.server, tidegate.process, size, &mut ours).await?;
    let of_theirs = connect(&server, raw.process(), size, &mut theirs).await?;

    let servers = 2 + usize::from(size.tls);
    for round in 0..size.pushes {
        // By turns, and each as often first: what the machine does else hits all.
        for turn in 0..servers {
            match ((round + turn) % servers, &mut mutual) {
                (0, _) => push(&of_ours, tidegate.process, &mut ours, || tidegate.push()).await?,
                (1, _) => push(&of_theirs, raw.process(), &mut theirs, || raw.push()).await?,
                (_, Some(mutual)) => mutual.push().await?,
                (_, None) => {}
            }
        }
    }
    let of_ours = storm(of_ours, &tidegate.server, size, &mut ours).await?;
    storm(of_theirs, &server, size, &mut theirs).await?.stop().await;
    of_ours.stop().await;
    let mutual = match mutual {
        Some(mutual) => Some(mutual.end(size).await?),
        None => None,
    };
    let ratio = |(ours, theirs): (&Duration, &Duration)| {
        Duration::from_secs_f64(ours.as_secs_f64() / theirs.as_secs_f64().max(1e-9))
    };
    let ratios = ours.pushes.iter().zip(&theirs.pushes).map(ratio).collect();
    Ok(Row { size, bytes, tidegate: ours, raw: theirs, mutual, ratios })
}

/// The second Tidegate, and its sidecars.
struct Mutual {
    tidegate: Tidegate,
    sidecars: Sidecars,
    side: Side,
}

impl Mutual {
    /// None if it is not asked for.
    async fn start(size: Size, dir: &Path) -> Result<Option<Self>> {
        if !size.tls {
            return Ok(None);
        }
        std::fs::create_dir(dir)?;
        let authority = Authority::new(dir)?;
        let tidegate = Tidegate::start(size.services, size.sidecars, dir, Some(&authority)).await?;
        let mut side = Side::default();
        let sidecars = connect(&tidegate.server, tidegate.process, size, &mut side).await?;
        Ok(Some(Self { tidegate, sidecars, side }))
    }

    async fn push(&mut self) -> Result<()> {
        let Self { tidegate, sidecars, side } = self;
        push(sidecars, tidegate.process, side, || tidegate.push()).await
    }

    async fn end(mut self, size: Size) -> Result<Side> {
        storm(self.sidecars, &self.tidegate.server, size, &mut self.side).await?.stop().await;
        Ok(self.side)
    }
}

async fn connect(server: &Server, process: u32, size: Size, side: &mut Side) -> Result<Sidecars> {
    let before = usage::memory_kb(process)?;
    let sidecars = Sidecars::start(server, size.sidecars, size.per_connection)?;
    sidecars.gate.last().await?;
    sleep(DIGEST).await;
    side.memory_kb = usage::memory_kb(process)?.saturating_sub(before);
    Ok(sidecars)
}

async fn push<F: Future<Output = Result<()>>>(
    sidecars: &Sidecars,
    process: u32,
    side: &mut Side,
    command: impl FnOnce() -> F,
) -> Result<()> {
    sidecars.gate.arm(sidecars.count);
    let before = usage::cpu(process)?;
    let started = Instant::now();
    let (commanded, last) = tokio::join!(command(), sidecars.gate.last());
    commanded?;
    side.pushes.push(last?.duration_since(started));
    sleep(DIGEST).await;
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
    side.storm = sidecars.gate.last().await?.duration_since(started);
    sleep(DIGEST).await;
    Ok(sidecars)
}
