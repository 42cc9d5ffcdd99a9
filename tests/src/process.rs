//! A child process that cannot be forgotten: its output goes to a file, its death is noticed, and it dies with us.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::{wait, watchdog};

/// How much of a log an error shows.
const TAIL_LINES: usize = 40;

/// A running child and everything it starts in turn. Dropping it kills them all.
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
    /// If the log cannot be opened or the program not be started.
    pub fn spawn(name: &str, mut command: Command, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("cannot write {}", log.display()))?;
        // A group of its own: a signal reaches all of it, and a terminal's Ctrl-C reaches us alone, who clean up.
        command.process_group(0).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let process = Self { name: name.to_owned(), child, log };
        watchdog::watch(process.id())?;
        Ok(process)
    }

    /// Its process id, which is its group's too.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends a signal to it and all it started: `SIGSTOP` to make it hang, `SIGCONT` to let it go on.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let group = Pid::from_raw(self.id().cast_signed());
        killpg(group, signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot ask after {}", self.name))
    }

    /// Kills it with -9, and returns when it is gone.
    ///
    /// # Errors
    /// If it was gone already, which a test that kills it surely wants to know.
    pub fn kill9(mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} had ended already: {status}\n{}", self.name, self.log_tail());
        }
        self.signal(Signal::SIGKILL)
    }

    /// Asks it to end, and returns how it did.
    ///
    /// # Errors
    /// If it does not within `patience`.
    pub async fn terminate(mut self, patience: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait_for_end(patience).await
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If it does not within `patience`.
    pub async fn wait_for_end(&mut self, patience: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let ended = wait::until(&what, patience, async || self.ended().transpose()).await;
        ended.map_err(|error| self.explain(error))?
    }

    /// Asks until there is an answer, which this process is to bring about; its end ends the wait.
    ///
    /// # Errors
    /// If it ends, or there is no answer in time; the error shows the end of its log.
    pub async fn wait_for<T>(
        &mut self,
        what: &str,
        mut ask: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T> {
        let waited = wait::until(what, wait::PATIENCE, async || {
            // In this order: what it did before it ended counts.
            let ended = self.ended();
            match (ask().await, ended) {
                (Some(answer), _) => Some(Ok(answer)),
                (None, Ok(None)) => None,
                (None, Ok(Some(status))) => Some(Err(anyhow!("it ended ({status}) before {what}"))),
                (None, Err(error)) => Some(Err(error)),
            }
        });
        waited.await.flatten().map_err(|error| self.explain(error))
    }

    /// Waits for a line that contains `text`, and returns it.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub async fn wait_for_line(&mut self, text: &str) -> Result<String> {
        let log = self.log.clone();
        let line = async || Some(read(&log).lines().find(|line| line.contains(text))?.to_owned());
        self.wait_for(&format!("a line with {text:?}"), line).await
    }

    /// The end of its output.
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

/// A log that cannot be read yet has nothing to show, and one may hold half a character.
fn read(log: &Path) -> String {
    fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

impl Drop for Process {
    fn drop(&mut self) {
        // Each step may find that there is nothing left to do. The group goes even if its leader has ended already: what
        // the leader had started may still run. Only then is the leader's number given up.
        let _ = self.signal(Signal::SIGKILL);
        let _ = watchdog::forget(self.id());
        let _ = self.child.wait();
    }
}
