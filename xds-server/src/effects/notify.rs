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

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use self::cursor::{Cursor, CursorFile};
use self::receiver::Teller;
use self::stats::Stats;
use super::changes::{gone, next};
use super::outbound::Outbound;
use super::pace::Pace;
use crate::clock::Clock;
use crate::config::Receiver;
use crate::controller::Handle;
use tidegate_delivery::names::ReceiverName;

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

/// Notes that these receivers are told of what comes after a record, those that are new. To be done
/// before anything is decided: what a server decides before it dies is theirs to know as well.
///
/// # Errors
/// When it cannot be written down.
pub fn begin(data_dir: &Path, receivers: &[Receiver], newest: u64) -> io::Result<()> {
    for receiver in receivers {
        let file = CursorFile::new(&data_dir.join(DIRECTORY), &receiver.name);
        if file.read()?.is_none() {
            file.write(&Cursor { seq: newest, ..Cursor::default() })?;
        }
    }
    Ok(())
}

impl Notifier {
    /// Tells these receivers until the controller stops. One that changed goes on where it was.
    pub async fn run(self, mut receivers: watch::Receiver<Vec<Receiver>>) {
        let mut view = self.controller.view();
        // Dropping a set aborts what is in it.
        let mut told: BTreeMap<ReceiverName, (Receiver, JoinSet<()>)> = BTreeMap::new();
        loop {
            let wanted = receivers.borrow_and_update().clone();
            self.stats.keep(&wanted);
            told.retain(|_, (receiver, _)| wanted.contains(receiver));
            for receiver in wanted {
                told.entry(receiver.name.clone()).or_insert_with(|| {
                    let mut task = JoinSet::new();
                    task.spawn(Teller::new(&self, receiver.clone()).run());
                    (receiver, task)
                });
            }
            tokio::select! {
                () = next(&mut receivers) => {}
                () = gone(&mut view) => return,
            }
        }
    }

    fn directory(&self) -> PathBuf {
        Path::new(&self.data_dir).join(DIRECTORY)
    }
}
