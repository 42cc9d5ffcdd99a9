//! Builds and retransmits reports to the control plane: at-least-once delivery, exactly-once
//! counts.
//!
//! A [`Reporter`] does no I/O. The caller must
//! - call [`Reporter::poll`] every [`Reporter::tick_period`] and send the bytes that it returns;
//! - report the result of each call with exactly one of [`Reporter::on_response`],
//!   [`Reporter::on_failure`] and [`Reporter::on_rejected`].
//!
//! One report is in flight at a time. The same bytes with the same sequence number are sent again
//! until the control plane acknowledges the number, so it can count each (instance, sequence) once.
//! Requests that finish meanwhile are counted for the next report.

mod clients;
mod counts;

use std::{ops::RangeInclusive, time::Duration};

use prost::{DecodeError, Message as _};
use tidegate_proto::report::v1::{ReportRequest, ReportResponse};

pub use self::clients::{Client, ClientScope, LEAST_UNANSWERED, PERIOD as FAILED_CLIENT_PERIOD};
pub use self::counts::MAX_LISTED_CLIENTS;
use self::{clients::FailedClients, counts::CountsByVersion};
use crate::{orca::OrcaLoad, outcome::Outcome, version::PROTOCOL};

/// Range of the report interval, in milliseconds.
pub const INTERVAL_MS: RangeInclusive<u32> = 50..=60_000;
/// Interval of reports without counts.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A call without a result counts as failed after this time. The gRPC deadline is shorter; this
/// handles hosts that drop the callback.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Delay after the first failure. It doubles with each further one, up to `RETRY_MAX`.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(4);
const TICK_MAX: Duration = Duration::from_secs(1);
/// Limit of [`ActiveConfig::config_error`] in a report, in bytes. Longer ones are clipped.
pub const MAX_CONFIG_ERROR: usize = 1024;

/// Identity of a filter instance. Each Envoy thread runs its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReporterId {
    /// Envoy's `node.id`.
    pub node_id: String,
    /// Random number, unique among the instances of a node.
    pub instance: u64,
    /// Version of the filter's package.
    pub filter_version: &'static str,
}

/// The fields of a report that come from the active configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveConfig<'a> {
    /// [`FilterConfig::fleet`](crate::config::FilterConfig::fleet).
    pub fleet: &'a str,
    /// [`FilterConfig::version`](crate::config::FilterConfig::version), or empty without one.
    pub config_version: &'a str,
    /// Why the configuration that arrived last is not active; empty if it is.
    pub config_error: &'a str,
    /// Whether the configuration arrives in the responses. The report is then sent at every interval,
    /// also without counts.
    pub config_requested: bool,
}

/// Key under which a finished request is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionKey<'a> {
    /// Name of the service.
    pub service: &'a str,
    /// The version that served the request.
    pub version: &'a str,
    /// The release that was running when the request was routed, or empty.
    pub release: &'a str,
}

/// A finished request, as it is counted.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestRecord<'a> {
    /// Outcome, attributed to the version.
    pub outcome: Outcome,
    /// The client; `None` for a request without identity.
    pub client: Option<Client>,
    /// How long the client waited for the version: from the end of the request to the beginning of
    /// the response, or until the client left. `None` if the request was not sent completely before.
    pub wait: Option<Duration>,
    /// Load report of the instance that responded.
    pub load: OrcaLoad,
    /// The business rules that match the request, and whether it is good by each.
    pub business: Vec<(&'a str, bool)>,
}

impl RequestRecord<'_> {
    /// A record without client, load report and business rules.
    #[must_use]
    pub fn new(outcome: Outcome, wait: Duration) -> Self {
        Self {
            outcome,
            client: None,
            wait: Some(wait),
            load: OrcaLoad::default(),
            business: Vec::new(),
        }
    }

    /// Whether the client did not get an answer because of the version; `None` if the client left
    /// too soon to say.
    fn has_failed(&self) -> Option<bool> {
        match self.outcome {
            Outcome::Error => Some(true),
            Outcome::Success | Outcome::ClientError => Some(false),
            Outcome::Cancelled => {
                self.wait.is_some_and(|wait| wait >= LEAST_UNANSWERED).then_some(true)
            }
        }
    }
}

/// Counts requests, and builds and retransmits the reports of one filter instance.
///
/// `now` is the time since any fixed moment. If the clock steps back, the next report is due at
/// once.
#[derive(Debug)]
pub struct Reporter {
    id: ReporterId,
    /// Counts for the next report.
    counts: CountsByVersion,
    failed: FailedClients,
    /// The time of the last call of [`Reporter::poll`], at most a tick ago.
    now: Duration,
    /// Requests without a response, at the last call of [`Reporter::set_waiting`].
    waiting: CountsByVersion,
    /// Requests dropped since the last report was built.
    dropped: u64,
    pending: Option<PendingReport>,
    last_sequence: u64,
    interval: Duration,
    in_flight: bool,
    /// Consecutive failures.
    failures: u32,
    /// Time when the last attempt began, or failed.
    last_attempt: Option<Duration>,
    /// Whether the last report was due early.
    expedited: bool,
}

/// A report that is built and not acknowledged yet. Its bytes do not change.
#[derive(Debug)]
struct PendingReport {
    sequence: u64,
    bytes: Vec<u8>,
    /// Requests counted in it, dropped ones included.
    requests: u64,
}

impl Reporter {
    /// A reporter without counts, whose first report is due at once.
    #[must_use]
    pub fn new(id: ReporterId) -> Self {
        Self {
            id,
            counts: CountsByVersion::default(),
            failed: FailedClients::default(),
            now: Duration::ZERO,
            waiting: CountsByVersion::default(),
            dropped: 0,
            pending: None,
            last_sequence: 0,
            interval: HEARTBEAT,
            in_flight: false,
            failures: 0,
            last_attempt: None,
            expedited: false,
        }
    }

    /// Counts a finished request.
    pub fn record(&mut self, key: VersionKey<'_>, request: &RequestRecord<'_>) {
        let Some(counts) = self.counts.entry(key) else {
            self.dropped = self.dropped.saturating_add(1);
            return;
        };
        let attempt = request.client.zip(request.has_failed());
        let attempt = attempt
            .map(|(client, has_failed)| (client, self.failed.add(client, has_failed, self.now)));
        counts.add(request, attempt);
    }

    /// Sets the requests that have no response yet, each with its age. The next report has those of
    /// the last call.
    pub fn set_waiting<'k>(
        &mut self,
        requests: impl IntoIterator<Item = (VersionKey<'k>, Duration)>,
    ) {
        self.waiting.clear();
        for (key, age) in requests {
            self.waiting.record_waiting(key, age);
        }
    }

    /// Sets the interval in milliseconds, clamped to [`INTERVAL_MS`].
    pub fn set_interval(&mut self, millis: u32) {
        let millis = millis.clamp(*INTERVAL_MS.start(), *INTERVAL_MS.end());
        self.interval = Duration::from_millis(millis.into());
    }

    /// The period at which the caller must call [`poll`](Self::poll).
    #[must_use]
    pub fn tick_period(&self) -> Duration {
        self.interval.min(TICK_MAX)
    }

    /// The encoded [`ReportRequest`] to send now, if one is due. It is in flight from then on.
    pub fn poll(&mut self, now: Duration, active: ActiveConfig<'_>) -> Option<&[u8]> {
        self.now = now;
        self.failed.expire(now);
        if self.in_flight {
            if !self.has_elapsed(CALL_TIMEOUT, now) {
                return None;
            }
            self.on_failure(now);
        }
        if !self.has_elapsed(self.delay(active), now) {
            return None;
        }
        if self.pending.is_none() {
            self.pending = Some(self.build_report(active));
        }
        self.in_flight = true;
        self.expedited &= self.last_attempt.is_none();
        self.last_attempt = Some(now);
        self.pending.as_ref().map(|pending| pending.bytes.as_slice())
    }

    /// Handles the response to the call. Returns the configuration in it, if any.
    ///
    /// # Errors
    /// If the bytes are not a [`ReportResponse`]. The call then counts as failed.
    pub fn on_response(
        &mut self,
        bytes: &[u8],
        now: Duration,
    ) -> Result<Option<String>, DecodeError> {
        let response = ReportResponse::decode(bytes).inspect_err(|_| self.on_failure(now))?;
        if response.interval_ms != 0 {
            self.set_interval(response.interval_ms);
        }
        match &self.pending {
            Some(pending) if response.acknowledged < pending.sequence => self.on_failure(now),
            _ => {
                self.pending = None;
                self.in_flight = false;
                self.failures = 0;
            }
        }
        Ok(response.config)
    }

    /// Makes the next report due at once, because it acknowledges or rejects the configuration of the
    /// last response. The report after that is due at its interval, so that a server which sends a
    /// configuration in each response does not raise the rate of reports above twice that of the interval.
    pub const fn expedite(&mut self) {
        if !self.expedited {
            self.expedited = true;
            self.last_attempt = None;
        }
    }

    /// Handles a failed call, or one that could not be started: schedules a retransmission.
    pub fn on_failure(&mut self, now: Duration) {
        self.in_flight = false;
        self.failures = self.failures.saturating_add(1);
        self.last_attempt = Some(now);
    }

    /// Handles a permanent rejection (INVALID_ARGUMENT): drops the report, which would otherwise
    /// block all later ones. The next report carries its requests as `dropped`.
    pub fn on_rejected(&mut self, now: Duration) {
        if let Some(pending) = self.pending.take() {
            self.dropped = self.dropped.saturating_add(pending.requests);
        }
        self.on_failure(now);
    }

    fn delay(&self, active: ActiveConfig<'_>) -> Duration {
        if self.failures > 0 {
            let doubled = RETRY_MIN.saturating_mul(1 << (self.failures - 1).min(8));
            doubled.min(RETRY_MAX).max(self.interval)
        } else if self.counts.is_empty()
            && self.waiting.is_empty()
            && self.dropped == 0
            && !active.config_requested
        {
            HEARTBEAT.max(self.interval)
        } else {
            self.interval
        }
    }

    /// Whether `delay` has elapsed since the last attempt. Ticks jitter, so half a period early
    /// counts as elapsed.
    fn has_elapsed(&self, delay: Duration, now: Duration) -> bool {
        self.last_attempt.is_none_or(|since| {
            now.checked_sub(since).is_none_or(|elapsed| elapsed + self.tick_period() / 2 >= delay)
        })
    }

    fn build_report(&mut self, active: ActiveConfig<'_>) -> PendingReport {
        self.last_sequence += 1;
        let dropped = std::mem::take(&mut self.dropped);
        self.counts.add_waiting(&self.waiting);
        let (counts, requests) = self.counts.take();
        let request = ReportRequest {
            node_id: self.id.node_id.clone(),
            fleet: active.fleet.to_owned(),
            instance: self.id.instance,
            sequence: self.last_sequence,
            config_version: active.config_version.to_owned(),
            counts,
            config_requested: active.config_requested,
            dropped,
            filter_version: self.id.filter_version.to_owned(),
            filter_protocol: PROTOCOL,
            config_error: clipped(active.config_error).to_owned(),
        };
        PendingReport {
            sequence: self.last_sequence,
            bytes: request.encode_to_vec(),
            requests: requests.saturating_add(dropped),
        }
    }
}

/// The beginning of a text, at most [`MAX_CONFIG_ERROR`] bytes.
fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_CONFIG_ERROR)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
