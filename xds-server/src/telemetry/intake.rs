//! Validation of reports: sizes, limits, and sums that agree.

use std::collections::BTreeMap;

use tidegate_core::histogram::{Histogram, HistogramError};
use tidegate_core::in_flight::MAX_IN_FLIGHT;
use tidegate_core::report::MAX_CONFIG_ERROR;
use tidegate_core::utilization::UtilizationHistogram;
use tidegate_core::version::{FilterVersion, InvalidFilterVersion};
use tidegate_proto::report::v1::{
    BusinessCounts, Histogram as Sparse, ReportRequest, VersionCounts,
};

use super::clients::{InvalidClients, ReportedClients};
use super::counts::{Counts, Utilization};
use tidegate_delivery::judge::Share;
use tidegate_delivery::judge::statistics::Units;
use tidegate_delivery::names::MetricName;

/// Entries per report.
pub const MAX_ENTRIES: usize = 1024;
/// Requests per entry. An Envoy worker that could not report for a day has fewer, and sums of so many do not overflow.
pub const MAX_REQUESTS: u64 = 10_000_000_000;
/// Business metrics per entry.
pub const MAX_RULES: usize = 16;
/// Bytes per node id, fleet, service, version or release.
pub const MAX_NAME: usize = 256;

/// A valid report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The filter instance that sent it.
    pub sender: Sender,
    /// Its fleet, Envoy's `node.cluster`.
    pub fleet: String,
    /// The sender's sequence number, from 1.
    pub sequence: u64,
    /// The filter configuration that the sender runs.
    pub config_version: String,
    /// Whether the sidecar takes its configuration from the response.
    pub config_requested: bool,
    /// Why the sender does not run the configuration that it received last; empty if it does.
    pub config_error: String,
    /// The version of the sender, if it names one.
    pub filter_version: Option<FilterVersion>,
    /// Counts since the sender's last acknowledged report.
    pub entries: Vec<Entry>,
    /// Counts that the sender dropped because its memory is bounded.
    pub dropped: u64,
}

/// One filter instance of one sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sender {
    /// Envoy's `node.id`.
    pub node: String,
    /// Random number of the instance.
    pub instance: u64,
}

/// Counts of one version. The names are as reported; unknown ones are dropped later.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "named by field")]
pub struct Entry {
    pub service: String,
    pub version: String,
    /// The release that was running, or empty.
    pub release: String,
    pub counts: Counts,
    pub clients: ReportedClients,
}

/// A report was rejected. None of it is counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReport {
    /// A name is empty or too long.
    #[error("`{field}` must have 1 to {MAX_NAME} bytes, not {length}")]
    Name {
        /// The field.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// The version of the filter is invalid.
    #[error("`filter_version` {0}")]
    FilterVersion(#[from] InvalidFilterVersion),
    /// The error of a configuration is too long.
    #[error("`config_error` must have at most {MAX_CONFIG_ERROR} bytes, not {0}")]
    ConfigError(usize),
    /// Sequence numbers start at 1.
    #[error("`sequence` must be at least 1")]
    Sequence,
    /// More than [`MAX_ENTRIES`].
    #[error("{0} entries in `counts`; at most {MAX_ENTRIES} are allowed")]
    TooManyEntries(usize),
    /// More than [`MAX_REQUESTS`].
    #[error("`counts[{index}]`: {requests} requests; at most {MAX_REQUESTS} are allowed")]
    TooManyRequests {
        /// The entry.
        index: usize,
        /// Its requests, or its cancelled requests.
        requests: u64,
    },
    /// More failures than requests.
    #[error("`counts[{index}]`: {bad} errors and client errors in {requests} requests")]
    MoreBadThanAll {
        /// The entry.
        index: usize,
        /// Its errors and client errors.
        bad: u64,
        /// Its requests.
        requests: u64,
    },
    /// Requests of clients that had failed are no part of the requests.
    #[error(
        "`counts[{index}]`: {} errors in {} repeated requests are no part of {} errors in {} requests",
        repeated.bad, repeated.all, counted.bad, counted.all
    )]
    Repeated {
        /// The entry.
        index: usize,
        /// Errors and requests of clients that had failed.
        repeated: Units,
        /// Errors and requests of the entry.
        counted: Units,
    },
    /// The waits of clients that had failed are no part of the waits.
    #[error("`counts[{0}].repeated_abandoned` is no part of `abandoned`")]
    RepeatedAbandoned(usize),
    /// A list of clients is invalid.
    #[error("`counts[{index}].{field}`: {source}")]
    Clients {
        /// The entry.
        index: usize,
        /// The list.
        field: &'static str,
        /// The reason.
        source: InvalidClients,
    },
    /// A histogram is invalid.
    #[error("`counts[{index}].{field}`: {source}")]
    Histogram {
        /// The entry.
        index: usize,
        /// The histogram.
        field: &'static str,
        /// The reason.
        source: HistogramError,
    },
    /// More samples than requests.
    #[error("`counts[{index}].{field}` holds {samples} samples of {requests} requests")]
    MoreSamplesThanRequests {
        /// The entry.
        index: usize,
        /// The histogram.
        field: &'static str,
        /// Samples in the histogram.
        samples: u64,
        /// Requests of the entry.
        requests: u64,
    },
    /// More than [`MAX_RULES`].
    #[error("`counts[{index}]`: {count} business metrics; at most {MAX_RULES} are allowed")]
    TooManyRules {
        /// The entry.
        index: usize,
        /// Its business metrics.
        count: usize,
    },
    /// A business metric has an invalid name, a repeated name, or counts that do not agree.
    #[error(
        "`counts[{index}].business`: `{rule}` has {bad} bad of {matching} matching requests, in {requests} requests"
    )]
    Business {
        /// The entry.
        index: usize,
        /// The name, shortened.
        rule: String,
        /// Bad requests.
        bad: u64,
        /// Matching requests.
        matching: u64,
        /// Requests of the entry.
        requests: u64,
    },
}

impl Report {
    /// All finished and cancelled requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let counts = self.entries.iter().map(|entry| &entry.counts);
        counts.fold(0, |sum, it| sum.saturating_add(it.requests).saturating_add(it.cancelled))
    }
}

impl TryFrom<ReportRequest> for Report {
    type Error = InvalidReport;

    fn try_from(request: ReportRequest) -> Result<Self, InvalidReport> {
        check_name("node_id", &request.node_id)?;
        check_name("fleet", &request.fleet)?;
        if request.sequence == 0 {
            return Err(InvalidReport::Sequence);
        }
        if request.config_version.len() > MAX_NAME {
            let length = request.config_version.len();
            return Err(InvalidReport::Name { field: "config_version", length });
        }
        if request.config_error.len() > MAX_CONFIG_ERROR {
            return Err(InvalidReport::ConfigError(request.config_error.len()));
        }
        let filter_version = match request.filter_version.as_str() {
            "" => None,
            package => Some(FilterVersion::parse(package, request.filter_protocol)?),
        };
        if request.counts.len() > MAX_ENTRIES {
            return Err(InvalidReport::TooManyEntries(request.counts.len()));
        }
        let entries =
            request.counts.into_iter().enumerate().map(entry).collect::<Result<_, _>>()?;
        Ok(Self {
            sender: Sender { node: request.node_id, instance: request.instance },
            fleet: request.fleet,
            sequence: request.sequence,
            config_version: request.config_version,
            config_requested: request.config_requested,
            config_error: request.config_error,
            filter_version,
            entries,
            dropped: request.dropped,
        })
    }
}

fn entry((index, counts): (usize, VersionCounts)) -> Result<Entry, InvalidReport> {
    check_name("counts.service", &counts.service)?;
    check_name("counts.version", &counts.version)?;
    if counts.release.len() > MAX_NAME {
        return Err(InvalidReport::Name { field: "counts.release", length: counts.release.len() });
    }
    let requests = counts.requests;
    let most = requests.max(counts.cancelled);
    if most > MAX_REQUESTS {
        return Err(InvalidReport::TooManyRequests { index, requests: most });
    }
    let bad = counts.errors.saturating_add(counts.client_errors);
    if bad > requests {
        return Err(InvalidReport::MoreBadThanAll { index, bad, requests });
    }
    let samples = Samples { index, requests };
    let latency = samples.of("latency", counts.latency.as_ref(), Histogram::total)?;
    let utilization = Utilization {
        cpu: samples.of("cpu", counts.cpu.as_ref(), UtilizationHistogram::total)?,
        memory: samples.of("memory", counts.memory.as_ref(), UtilizationHistogram::total)?,
        disk: samples.of("disk", counts.disk.as_ref(), UtilizationHistogram::total)?,
    };
    let business = samples.business(&counts.business)?;
    let given_up = Samples { index, requests: counts.cancelled };
    let abandoned = given_up.of("abandoned", counts.abandoned.as_ref(), Histogram::total)?;
    let (repeated, repeated_abandoned) = repeated(index, &counts, &abandoned)?;
    let clients = ReportedClients::of(&counts, &abandoned, &repeated_abandoned)
        .map_err(|(field, source)| InvalidReport::Clients { index, field, source })?;
    let in_flight = Samples { index, requests: MAX_IN_FLIGHT as u64 };
    let waiting = in_flight.of("waiting", counts.waiting.as_ref(), Histogram::total)?;
    Ok(Entry {
        service: counts.service,
        version: counts.version,
        release: counts.release,
        counts: Counts {
            requests,
            errors: counts.errors,
            client_errors: counts.client_errors,
            cancelled: counts.cancelled,
            latency,
            abandoned,
            waiting,
            repeated,
            repeated_abandoned,
            repeated_unanswered: 0,
            utilization,
            business,
        },
        clients,
    })
}

/// The requests of clients that had failed. They must be part of the requests, and their failures part of the failures.
fn repeated(
    index: usize,
    counts: &VersionCounts,
    abandoned: &Histogram,
) -> Result<(Units, Histogram), InvalidReport> {
    let repeated = Units { bad: counts.repeated_errors, all: counts.repeated_requests };
    let counted = Units { bad: counts.errors, all: counts.requests };
    let succeeded = |units: Units| units.all.checked_sub(units.bad);
    // None is below any number.
    let is_part = repeated.bad <= counted.bad && succeeded(repeated) <= succeeded(counted);
    if repeated.bad > repeated.all || !is_part {
        return Err(InvalidReport::Repeated { index, repeated, counted });
    }
    let waits = Samples { index, requests: abandoned.total() };
    let waits =
        waits.of("repeated_abandoned", counts.repeated_abandoned.as_ref(), Histogram::total)?;
    if !abandoned.includes(&waits) {
        return Err(InvalidReport::RepeatedAbandoned(index));
    }
    Ok((repeated, waits))
}

/// Validates histograms and business counts of an entry: none may exceed the entry's requests.
struct Samples {
    index: usize,
    requests: u64,
}

impl Samples {
    fn of<'a, T>(
        &self,
        field: &'static str,
        sparse: Option<&'a Sparse>,
        total: fn(&T) -> u64,
    ) -> Result<T, InvalidReport>
    where
        T: Default + TryFrom<&'a Sparse, Error = HistogramError>,
    {
        let Self { index, requests } = *self;
        let Some(sparse) = sparse else {
            return Ok(T::default());
        };
        let histogram = T::try_from(sparse).map_err(|source| InvalidReport::Histogram {
            index,
            field,
            source,
        })?;
        let samples = total(&histogram);
        if samples > requests {
            return Err(InvalidReport::MoreSamplesThanRequests { index, field, samples, requests });
        }
        Ok(histogram)
    }

    /// A repeated name is an error: it would count twice.
    fn business(
        &self,
        counts: &[BusinessCounts],
    ) -> Result<BTreeMap<MetricName, Share>, InvalidReport> {
        let Self { index, requests } = *self;
        if counts.len() > MAX_RULES {
            return Err(InvalidReport::TooManyRules { index, count: counts.len() });
        }
        let mut business = BTreeMap::new();
        for counts in counts {
            let share = Share { requests: counts.requests, bad: counts.bad };
            let possible = share.bad <= share.requests && share.requests <= requests;
            let name = counts.rule.parse::<MetricName>().ok().filter(|_| possible);
            let new = name.is_some_and(|name| business.insert(name, share).is_none());
            if !new {
                let rule = counts.rule.chars().take(40).collect();
                let Share { requests: matching, bad } = share;
                return Err(InvalidReport::Business { index, rule, bad, matching, requests });
            }
        }
        Ok(business)
    }
}

const fn check_name(field: &'static str, name: &str) -> Result<(), InvalidReport> {
    match name.len() {
        1..=MAX_NAME => Ok(()),
        length => Err(InvalidReport::Name { field, length }),
    }
}

#[cfg(test)]
mod tests;
