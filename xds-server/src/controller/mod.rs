//! The controller, the only writer of the journal. It passes commands and evidence to the reducer and the judge, and
//! appends, publishes and shows their decisions, in that order.
//!
//! It runs on its own thread, because an append blocks on the disk.

mod decision_log;
mod engine;
mod handle;
mod observe;
mod publishable;
mod query_samples;
mod reads;
mod rollback_times;
mod sample_ratio;
mod stable_histories;
mod start;
mod step_windows;
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
pub use self::handle::{CommandError, Configuration, DeliveryView, Handle, MAX_PAGE, Origin};
pub(crate) use self::publishable::{Decided, NextMesh, decide};
pub use self::query_samples::QuerySamples;
use self::reads::Reads;
pub use self::rollback_times::RollbackTimes;
pub use self::stable_histories::StableHistories;
use crate::clock::Clock;
use crate::journal::{Journal, JournalError};
use crate::telemetry::Telemetry;
use crate::telemetry::splits::SidecarSplits;
use tidegate_delivery::judge::Evidence;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::history::StableCounts;
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::model::configuration::Version;
use tidegate_delivery::model::freeze::FreezeWindow;
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_xds::mesh::Mesh;

/// Length of the queue of requests; beyond it a request fails with [`CommandError::Busy`].
const QUEUE: usize = 256;
/// Records buffered for a slow subscriber; beyond it the subscriber reads the journal.
const BACKLOG: usize = 256;

/// Publication of resources, and their acknowledgement by sidecars.
pub trait Sidecars: Send {
    /// Publishes the resources of a state. Returns the serial of the publication that contains them.
    fn publish(&mut self, mesh: &Mesh, state: &State) -> u64;

    /// The sidecars of a service that have acknowledged a serial.
    fn convergence(&self, serial: u64, service: &ServiceName) -> Convergence;

    /// Time since the last report gap of the service's sidecars; zero during one.
    fn time_since_gap(&self, service: &ServiceName) -> Duration;
}

/// Evidence for the judge.
pub trait EvidenceSource: Send {
    /// Counts of a version since the release started, or since this process started.
    fn evidence(
        &self,
        release: &ReleaseId,
        service: &ServiceName,
        version: &VersionName,
        guardrails: &Guardrails,
    ) -> Evidence;

    /// The same counts of now, by limits that are known later.
    fn recount(&self, release: &ReleaseId, service: &ServiceName, version: &VersionName)
    -> Recount;

    /// The requests of a running release by sidecar, since it started, or since this process started.
    fn splits(&self, _release: &ReleaseId, _service: &ServiceName) -> SidecarSplits {
        SidecarSplits::new()
    }

    /// Counts of a version of a service since this process started; none without requests.
    fn of_version(
        &self,
        _service: &ServiceName,
        _version: &VersionName,
        _guardrails: &Guardrails,
    ) -> Option<Evidence> {
        None
    }

    /// Counts of a service's stable version since this process started.
    fn of_stable(&self, service: &ServiceName, stable: &VersionName) -> StableCounts;
}

/// Raw counts, which are evidence once the limits are known.
pub type Recount = Box<dyn Fn(&Guardrails) -> Evidence + Send>;

impl EvidenceSource for Arc<Telemetry> {
    fn evidence(
        &self,
        release: &ReleaseId,
        service: &ServiceName,
        version: &VersionName,
        guardrails: &Guardrails,
    ) -> Evidence {
        Telemetry::evidence(self, release, service, version, guardrails)
    }

    fn recount(
        &self,
        release: &ReleaseId,
        service: &ServiceName,
        version: &VersionName,
    ) -> Recount {
        let counted = Telemetry::counts(self, release, service, version);
        Box::new(move |guardrails| match &counted {
            Some((counts, usual)) => counts.evidence(guardrails, usual),
            None => Evidence::default(),
        })
    }

    fn splits(&self, release: &ReleaseId, service: &ServiceName) -> SidecarSplits {
        Telemetry::splits(self, release, service)
    }

    fn of_version(
        &self,
        service: &ServiceName,
        version: &VersionName,
        guardrails: &Guardrails,
    ) -> Option<Evidence> {
        Telemetry::of_version(self, service, version, guardrails)
    }

    fn of_stable(&self, service: &ServiceName, stable: &VersionName) -> StableCounts {
        Telemetry::of_stable(self, service, stable)
    }
}

/// Components and configuration of a controller.
pub struct Parts {
    /// Storage of the decisions.
    pub journal: Box<dyn Journal>,
    /// Destination of publications.
    pub sidecars: Box<dyn Sidecars>,
    /// Source of evidence.
    pub evidence_source: Box<dyn EvidenceSource>,
    /// Journal time and wall time.
    pub clock: Clock,
    /// Hash and source of the configuration.
    pub version: Version,
    /// The configuration's mesh. The fleets of the journal stay in force if the configuration is refused.
    pub mesh: Mesh,
    /// The configuration's services.
    pub services: Vec<ServiceSpec>,
    /// The configuration's freeze windows.
    pub freeze_windows: Vec<FreezeWindow>,
    /// The configuration's flags, applied only while the journal has none.
    pub flags: Option<serde_json::Value>,
    /// Notified of new evidence, and of changes of acknowledgements.
    pub wake: Arc<Notify>,
    /// Receives the times of rollbacks.
    pub rollback_times: RollbackTimes,
}

/// The controller cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal cannot be read or folded.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The configuration was rejected, or cannot be appended to the journal.
    #[error("the configuration cannot be applied: {0}")]
    Configuration(#[source] CommandError),
    /// The operating system did not start the thread.
    #[error("cannot start the controller's thread: {0}")]
    Thread(#[from] io::Error),
}

/// Replays the journal, applies the configuration, publishes the resources, and starts the controller's thread.
///
/// # Errors
/// If the journal cannot be replayed, or the configuration is rejected. Nothing runs then.
pub fn spawn(parts: Parts) -> Result<Handle, StartError> {
    let wake = Arc::clone(&parts.wake);
    let (records, _) = broadcast::channel(BACKLOG);
    let (view, shown) = watch::channel(Arc::default());
    let (requests, queue) = mpsc::channel(QUEUE);
    let engine = Engine::start(parts, view, records.clone())?;
    let reads = Reads::new(&*engine.journal)?;
    let histories = engine.shared_histories.clone();
    let queries = engine.query_samples.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    std::thread::Builder::new()
        .name("controller".to_owned())
        .spawn(move || runtime.block_on(writer::run(engine, queue, wake)))?;
    Ok(Handle::new(requests, shown, records, reads, histories, queries))
}
