//! Rejected connections, streams and reports of the xDS port: counted by reason, and logged at a limited rate, because a
//! client can cause thousands of them a second.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tracing::warn;

/// Shortest time between two log lines with the same reason.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The reason of a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No file descriptor was left for the connection.
    Accept,
    /// Too many pending TLS handshakes.
    HandshakeQuota,
    /// The TLS handshake timed out.
    HandshakeTimeout,
    /// The TLS handshake failed: not TLS, or no certificate of the client CA.
    HandshakeFailed,
    /// Too many connections, in total or of this client.
    ConnectionQuota,
    /// Too many streams, in total or of this client.
    StreamQuota,
    /// The certificate has no usable identity.
    Identity,
    /// The identity does not belong to the requested fleet.
    Fleet,
    /// The identity may not use the requested node id.
    Node,
    /// A report has impossible counts, or its client has too many filter instances.
    Report,
    /// A report has counts of a service that the fleet does not carry. The other counts are accepted.
    Service,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Accept,
        Self::HandshakeQuota,
        Self::HandshakeTimeout,
        Self::HandshakeFailed,
        Self::ConnectionQuota,
        Self::StreamQuota,
        Self::Identity,
        Self::Fleet,
        Self::Node,
        Self::Report,
        Self::Service,
    ];

    /// The value of the metric label `reason`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::HandshakeQuota => "handshake_quota",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HandshakeFailed => "handshake_failed",
            Self::ConnectionQuota => "connection_quota",
            Self::StreamQuota => "stream_quota",
            Self::Identity => "identity",
            Self::Fleet => "fleet",
            Self::Node => "node",
            Self::Report => "report",
            Self::Service => "service",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Counts and logs rejections.
#[derive(Debug)]
pub struct Rejections {
    total: Family<ReasonLabel, Counter>,
    log_limits: Mutex<BTreeMap<Reason, LogLimit>>,
}

impl Default for Rejections {
    fn default() -> Self {
        let rejections = Self { total: Family::default(), log_limits: Mutex::default() };
        // Series exist from the start, so that `rate()` sees the first rejection.
        for reason in Reason::ALL {
            rejections.counter(reason);
        }
        rejections
    }
}

impl Rejections {
    /// Counts a rejection, and logs it unless this reason was logged less than a second ago.
    pub fn record(&self, reason: Reason, client: &dyn fmt::Display, error: &dyn fmt::Display) {
        self.counter(reason).inc();
        let suppressed = self.log_limits.lock().entry(reason).or_default().admit(Instant::now());
        if let Some(suppressed) = suppressed {
            warn!(reason = reason.label(), %client, suppressed, %error, "rejected a client");
        }
    }

    /// The number of rejections with this reason.
    #[must_use]
    pub fn count(&self, reason: Reason) -> u64 {
        self.counter(reason).get()
    }

    /// Adds the counter to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "xds_rejections",
            "Connections, streams and reports rejected",
            self.total.clone(),
        );
    }

    fn counter(&self, reason: Reason) -> Counter {
        self.total.get_or_create(&ReasonLabel { reason: reason.label() }).clone()
    }
}

/// Limits the log lines of one reason.
#[derive(Debug, Default)]
struct LogLimit {
    logged_at: Option<Instant>,
    /// Rejections since then.
    suppressed: u64,
}

impl LogLimit {
    /// Returns the number of rejections that were not logged since the last log line; `None` if this one is not logged.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.logged_at.is_some_and(|at| now < at + LOG_INTERVAL) {
            self.suppressed += 1;
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejections_are_counted_by_reason() {
        let rejections = Rejections::default();
        for _ in 0..3 {
            rejections.record(Reason::Fleet, &"client", &"error");
        }
        let counts = Reason::ALL.map(|reason| rejections.count(reason));
        assert_eq!(counts, [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
    }

    #[test]
    fn one_rejection_in_each_interval_is_logged() {
        let (mut limit, start) = (LogLimit::default(), Instant::now());
        assert_eq!(limit.admit(start), Some(0));
        assert_eq!((1..100).find_map(|_| limit.admit(start)), None);
        assert_eq!(limit.admit(start + LOG_INTERVAL), Some(99));
        assert_eq!(limit.admit(start + LOG_INTERVAL * 2), Some(0));
    }
}
