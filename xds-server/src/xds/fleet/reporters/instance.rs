//! One instance of the filter, as its reports show it.

use std::time::Duration;

use crate::auth::peer::ConnectionRef;
use tidegate_delivery::units::Timestamp;

/// Instances of a sidecar whose first reports are closer than this began together, when Envoy loaded the module on all its
/// threads.
const GENERATION: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) config_version: String,
    pub(super) connection: ConnectionRef,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// The time after which it no longer counts.
    pub(super) due: Timestamp,
    pub(super) is_overdue: bool,
    pub(super) is_silent: bool,
    /// It stands for an instance that has ended. Each new instance replaces one.
    pub(super) has_replaced: bool,
}

impl Instance {
    pub(super) fn new(
        config_version: &str,
        connection: ConnectionRef,
        now: Timestamp,
        due: Timestamp,
    ) -> Self {
        Self {
            config_version: config_version.to_owned(),
            connection,
            first: now,
            last: now,
            due,
            is_overdue: false,
            is_silent: false,
            has_replaced: false,
        }
    }

    /// Records a report. Returns true if anything but its time has changed.
    pub(super) fn record(
        &mut self,
        config_version: &str,
        connection: ConnectionRef,
        now: Timestamp,
        due: Timestamp,
    ) -> bool {
        (self.last, self.due, self.connection) = (now, due, connection);
        let was_counted = !std::mem::replace(&mut self.is_overdue, false);
        self.is_silent = false;
        if self.config_version == config_version {
            return !was_counted;
        }
        config_version.clone_into(&mut self.config_version);
        true
    }
}

/// The generations after that of one instance.
pub(super) struct Generation {
    begins: Timestamp,
}

impl Generation {
    pub(super) fn after(instance: &Instance) -> Self {
        Self { begins: instance.first.after(GENERATION) }
    }

    /// Whether an instance belongs to them, reports, and has replaced no other.
    pub(super) fn can_replace(&self, other: &Instance) -> bool {
        other.first >= self.begins && !other.is_overdue && !other.has_replaced
    }
}
