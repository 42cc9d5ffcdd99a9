//! The gRPC client: a process that calls continuously and prints the number of answers of each version.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;
use tidegate_tests::process::Process;
use tidegate_tests::wait;

/// Calls in one line of its output.
const BATCH: u32 = 500;

/// The answers to some calls.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Answers {
    error: Option<String>,
    #[serde(flatten)]
    by_version: BTreeMap<String, u32>,
}

impl Answers {
    /// The number of calls that a version answered, or that `failed`.
    pub(crate) fn of(&self, version: &str) -> u32 {
        self.by_version.get(version).copied().unwrap_or_default()
    }

    /// The number of calls, including failed ones.
    pub(crate) fn calls(&self) -> u32 {
        self.by_version.values().sum()
    }

    fn add(mut self, other: Self) -> Self {
        for (version, calls) in other.by_version {
            *self.by_version.entry(version).or_default() += calls;
        }
        Self { error: self.error.or(other.error), by_version: self.by_version }
    }
}

/// A running client.
pub(crate) struct Client {
    process: Process,
}

impl Client {
    /// Starts the client and waits for its first batch.
    pub(crate) async fn start(python: &Path, bootstrap: &Path, dir: &Path) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("grpc/client.py");
        let mut command = Command::new(python);
        command.arg(script).args(["xds:///order", &BATCH.to_string()]);
        command.env("GRPC_XDS_BOOTSTRAP", bootstrap);
        let mut process = Process::spawn("client", command, dir)?;
        process.wait_for_line("failed").await?;
        Ok(Self { process })
    }

    /// The sum of the next batches that have not started.
    pub(crate) async fn next_batches(&mut self, count: usize) -> Result<Answers> {
        // The current batch started before this call.
        let from = self.batches()?.len() + 1;
        self.wait_for_batches(from + count).await?;
        let all = self.batches()?.into_iter().skip(from).take(count);
        Ok(all.fold(Answers::default(), Answers::add))
    }

    /// Waits for a batch that satisfies a condition.
    pub(crate) async fn until(&mut self, holds: impl Fn(&Answers) -> bool) -> Result<()> {
        let from = self.batches()?.len() + 1;
        let log = self.process.log().to_owned();
        let found = async || {
            let batches = read(&log).ok()?;
            batches.iter().skip(from).any(&holds).then_some(())
        };
        self.process.wait_for("a batch of calls", found).await
    }

    /// The batches with failed calls.
    pub(crate) fn failures(&self) -> Result<Vec<Answers>> {
        Ok(self.batches()?.into_iter().filter(|answers| answers.of("failed") > 0).collect())
    }

    async fn wait_for_batches(&mut self, number: usize) -> Result<()> {
        let log = self.process.log().to_owned();
        let enough = async || (read(&log).ok()?.len() >= number).then_some(());
        wait::until("calls", wait::WAIT_LIMIT, enough).await.context(self.process.log_tail())
    }

    fn batches(&self) -> Result<Vec<Answers>> {
        read(self.process.log())
    }
}

/// The batches in a log, without messages of gRPC and incomplete lines.
fn read(log: &Path) -> Result<Vec<Answers>> {
    let text = std::fs::read_to_string(log)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let batches = whole.lines().filter(|line| line.starts_with('{'));
    batches.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}
