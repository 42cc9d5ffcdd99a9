//! How delivery goes: deployment frequency, lead time, recovery time and change failure rate, of
//! each service and day. A pure fold over the journal, so that nothing can be said of it that the
//! journal does not say. Kept as it goes: nobody reads a million records for a report.
//!
//! The four are DORA's (dora.dev), and their goals the success criteria of ADR-005. What they mean here:
//!
//! - A **deployment** is a release whose candidate got traffic: its first step above 0 %. It counts
//!   on the day of that step. A release that ended before it, by a failed smoke test or otherwise,
//!   reached nobody and is none.
//! - **Lead time** goes from the commit that the release was started with to the step of 100 %. Only
//!   of releases that were completed, and only if they named the time of their commit.
//! - A deployment **failed** if it went back: by a guardrail, a signal or an operator, and also
//!   after it was complete. DORA counts what needed immediate intervention; here nothing else
//!   leaves a trace.
//! - **Recovery time** goes to the moment a failed deployment went back. It begins with the oldest
//!   alert that stood then; without one, with the last step, because the one before it was found
//!   well; after a completed release, with its completion, though the failure may be younger. So
//!   it is rather too long than too short. The push to the sidecars, well under a second, is not in it.

mod history;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::history::RollbackKind;
use self::history::{Flight, History};
pub use self::report::{
    Bucket, DeliveryReport, Goals, ReportPeriod, ServiceReport, Slice, Spread, Summary,
};
use crate::model::event::Event;
use crate::model::release::RollbackCause;
use crate::names::{ReleaseId, ServiceName};
use crate::units::Timestamp;

/// What the journal says of how delivery went, up to one record.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// When the journal begins: before that there are no days to count.
    since: Option<Timestamp>,
    /// Shared with whoever reads an earlier state of it.
    services: BTreeMap<ServiceName, Arc<History>>,
}

impl Figures {
    /// Takes in what happened `at` that time.
    pub fn take(&mut self, at: Timestamp, event: &Event) {
        self.since.get_or_insert(at);
        match event {
            Event::ReleaseStarted { id, service, commit, .. } => {
                let history = self.services.entry(service.clone()).or_default();
                let committed_at = commit.as_ref().and_then(|commit| commit.at);
                Arc::make_mut(history).flight = Some(Flight::new(id.clone(), committed_at));
            }
            Event::StepEntered { id, weight, .. } => {
                self.change(id, |history| history.enter(at, *weight));
            }
            Event::AlertRaised { id, finding } => self.change(id, |history| {
                if let Some(flight) = &mut history.flight {
                    flight.alerts.entry(finding.guardrail.clone()).or_insert(at);
                }
            }),
            Event::AlertCleared { id, guardrail } => self.change(id, |history| {
                if let Some(flight) = &mut history.flight {
                    flight.alerts.remove(guardrail);
                }
            }),
            Event::Completed { id, .. } => self.change(id, |history| history.complete(at)),
            Event::RolledBack { id, cause } => {
                self.count_rollback(id.service(), cause);
                self.change(id, |history| history.go_back(at));
            }
            Event::StableRestored { service, cause, .. } => {
                self.count_rollback(service.as_str(), cause);
                if let Some(history) = self.services.get_mut(service) {
                    Arc::make_mut(history).go_back(at);
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

    /// Changes the history of a release's service, if that release is its newest.
    fn change(&mut self, id: &ReleaseId, change: impl FnOnce(&mut History)) {
        let service = Some(id.service());
        let Some(history) = service.and_then(|service| self.services.get_mut(service)) else {
            return;
        };
        if history.flight.as_ref().is_some_and(|flight| flight.id == *id) {
            change(Arc::make_mut(history));
        }
    }
}

#[cfg(test)]
mod tests;
