//! Notifications: who wants to know is told what was decided, from the journal. The journal is the
//! queue: each receiver reads it at its own pace and remembers how far it came, so that a dead one
//! blocks nobody, and after a restart is told what it missed. At least once, with a key.
//!
//! How far it came is a file beside the journal, not a record in it: who was told is no decision.

mod cursor;
mod notice;
mod quiet;
mod receiver;
pub mod stats;
pub mod template;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;

use self::receiver::Teller;
use self::stats::Stats;
use super::outbound::Outbound;
use super::pace::Pace;
use crate::clock::Clock;
use crate::config::Receiver;
use crate::controller::Handle;

/// Beside the journal: how far each receiver came.
const DIRECTORY: &str = "notifications";

/// What notifications are made of.
#[derive(Clone)]
pub struct Notifier {
    /// Who decides.
    pub controller: Handle,
    /// The way out.
    pub outbound: Outbound,
    /// The time.
    pub clock: Clock,
    /// How long to wait before another attempt.
    pub pace: Pace,
    /// The journal's directory.
    pub data_dir: PathBuf,
    /// What is counted.
    pub stats: Arc<Stats>,
}

impl Notifier {
    /// Tells these receivers until the controller stops.
    pub async fn run(self, receivers: Vec<Receiver>) {
        let tellers = receivers.into_iter().map(|receiver| Teller::new(&self, receiver).run());
        join_all(tellers).await;
    }

    fn directory(&self) -> PathBuf {
        Path::new(&self.data_dir).join(DIRECTORY)
    }
}
