//! When reports of a fleet arrived, and whether they were interrupted.

use std::time::Duration;

use super::instance::Instance;
use tidegate_delivery::units::Timestamp;

/// Time in which filters report again after an interruption of all reports: their longest delay between attempts, twice.
const RECONNECTION: Duration = Duration::from_secs(10);

/// When reports of a fleet arrived.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Coverage {
    /// The end of the last time without any report.
    since: Timestamp,
    last: Timestamp,
    /// When a next report of any instance is overdue.
    due: Timestamp,
}

impl Coverage {
    pub(super) fn record(&mut self, now: Timestamp, due: Timestamp) {
        if self.due < now {
            self.since = now;
        }
        self.last = now;
        self.due = self.due.max(due);
    }

    pub(super) fn time_since_gap(&self, now: Timestamp) -> Duration {
        if self.due < now { Duration::ZERO } else { now.since(self.since) }
    }

    /// Whether other instances have reported since this one was due, without an interruption, or long enough after it.
    pub(super) fn went_on(&self, instance: &Instance, now: Timestamp) -> bool {
        let interrupted = self.since > instance.last;
        self.last >= instance.due && (!interrupted || now.since(self.since) >= RECONNECTION)
    }
}
