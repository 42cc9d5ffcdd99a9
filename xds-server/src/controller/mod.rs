//! The one writer: takes commands and what the sidecars report, lets the pure parts decide, and
//! appends, publishes and shows what was decided, in that order.
//!
//! It has a thread of its own, because an append waits for the disk and nobody else should.

mod engine;
mod handle;
mod log;
mod observe;
mod reads;
mod start;
mod view;
mod writer;

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, broadcast, mpsc, watch};

pub use self::engine::Engine;
pub use self::handle::{CommandError, Configuration, Handle, MAX_PAGE, Origin};
use self::reads::Reads;
pub use self::view::View;
use crate::clock::Clock;
use crate::journal::{Journal, JournalError};
use crate::telemetry::Telemetry;
use tidegate_delivery::judge::Evidence;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::model::configuration::Version;
use tidegate_delivery::model::freeze::FreezeWindow;
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::Timestamp;
use tidegate_xds::mesh::Mesh;

/// Requests that may wait for the controller; beyond it the answer is [`CommandError::Busy`].
const QUEUE: usize = 256;
/// Records that a slow subscriber may be behind before it has to read the journal instead.
const BACKLOG: usize = 256;

/// The sidecars, as the controller needs them.
pub trait Sidecars: Send {
    /// Publishes the resources of a state. Returns the serial that a sidecar has reached once it has them.
    fn publish(&mut self, mesh: &Mesh, state: &State) -> u64;

    /// How many of them have what had that serial.
    fn convergence(&self, serial: u64) -> Convergence;
}

/// What the sidecars counted.
pub trait Counts: Send {
    /// What a version did since a release began, or since this process did.
    fn evidence(
        &self,
        release: &ReleaseId,
        service: &ServiceName,
        version: &VersionName,
        guardrails: &Guardrails,
    ) -> Evidence;

    /// How long the sidecars have been heard without a silence.
    fn unbroken(&self, now: Timestamp) -> Duration;
}

/// The reports of this process are the evidence.
impl Counts for Arc<Telemetry> {
    fn evidence(
        &self,
        release: &ReleaseId,
        service: &ServiceName,
        version: &VersionName,
        guardrails: &Guardrails,
    ) -> Evidence {
        Telemetry::evidence(self, release, service, version, guardrails)
    }

    fn unbroken(&self, now: Timestamp) -> Duration {
        Telemetry::unbroken(self, now)
    }
}

/// What the controller is made of.
pub struct Parts {
    /// The truth.
    pub journal: Box<dyn Journal>,
    /// Where decisions go.
    pub sidecars: Box<dyn Sidecars>,
    /// Where evidence comes from.
    pub counts: Box<dyn Counts>,
    /// The time.
    pub clock: Clock,
    /// Which configuration it is.
    pub version: Version,
    /// The configuration's fleets and listeners.
    pub mesh: Mesh,
    /// The configuration's services.
    pub services: Vec<ServiceSpec>,
    /// The configuration's times in which nothing goes forward.
    pub freeze_windows: Vec<FreezeWindow>,
    /// The configuration's flags: taken while there are no others.
    pub flags: Option<serde_json::Value>,
    /// Notified when there are new counts, or sidecars that acknowledged something.
    pub wake: Arc<Notify>,
}

/// Why the controller cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal cannot be read, or holds what cannot have happened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The configuration does not go with what runs, or cannot be written to the journal.
    #[error("the configuration cannot be applied: {0}")]
    Configuration(#[source] CommandError),
    /// No thread.
    #[error("cannot start the controller's thread: {0}")]
    Thread(#[from] io::Error),
}

/// Replays the journal, applies the configuration, publishes what follows, and begins.
///
/// # Errors
/// When the journal or the configuration does not allow it. Nothing runs then.
pub fn spawn(parts: Parts) -> Result<Handle, StartError> {
    let wake = Arc::clone(&parts.wake);
    let (records, _) = broadcast::channel(BACKLOG);
    let (view, shown) = watch::channel(Arc::default());
    let (requests, queue) = mpsc::channel(QUEUE);
    let engine = Engine::start(parts, view, records.clone())?;
    let reads = Reads::new(&*engine.journal)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    std::thread::Builder::new()
        .name("controller".to_owned())
        .spawn(move || runtime.block_on(writer::run(engine, queue, wake)))?;
    Ok(Handle::new(requests, shown, records, reads))
}
