//! Counts the ACKs of the whole fleet in rounds, and records when the last of a round was sent.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Time limit of a round, after which the run fails.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// One round: as many ACKs as there are sidecars.
#[derive(Debug, Default)]
pub(crate) struct AckRounds {
    round: AtomicU64,
    left: AtomicUsize,
    last: Mutex<Option<Instant>>,
    completed: Notify,
}

impl AckRounds {
    /// Starts a round of `acks` ACKs.
    pub(crate) fn start(&self, acks: usize) {
        *self.last.lock() = None;
        self.left.store(acks, Ordering::SeqCst);
        self.round.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts an ACK of a sidecar, once in each round: `acked` is the last round in which it was counted.
    pub(crate) fn ack(&self, acked: &mut u64) {
        let round = self.round.load(Ordering::SeqCst);
        if std::mem::replace(acked, round) == round {
            return;
        }
        let take = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) == Ok(1) {
            *self.last.lock() = Some(Instant::now());
            self.completed.notify_one();
        }
    }

    /// Waits for the last ACK of the round, and returns its time.
    pub(crate) async fn last(&self) -> Result<Instant> {
        let wait = async {
            loop {
                if let Some(at) = *self.last.lock() {
                    return at;
                }
                self.completed.notified().await;
            }
        };
        match tokio::time::timeout(WAIT_LIMIT, wait).await {
            Ok(at) => Ok(at),
            Err(_) => bail!(
                "{} sidecars sent no ACK within the time limit",
                self.left.load(Ordering::SeqCst)
            ),
        }
    }
}
