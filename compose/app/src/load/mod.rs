//! An open-loop load generator: requests are sent on a fixed schedule, independent of the response time, and latency is
//! measured from the moment a request was due. A closed loop would slow down together with the system under test and
//! hide its stalls (coordinated omission).

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

/// A running load generator. Dropping it stops it and discards its counts.
#[derive(Debug)]
pub struct LoadGenerator {
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

impl LoadGenerator {
    /// Starts sending requests, until [`stop`](Self::stop).
    ///
    /// # Errors
    /// If the configuration is invalid.
    pub fn start(config: &LoadConfig) -> Result<Self, ConfigError> {
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
        let scheduling = tokio::spawn(send_on_schedule(Arc::clone(&run), schedule));
        Ok(Self { run, scheduling })
    }

    /// The counts so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.run.stats.lock().snapshot(self.run.sent.load(Ordering::Relaxed))
    }

    /// The stored failures from index `seen` on. Only the first 10 000 are stored.
    #[must_use]
    pub fn failures_from(&self, seen: usize) -> Vec<Failure> {
        self.run.stats.lock().failures_from(seen)
    }

    /// Responses by user and version since the last call; empty unless [`LoadConfig::track_users`] is set.
    ///
    /// A request belongs to the interval in which it was due: a request that was due before a weight change never counts
    /// as one after it.
    #[must_use]
    pub fn take_users(&self) -> HashMap<u64, HashMap<String, u64>> {
        self.run.stats.lock().take_users(Instant::now())
    }

    /// Stops sending, waits for the outstanding responses (at most one request timeout), and returns the report.
    pub async fn stop(mut self) -> LoadReport {
        self.scheduling.abort();
        // The aborted task may still run on another thread. Slots may be taken only after it has ended.
        let _aborted = (&mut self.scheduling).await;
        // All slots are free once every request has been counted. The semaphore is never closed.
        let _all = self.run.slots.acquire_many(self.run.max_in_flight).await;
        let elapsed = self.run.started.elapsed();
        self.run.stats.lock().report(self.run.sent.load(Ordering::Relaxed), elapsed)
    }
}

impl Drop for LoadGenerator {
    fn drop(&mut self) {
        self.scheduling.abort();
    }
}

/// Sends each request when it is due. Without a free slot the request counts as failed instead of being sent late.
async fn send_on_schedule(run: Arc<Run>, mut schedule: Schedule) -> Infallible {
    loop {
        let scheduled = schedule.next_request();
        let due = run.started + scheduled.due;
        tokio::time::sleep_until(due).await;
        run.sent.fetch_add(1, Ordering::Relaxed);
        let Ok(slot) = Arc::clone(&run.slots).try_acquire_owned() else {
            run.stats.lock().record(
                &scheduled,
                due,
                Instant::now(),
                Err(stats::RequestError::NotSent),
            );
            continue;
        };
        let run = Arc::clone(&run);
        tokio::spawn(async move {
            let result = run.sender.send(&scheduled).await;
            run.stats.lock().record(&scheduled, due, Instant::now(), result);
            drop(slot);
        });
    }
}

#[cfg(test)]
mod tests;
