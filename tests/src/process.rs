//! Child processes: output to a file, detection of an unexpected end, and an end with the test process.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::{wait, watchdog};

/// Lines of a log in an error.
const TAIL_LINES: usize = 40;

/// A running child and its descendants. Dropping it kills all of them.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, with its output appended to `NAME.log` in `dir`.
    ///
    /// # Errors
    /// If the log cannot be opened or the program cannot be started.
    pub fn spawn(name: &str, mut command: Command, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("cannot write {}", log.display()))?;
        // Its own process group: signals reach its descendants, and Ctrl-C in a terminal reaches the test process only.
        command.process_group(0).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let process = Self { name: name.to_owned(), child, log };
        watchdog::register(process.id())?;
        Ok(process)
    }

    /// Id of the process and of its process group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// File of its output.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends a signal to its process group.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let group = Pid::from_raw(self.id().cast_signed());
        killpg(group, signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Its exit status, once it has ended.
    ///
    /// # Errors
    /// If the status cannot be read.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot read the exit status of {}", self.name))
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// If it had ended before.
    pub fn kill9(mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} had ended before: {status}\n{}", self.name, self.log_tail());
        }
        self.signal(Signal::SIGKILL)
    }

    /// Sends SIGTERM and returns its exit status.
    ///
    /// # Errors
    /// If it does not end within `limit`.
    pub async fn terminate(mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait_for_end(limit).await
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it does not end within `limit`.
    pub async fn wait_for_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let ended = wait::until(&what, limit, async || self.ended().transpose()).await;
        ended.map_err(|error| self.explain(error))?
    }

    /// Calls `poll` until it returns a value, or the process ends.
    ///
    /// # Errors
    /// If the process ends first, or after [`wait::WAIT_LIMIT`]. The error contains the end of its log.
    pub async fn wait_for<T>(
        &mut self,
        what: &str,
        mut poll: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T> {
        let waited = wait::until(what, wait::WAIT_LIMIT, async || {
            // The exit status first: output from before the end still counts.
            let ended = self.ended();
            match (poll().await, ended) {
                (Some(value), _) => Some(Ok(value)),
                (None, Ok(None)) => None,
                (None, Ok(Some(status))) => Some(Err(anyhow!("it ended ({status}) before {what}"))),
                (None, Err(error)) => Some(Err(error)),
            }
        });
        waited.await.flatten().map_err(|error| self.explain(error))
    }

    /// Waits for a line of output that contains `text`.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub async fn wait_for_line(&mut self, text: &str) -> Result<String> {
        let log = self.log.clone();
        let line = async || Some(read(&log).lines().find(|line| line.contains(text))?.to_owned());
        self.wait_for(&format!("a line with {text:?}"), line).await
    }

    /// The last lines of its output.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = read(&self.log);
        let lines: Vec<_> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default();
        format!("--- the end of {} ---\n{}", self.log.display(), tail.join("\n"))
    }

    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        anyhow!("{}: {error:#}\n{}", self.name, self.log_tail())
    }
}

/// Empty if the log cannot be read. It may end within a character.
fn read(log: &Path) -> String {
    fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

impl Drop for Process {
    fn drop(&mut self) {
        // Each step may fail because the process has ended. The group is killed even then, because descendants may run;
        // its number is released afterwards.
        let _ = self.signal(Signal::SIGKILL);
        let _ = watchdog::unregister(self.id());
        let _ = self.child.wait();
    }
}
