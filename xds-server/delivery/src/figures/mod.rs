//! The DORA metrics (dora.dev) of each service and day: deployment frequency, lead time, recovery time and change failure
//! rate. Their goals are the success criteria of ADR-005.
//!
//! [`Figures`] is a fold over the journal, beside the state: a report reads the sums, not the records. Definitions:
//!
//! - A **deployment** is a release whose candidate received traffic. It counts on the day of its first step above 0 %. A
//!   release that ended before that step is not a deployment.
//! - **Lead time** is the time from the commit to the step of 100 %, of completed releases with a commit time.
//! - A deployment **failed** if a guardrail paused it, or if a guardrail, a signal or an operator rolled it back, also after
//!   its completion and after later releases that were aborted. It counts once.
//! - **Recovery time** is the time from the failure to the rollback. The failure is dated by the oldest active alert; without
//!   one by the last step; after the completion by the completion. The result is an upper bound. The propagation to the
//!   sidecars, well under a second, is not included.

mod history;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::history::RollbackKind;
use self::history::{Deployment, History};
pub use self::report::{
    Bucket, DeliveryReport, Goals, ReportPeriod, ServiceReport, Slice, Spread, Summary,
};
use crate::model::event::Event;
use crate::model::release::RollbackCause;
use crate::names::{ReleaseId, ServiceName};
use crate::units::Timestamp;

/// The figures of all services up to one record of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// The time of the first record: reports begin on its day.
    since: Option<Timestamp>,
    /// Shared with earlier versions of the figures, so that a clone is cheap.
    services: BTreeMap<ServiceName, Arc<History>>,
}

impl Figures {
    /// Folds one event, recorded at the given time.
    pub fn take(&mut self, at: Timestamp, event: &Event) {
        self.since.get_or_insert(at);
        match event {
            Event::ReleaseStarted { id, service, commit, .. } => {
                let history = self.services.entry(service.clone()).or_default();
                let committed_at = commit.as_ref().and_then(|commit| commit.at);
                Arc::make_mut(history).deployment = Some(Deployment::new(id.clone(), committed_at));
            }
            Event::StepEntered { id, weight, .. } => {
                self.change(id, |history| history.enter(at, *weight));
            }
            Event::AlertRaised { id, finding } => self.change(id, |history| {
                if let Some(deployment) = &mut history.deployment {
                    deployment.alerts.entry(finding.guardrail.clone()).or_insert(at);
                }
            }),
            Event::AlertCleared { id, guardrail } => self.change(id, |history| {
                if let Some(deployment) = &mut history.deployment {
                    deployment.alerts.remove(guardrail);
                }
            }),
            Event::PausedByGuardrail { id, finding } => self.change(id, |history| {
                if let Some(deployment) = &mut history.deployment {
                    deployment.alerts.entry(finding.guardrail.clone()).or_insert(at);
                }
                history.fail();
            }),
            Event::Completed { id, .. } => self.change(id, |history| history.complete(at)),
            Event::RolledBack { id, cause, .. } => {
                self.count_rollback(id.service(), cause);
                self.change(id, |history| history.roll_back(at));
            }
            Event::StableRestored { service, cause, .. } => {
                self.count_rollback(service.as_str(), cause);
                if let Some(history) = self.services.get_mut(service) {
                    Arc::make_mut(history).restore(at);
                }
            }
            _ => {}
        }
    }

    /// Rollbacks of a service by cause, over the whole journal. Releases that received no traffic count as well.
    pub fn rollbacks(&self, service: &str) -> impl Iterator<Item = (RollbackKind, u64)> {
        let history = self.services.get(service);
        history.into_iter().flat_map(|it| it.rollbacks.iter().map(|(kind, count)| (*kind, *count)))
    }

    fn count_rollback(&mut self, service: &str, cause: &RollbackCause) {
        if let Some(history) = self.services.get_mut(service) {
            let count = Arc::make_mut(history).rollbacks.entry(cause.into()).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Changes the history of a release's service, if the release is the newest one.
    fn change(&mut self, id: &ReleaseId, change: impl FnOnce(&mut History)) {
        let service = Some(id.service());
        let Some(history) = service.and_then(|service| self.services.get_mut(service)) else {
            return;
        };
        if history.deployment.as_ref().is_some_and(|it| it.id == *id) {
            change(Arc::make_mut(history));
        }
    }
}

#[cfg(test)]
mod tests;
