//! Counts the ACKs of the whole fleet in rounds, and records when the last of a round was sent.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Time limit of a round, after which the run fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// One round: as many ACKs as there are sidecars.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    round: AtomicU64,
    left: AtomicUsize,
    last: Mutex<Option<Instant>>,
    closed: Notify,
}

impl Gate {
    /// Begins a round of so many ACKs.
    pub(crate) fn arm(&self, answers: usize) {
        *self.last.lock() = None;
        self.left.store(answers, Ordering::SeqCst);
        self.round.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts an ACK of a sidecar, once in each round: `answered` is the last round in which it was counted.
    pub(crate) fn answer(&self, answered: &mut u64) {
        let round = self.round.load(Ordering::SeqCst);
        if std::mem::replace(answered, round) == round {
            return;
        }
        let take = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) == Ok(1) {
            *self.last.lock() = Some(Instant::now());
            self.closed.notify_one();
        }
    }

    /// Waits for the last ACK of the round, and returns its time.
    pub(crate) async fn last(&self) -> Result<Instant> {
        let wait = async {
            loop {
                if let Some(at) = *self.last.lock() {
                    return at;
                }
                self.closed.notified().await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(at) => Ok(at),
            Err(_) => bail!("{} sidecars did not answer in time", self.left.load(Ordering::SeqCst)),
        }
    }
}
