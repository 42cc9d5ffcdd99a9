//! One instance of the filter, as its reports show it.

use std::time::Duration;

use super::Reported;
use crate::auth::peer::ConnectionRef;
use crate::xds::fleet::ack_tracker::one_line;
use crate::xds::fleet::node;
use tidegate_delivery::model::progress::Nack;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::Kind;

/// Instances of a sidecar whose first reports are closer than this began together, when Envoy loaded the module on all its
/// threads.
const GENERATION: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) config_version: String,
    /// Why the configuration that it received last is not in force.
    pub(super) rejection: Option<Rejection>,
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
    pub(super) fn new(report: &Reported<'_>, now: Timestamp, due: Timestamp) -> Self {
        Self {
            config_version: report.config_version.to_owned(),
            rejection: Rejection::of(report, now),
            connection: report.connection.clone(),
            first: now,
            last: now,
            due,
            is_overdue: false,
            is_silent: false,
            has_replaced: false,
        }
    }

    /// Records a report. Returns true if anything but its time has changed.
    pub(super) fn record(&mut self, report: &Reported<'_>, now: Timestamp, due: Timestamp) -> bool {
        (self.last, self.due) = (now, due);
        self.connection = report.connection.clone();
        let was_counted = !std::mem::replace(&mut self.is_overdue, false);
        self.is_silent = false;
        let known = self.rejection.as_ref().map_or("", |it| &it.message);
        if self.config_version == report.config_version && known == report.config_error {
            return !was_counted;
        }
        report.config_version.clone_into(&mut self.config_version);
        self.rejection = Rejection::of(report, now);
        true
    }
}

/// The rejection of a configuration.
#[derive(Debug)]
pub(super) struct Rejection {
    message: String,
    at: Timestamp,
}

impl Rejection {
    fn of(report: &Reported<'_>, at: Timestamp) -> Option<Self> {
        let message = report.config_error.to_owned();
        (!message.is_empty()).then_some(Self { message, at })
    }

    pub(super) fn nack_of(&self, node: &str) -> Nack {
        Nack {
            node: one_line(node),
            resource: Kind::Extension.label().to_owned(),
            message: one_line(&self.message),
        }
    }

    /// The report does not contain the version of the rejected configuration.
    pub(super) fn status(&self) -> node::Nack {
        node::Nack { version: String::new(), message: self.message.clone(), at: self.at }
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
