//! Counts answers of the whole fleet, and knows when the last one was given.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// How long a fleet may take for one thing. It only decides when a failed run ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// One round: as many answers as there are sidecars.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    round: AtomicU64,
    left: AtomicUsize,
    last: Mutex<Option<Instant>>,
    closed: Notify,
}

impl Gate {
    /// Begins a round of so many answers.
    pub(crate) fn arm(&self, answers: usize) {
        *self.last.lock() = None;
        self.left.store(answers, Ordering::SeqCst);
        self.round.fetch_add(1, Ordering::SeqCst);
    }

    /// Notes an answer of somebody who `answered` that round last. A second one in a round does not count.
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

    /// When the last answer of the round was given.
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
            Err(_) => bail!("{} sidecars never answered", self.left.load(Ordering::SeqCst)),
        }
    }
}
