//! An open-loop load: requests leave on the clock, however slow the answers are, and latency counts from the moment a
//! request was due. A generator that waits for answers slows down with the thing it measures and hides the very
//! stalls one looks for.

mod client;
mod config;
mod report;
mod schedule;
mod stats;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::config::{ConfigError, LoadConfig};
pub use self::report::{Failure, LoadReport, Snapshot, VersionReport, VersionSnapshot};

use self::client::Sender;
use self::schedule::Schedule;
use self::stats::Stats;

/// How a load is started: [`Load::start`].
#[derive(Debug)]
pub struct Load;

/// A running load. Dropping it stops it and forgets what it counted.
#[derive(Debug)]
pub struct LoadHandle {
    run: Arc<Run>,
    scheduling: JoinHandle<Infallible>,
}

#[derive(Debug)]
struct Run {
    started: Instant,
    sent: AtomicU64,
    slots: Arc<Semaphore>,
    max_in_flight: u32,
    stats: Mutex<Stats>,
    sender: Sender,
}

impl Load {
    /// Starts asking, at once and until stopped.
    ///
    /// # Errors
    /// If the configuration cannot be turned into requests.
    pub fn start(config: &LoadConfig) -> Result<LoadHandle, ConfigError> {
        let sender = Sender::new(config)?;
        let schedule = Schedule::new(config.rate, config.targets.len(), config.users)?;
        let run = Arc::new(Run {
            started: Instant::now(),
            sent: AtomicU64::new(0),
            slots: Arc::new(Semaphore::new(config.max_in_flight as usize)),
            max_in_flight: config.max_in_flight,
            stats: Mutex::new(Stats::new(config.track_users)),
            sender,
        });
        let scheduling = tokio::spawn(send_on_time(Arc::clone(&run), schedule));
        Ok(LoadHandle { run, scheduling })
    }
}

impl LoadHandle {
    /// What has been counted so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.run.stats.lock().snapshot(self.run.sent.load(Ordering::Relaxed))
    }

    /// The failures that are kept, from the `seen`-th on: for showing each of them once.
    #[must_use]
    pub fn failures_from(&self, seen: usize) -> Vec<Failure> {
        self.run.stats.lock().failures_from(seen)
    }

    /// Which versions answered each user since this was last called, and how often; empty unless users are tracked.
    ///
    /// A request counts by the time it was due, so that one sent before a weight changed never counts as after it.
    #[must_use]
    pub fn take_users(&self) -> HashMap<u64, HashMap<String, u64>> {
        self.run.stats.lock().take_users(Instant::now())
    }

    /// Sends no more, waits for the answers that are outstanding (at most one request's timeout), and reports.
    pub async fn stop(mut self) -> LoadReport {
        self.scheduling.abort();
        // It may be at work this moment, on another thread: only when it is gone may the slots be taken from it.
        let _aborted = (&mut self.scheduling).await;
        // When every slot is free again, every request has been counted. The semaphore is never closed.
        let _all = self.run.slots.acquire_many(self.run.max_in_flight).await;
        let took = self.run.started.elapsed();
        self.run.stats.lock().report(self.run.sent.load(Ordering::Relaxed), took)
    }
}

impl Drop for LoadHandle {
    fn drop(&mut self) {
        self.scheduling.abort();
    }
}

/// Sends each request when it is due. The only thing that can hold it up is the machine: a request that finds no free
/// slot is counted as failed rather than sent late.
async fn send_on_time(run: Arc<Run>, mut schedule: Schedule) -> Infallible {
    loop {
        let arrival = schedule.next_arrival();
        let due = run.started + arrival.due;
        tokio::time::sleep_until(due).await;
        run.sent.fetch_add(1, Ordering::Relaxed);
        let Ok(slot) = Arc::clone(&run.slots).try_acquire_owned() else {
            run.stats.lock().record(&arrival, due, Instant::now(), Err(stats::Cause::NotSent));
            continue;
        };
        let run = Arc::clone(&run);
        tokio::spawn(async move {
            let answer = run.sender.send(&arrival).await;
            run.stats.lock().record(&arrival, due, Instant::now(), answer);
            drop(slot);
        });
    }
}

#[cfg(test)]
mod tests;
