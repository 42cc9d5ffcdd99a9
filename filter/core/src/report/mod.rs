//! Telling the control plane what was counted: at least once on the wire, exactly once in the sums.
//!
//! A [`Reporter`] does no I/O. It says when a report is due and gives its bytes; whoever drives it
//! says what became of them. One report is in flight at a time, and the same bytes under the same
//! number are sent again until that number is acknowledged.

mod counts;

use std::{ops::RangeInclusive, time::Duration};

use prost::{DecodeError, Message as _};
use tidegate_proto::report::v1::{ReportRequest, ReportResponse};

use self::counts::Counts;
use crate::{load::Load, outcome::Outcome};

/// The report intervals that may be asked for, in milliseconds.
pub const INTERVAL_MS: RangeInclusive<u32> = 50..=60_000;
/// Without counts a report still says every so often that the sidecar is there.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A call that was neither answered nor failed by then is given up. Calls have a shorter deadline
/// of their own; this is for hosts that forget to tell.
const LOST: Duration = Duration::from_secs(10);
/// How long to wait after a first failure; doubled with each further one, up to `RETRY_MAX`.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(4);
const TICK_MAX: Duration = Duration::from_secs(1);

/// Who reports: one filter instance of one Envoy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reporting {
    /// Envoy's `node.id`.
    pub node_id: String,
    /// Random number that tells the instances of a node apart.
    pub instance: u64,
}

/// What a report says of the configuration in force when it is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce<'a> {
    /// [`FilterConfig::fleet`](crate::config::FilterConfig::fleet).
    pub fleet: &'a str,
    /// [`FilterConfig::version`](crate::config::FilterConfig::version).
    pub config_version: &'a str,
    /// [`FilterConfig::standalone`](crate::config::FilterConfig::standalone).
    pub config_requested: bool,
}

/// The version that a finished request is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key<'a> {
    /// The service.
    pub service: &'a str,
    /// The version that really served.
    pub version: &'a str,
    /// The release that ran when the request was decided, or empty.
    pub release: &'a str,
}

/// What is counted of a finished request.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen<'a> {
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took.
    pub duration: Duration,
    /// How busy the instance that answered said it was.
    pub load: Load,
    /// The business rules that it falls under, and whether it ended well by each.
    pub business: Vec<(&'a str, bool)>,
}

impl Seen<'_> {
    /// An outcome and a duration, and nothing else.
    #[must_use]
    pub fn new(outcome: Outcome, duration: Duration) -> Self {
        Self { outcome, duration, load: Load::default(), business: Vec::new() }
    }
}

/// Counts requests and drives their way to the control plane.
///
/// Times are durations since any fixed moment. Should the clock jump back, what waits is due at once.
#[derive(Debug)]
pub struct Reporter {
    reporting: Reporting,
    open: Counts,
    /// Requests given up that no report told of yet.
    dropped: u64,
    sealed: Option<Sealed>,
    last_sequence: u64,
    interval: Duration,
    in_flight: bool,
    /// Failures since the last acknowledgement.
    failures: u32,
    /// When the last attempt began, or failed.
    last_attempt: Option<Duration>,
}

/// A report whose bytes no longer change.
#[derive(Debug)]
struct Sealed {
    sequence: u64,
    bytes: Vec<u8>,
    /// What would be lost with it.
    requests: u64,
}

impl Reporter {
    /// A reporter that has counted nothing yet.
    #[must_use]
    pub fn new(reporting: Reporting) -> Self {
        Self {
            reporting,
            open: Counts::default(),
            dropped: 0,
            sealed: None,
            last_sequence: 0,
            interval: HEARTBEAT,
            in_flight: false,
            failures: 0,
            last_attempt: None,
        }
    }

    /// Counts a finished request.
    pub fn record(&mut self, key: Key<'_>, seen: &Seen<'_>) {
        if !self.open.record(key, seen) {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Changes the interval, in milliseconds; out of bounds it is clamped.
    pub fn set_interval(&mut self, millis: u32) {
        let millis = millis.clamp(*INTERVAL_MS.start(), *INTERVAL_MS.end());
        self.interval = Duration::from_millis(millis.into());
    }

    /// How often [`poll`](Self::poll) should be called.
    #[must_use]
    pub fn tick(&self) -> Duration {
        self.interval.min(TICK_MAX)
    }

    /// The bytes of a [`ReportRequest`] to send now, if one is due. Counts as in flight from then on.
    pub fn poll(&mut self, now: Duration, in_force: InForce<'_>) -> Option<&[u8]> {
        if self.in_flight {
            if !self.has_passed(LOST, now) {
                return None;
            }
            self.failed(now);
        }
        if !self.has_passed(self.wait(), now) {
            return None;
        }
        if self.sealed.is_none() {
            self.sealed = Some(self.seal(in_force));
        }
        self.in_flight = true;
        self.last_attempt = Some(now);
        self.sealed.as_ref().map(|sealed| sealed.bytes.as_slice())
    }

    /// The call was answered with these bytes. Returns the newer configuration that came with it.
    ///
    /// # Errors
    /// If they are no [`ReportResponse`]; the report will be sent again.
    pub fn answered(&mut self, bytes: &[u8], now: Duration) -> Result<Option<String>, DecodeError> {
        let response = ReportResponse::decode(bytes).inspect_err(|_| self.failed(now))?;
        if response.interval_ms != 0 {
            self.set_interval(response.interval_ms);
        }
        match &self.sealed {
            Some(sealed) if response.acknowledged < sealed.sequence => self.failed(now),
            _ => {
                self.sealed = None;
                self.in_flight = false;
                self.failures = 0;
            }
        }
        Ok(response.config)
    }

    /// The call failed or could not begin: the same report is sent again later.
    pub fn failed(&mut self, now: Duration) {
        self.in_flight = false;
        self.failures = self.failures.saturating_add(1);
        self.last_attempt = Some(now);
    }

    /// The control plane will never take this report, and has counted nothing of it: give it up, or
    /// no later one would get through.
    pub fn refused(&mut self, now: Duration) {
        if let Some(sealed) = self.sealed.take() {
            self.dropped = self.dropped.saturating_add(sealed.requests);
        }
        self.failed(now);
    }

    fn wait(&self) -> Duration {
        if self.failures > 0 {
            let doubled = RETRY_MIN.saturating_mul(1 << (self.failures - 1).min(8));
            doubled.min(RETRY_MAX).max(self.interval)
        } else if self.open.is_empty() && self.dropped == 0 {
            HEARTBEAT.max(self.interval)
        } else {
            self.interval
        }
    }

    /// Ticks come a little early or late: half a tick early is on time.
    fn has_passed(&self, wait: Duration, now: Duration) -> bool {
        self.last_attempt.is_none_or(|since| {
            now.checked_sub(since).is_none_or(|passed| passed + self.tick() / 2 >= wait)
        })
    }

    fn seal(&mut self, in_force: InForce<'_>) -> Sealed {
        self.last_sequence += 1;
        let dropped = std::mem::take(&mut self.dropped);
        let (counts, requests) = self.open.take();
        let request = ReportRequest {
            node_id: self.reporting.node_id.clone(),
            fleet: in_force.fleet.to_owned(),
            instance: self.reporting.instance,
            sequence: self.last_sequence,
            config_version: in_force.config_version.to_owned(),
            counts,
            config_requested: in_force.config_requested,
            dropped,
        };
        Sealed {
            sequence: self.last_sequence,
            bytes: request.encode_to_vec(),
            requests: requests.saturating_add(dropped),
        }
    }
}

#[cfg(test)]
mod tests;
