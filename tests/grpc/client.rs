//! The client: a process that calls without a pause and writes down who answered.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;
use tidegate_tests::process::Process;
use tidegate_tests::wait;

/// Calls in one line of what it writes.
const WINDOW: u32 = 500;

/// Who answered.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Tally {
    error: Option<String>,
    #[serde(flatten)]
    answers: BTreeMap<String, u32>,
}

impl Tally {
    /// How many calls a version answered.
    pub(crate) fn of(&self, version: &str) -> u32 {
        self.answers.get(version).copied().unwrap_or_default()
    }

    /// How many calls there were, those that failed among them.
    pub(crate) fn calls(&self) -> u32 {
        self.answers.values().sum()
    }

    fn add(mut self, other: Self) -> Self {
        for (version, calls) in other.answers {
            *self.answers.entry(version).or_default() += calls;
        }
        Self { error: self.error.or(other.error), answers: self.answers }
    }
}

/// A running client.
pub(crate) struct Client {
    process: Process,
}

impl Client {
    /// Starts it, and waits for its first answers.
    pub(crate) async fn start(python: &Path, bootstrap: &Path, dir: &Path) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("grpc/client.py");
        let mut command = Command::new(python);
        command.arg(script).args(["xds:///order", &WINDOW.to_string()]);
        command.env("GRPC_XDS_BOOTSTRAP", bootstrap);
        let mut process = Process::spawn("client", command, dir)?;
        process.wait_for_line("failed").await?;
        Ok(Self { process })
    }

    /// The next so many windows that have not begun yet, added up.
    pub(crate) async fn tally(&mut self, windows: usize) -> Result<Tally> {
        // The window that is open now began too early.
        let from = self.windows()?.len() + 1;
        self.wait_for_windows(from + windows).await?;
        let all = self.windows()?.into_iter().skip(from).take(windows);
        Ok(all.fold(Tally::default(), Tally::add))
    }

    /// Waits for a window of which something holds.
    pub(crate) async fn until(&mut self, holds: impl Fn(&Tally) -> bool) -> Result<()> {
        let from = self.windows()?.len() + 1;
        let log = self.process.log().to_owned();
        let found = async || {
            let windows = read(&log).ok()?;
            windows.iter().skip(from).any(&holds).then_some(())
        };
        self.process.wait_for("a window of calls", found).await
    }

    /// The windows in which a call failed.
    pub(crate) fn failures(&self) -> Result<Vec<Tally>> {
        Ok(self.windows()?.into_iter().filter(|tally| tally.of("failed") > 0).collect())
    }

    async fn wait_for_windows(&mut self, number: usize) -> Result<()> {
        let log = self.process.log().to_owned();
        let enough = async || (read(&log).ok()?.len() >= number).then_some(());
        wait::until("calls", wait::PATIENCE, enough).await.context(self.process.log_tail())
    }

    fn windows(&self) -> Result<Vec<Tally>> {
        read(self.process.log())
    }
}

/// The windows in a log, which may hold gRPC's own words too, and the beginning of a line.
fn read(log: &Path) -> Result<Vec<Tally>> {
    let text = std::fs::read_to_string(log)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let windows = whole.lines().filter(|line| line.starts_with('{'));
    windows.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}
