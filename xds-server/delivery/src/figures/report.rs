//! The report: the figures of a period, compared with their goals.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Figures;
use super::history::{Day, History, day_number, day_start};
use crate::names::ServiceName;
use crate::units::{Ppm, Timestamp, percent, rfc3339};

/// ADR-005: daily deployments.
const PER_DAY: f64 = 1.0;
/// ADR-005: less than an hour from commit to production.
const LEAD_TIME: Duration = Duration::from_secs(60 * 60);
/// ADR-005: less than five minutes on average.
const RECOVERY_TIME: Duration = Duration::from_secs(5 * 60);
/// ADR-005: less than 5 %.
const FAILURE_RATE: Ppm = Ppm::percent(5);

/// The days (UTC) that a report covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportPeriod {
    /// A time on the first day.
    pub since: Timestamp,
    /// A time on the last day.
    pub until: Timestamp,
}

/// The length of a [`Slice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// One day.
    Day,
    /// One week from Monday.
    #[default]
    Week,
}

/// Figures of a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeliveryReport {
    /// The start of the first day, not before that of the first record.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// The end of the last day.
    #[serde(with = "rfc3339")]
    pub until: Timestamp,
    /// The length of the slices.
    pub bucket: Bucket,
    /// The services with at least one release, or the selected one.
    pub services: Vec<ServiceReport>,
}

/// Figures of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceReport {
    /// Its name.
    pub service: ServiceName,
    /// Over the whole period.
    pub all: Summary,
    /// By day or week, without those that have no deployment.
    pub over_time: Vec<Slice>,
}

/// Figures of a day or week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Its start.
    #[serde(with = "rfc3339")]
    pub from: Timestamp,
    /// Its figures.
    #[serde(flatten)]
    pub summary: Summary,
}

/// The four DORA metrics, as defined in [`super`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The number of deployments.
    pub deployments: u64,
    /// The number of failed deployments.
    pub failures: u64,
    /// Deployments per day.
    pub per_day: f64,
    /// Absent without a completed release that has a commit time.
    pub lead_time: Option<Spread>,
    /// Absent without a failed deployment.
    pub recovery_time: Option<Spread>,
    /// Absent without a deployment.
    #[serde(rename = "change_failure_percent", with = "percent::option", default)]
    pub change_failure_rate: Option<Ppm>,
    /// The goals that are met.
    pub meets: Goals,
}

/// Count, median and mean of durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The number of deployments.
    pub count: u64,
    /// The median in milliseconds.
    pub median_ms: u64,
    /// The mean in milliseconds.
    pub mean_ms: u64,
}

/// The success criteria of ADR-005; absent without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goals {
    /// At least one deployment per day.
    pub deployment_frequency: bool,
    /// Median below an hour.
    pub lead_time: Option<bool>,
    /// Mean below five minutes.
    pub recovery_time: Option<bool>,
    /// Below 5 %.
    pub change_failure_rate: Option<bool>,
}

impl ReportPeriod {
    /// A number of days, the last of which contains `until`.
    #[must_use]
    pub fn days_before(days: u32, until: Timestamp) -> Self {
        let back = u64::from(days.saturating_sub(1));
        Self { since: day_start(day_number(until).saturating_sub(back)), until }
    }
}

impl Figures {
    /// Whether there was a release of this service, which may no longer be declared.
    #[must_use]
    pub fn has(&self, service: &ServiceName) -> bool {
        self.services.contains_key(service)
    }

    /// Reports a period, for one service or for all.
    #[must_use]
    pub fn report(
        &self,
        window: ReportPeriod,
        bucket: Bucket,
        service: Option<&ServiceName>,
    ) -> DeliveryReport {
        let begun = self.since.map_or(window.until, |begun| begun.max(window.since));
        let (first, last) = (day_number(begun), day_number(window.until));
        let wanted = self.services.iter().filter(|(name, _)| service.is_none_or(|it| it == *name));
        let services = wanted.map(|(name, history)| ServiceReport {
            service: name.clone(),
            all: summary(history, first, last),
            over_time: slices(history, first, last, bucket),
        });
        DeliveryReport {
            since: day_start(first),
            until: day_start(last.saturating_add(1)),
            bucket,
            services: services.collect(),
        }
    }
}

fn slices(history: &History, first: u64, last: u64, bucket: Bucket) -> Vec<Slice> {
    let mut slices = Vec::new();
    let mut next = first;
    while next <= last {
        // Skips the days without a deployment.
        let Some((day, _)) = history.days.range(next..=last).next() else {
            break;
        };
        let (from, to) = match bucket {
            Bucket::Day => (*day, *day),
            // The epoch was a Thursday.
            Bucket::Week => {
                let monday = day.saturating_sub((*day + 3) % 7);
                (monday, monday.saturating_add(6))
            }
        };
        let summary = summary(history, from.max(first), to.min(last));
        slices.push(Slice { from: day_start(from), summary });
        next = to.saturating_add(1);
    }
    slices
}

#[expect(clippy::cast_precision_loss, reason = "a rate for display")]
fn summary(history: &History, first: u64, last: u64) -> Summary {
    let within = || history.days.iter().filter(|(day, _)| (first..=last).contains(*day));
    let sum = |count: fn(&Day) -> u32| within().map(|(_, day)| u64::from(count(day))).sum::<u64>();
    let all = |times: fn(&Day) -> &Vec<u64>| {
        spread(within().flat_map(|(_, day)| times(day)).copied().collect())
    };
    let deployments = sum(|day| day.deployments);
    let failures = sum(|day| day.failures);
    let days = last.saturating_sub(first).saturating_add(1);
    let per_day = deployments as f64 / days as f64;
    let lead_time = all(|day| &day.lead_times);
    let recovery_time = all(|day| &day.recovery_times);
    let change_failure_rate = share(failures, deployments);
    let below = |ms: u64, goal: Duration| Duration::from_millis(ms) < goal;
    let meets = Goals {
        deployment_frequency: per_day >= PER_DAY,
        lead_time: lead_time.map(|it| below(it.median_ms, LEAD_TIME)),
        recovery_time: recovery_time.map(|it| below(it.mean_ms, RECOVERY_TIME)),
        change_failure_rate: change_failure_rate.map(|rate| rate < FAILURE_RATE),
    };
    Summary { deployments, failures, per_day, lead_time, recovery_time, change_failure_rate, meets }
}

fn share(part: u64, whole: u64) -> Option<Ppm> {
    let parts = u128::from(part) * u128::from(Ppm::ALL.parts());
    let parts = parts.checked_div(u128::from(whole))?;
    u32::try_from(parts).ok().and_then(|parts| Ppm::new(parts).ok())
}

fn spread(mut times: Vec<u64>) -> Option<Spread> {
    times.sort_unstable();
    let median_ms = *times.get(times.len().saturating_sub(1) / 2)?;
    let count = times.len() as u64;
    let sum: u128 = times.iter().copied().map(u128::from).sum();
    // The mean is at most the greatest value, so it fits.
    let mean_ms = u64::try_from(sum / u128::from(count)).unwrap_or(u64::MAX);
    Some(Spread { count, median_ms, mean_ms })
}
