//! Delivers notifications. The journal is the queue: each receiver has a task that reads it at its own pace and keeps
//! its position, so a receiver that is down delays no other, and after a restart each continues where it stopped.
//! Delivery is at least once, with an idempotency key.
//!
//! The position is a file beside the journal: a delivery is not a decision.

mod delivery_state;
mod delivery_task;
pub mod stats;
mod suppression;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use self::delivery_state::{DeliveryState, DeliveryStateFile};
use self::delivery_task::DeliveryTask;
use self::stats::DeliveryStats;
use super::backoff::Backoff;
use super::keyed_tasks::KeyedTasks;
use super::supervisor::{Supervisor, Task};
use super::webhook::WebhookClient;
use crate::clock::Clock;
use crate::config::Receiver;
use crate::controller::Handle;

/// Directory of the delivery states, in the data directory.
const DIRECTORY: &str = "notifications";

/// What the delivery tasks need.
#[derive(Clone)]
pub struct Notifier {
    /// The source of records and of the view.
    pub controller: Handle,
    /// The HTTP client.
    pub webhooks: WebhookClient,
    /// The clock that dates notifications.
    pub clock: Clock,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// The data directory of the journal.
    pub data_dir: PathBuf,
    /// Counters.
    pub stats: Arc<DeliveryStats>,
    /// Restarts the tasks.
    pub supervisor: Supervisor,
}

/// Sets the position of receivers without one to the newest record. Call it before the controller starts: records that
/// are appended before a crash are then delivered after the restart.
///
/// # Errors
/// If a position cannot be read or written.
pub fn initialize(data_dir: &Path, receivers: &[Receiver], newest: u64) -> io::Result<()> {
    for receiver in receivers {
        let file = DeliveryStateFile::new(&data_dir.join(DIRECTORY), &receiver.name);
        if file.read()?.is_none() {
            file.write(&DeliveryState { seq: newest, ..DeliveryState::default() })?;
        }
    }
    Ok(())
}

impl Notifier {
    /// Delivers to the configured receivers until the controller stops. A receiver whose configuration changes
    /// continues at its position.
    pub async fn run(self, receivers: watch::Receiver<Vec<Receiver>>) {
        let start = || self.clone().deliver_to_all(receivers.clone());
        self.supervisor.run_until_stopped(Task::Notifications, &self.controller, start).await;
    }

    async fn deliver_to_all(self, mut receivers: watch::Receiver<Vec<Receiver>>) {
        let mut view = self.controller.view();
        let (stats, supervisor) = (Arc::clone(&self.stats), self.supervisor.clone());
        let deliver = move |_, receiver| DeliveryTask::new(&self, receiver).run();
        let mut tasks = KeyedTasks::new(Task::Notifications, supervisor, deliver);
        loop {
            let configured = receivers.borrow_and_update().clone();
            stats.retain(&configured);
            tasks.update(configured.into_iter().map(|it| (it.name.clone(), it)).collect());
            tokio::select! {
                Ok(()) = receivers.changed() => {}
                () = async { while view.changed().await.is_ok() {} } => return,
            }
        }
    }

    fn directory(&self) -> PathBuf {
        self.data_dir.join(DIRECTORY)
    }
}
