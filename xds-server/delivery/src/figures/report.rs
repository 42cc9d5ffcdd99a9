//! The figures of a time, beside their goals. A durable format: add, never change.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Figures;
use super::history::{Day, History, beginning, number};
use crate::names::ServiceName;
use crate::units::{Ppm, Timestamp};

/// ADR-005: daily deployments.
const PER_DAY: f64 = 1.0;
/// ADR-005: less than an hour from commit to production.
const LEAD_TIME: Duration = Duration::from_secs(60 * 60);
/// ADR-005: less than five minutes on average.
const RECOVERY_TIME: Duration = Duration::from_secs(5 * 60);
/// ADR-005: less than 5 %.
const FAILURE_RATE: Ppm = Ppm::percent(5);

/// From when until when, in whole days of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportPeriod {
    /// The first day has this time in it.
    pub since: Timestamp,
    /// The last day has this time in it.
    pub until: Timestamp,
}

/// How the figures are cut over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// Day by day.
    Day,
    /// Weeks, from Monday.
    #[default]
    Week,
}

/// What is reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeliveryReport {
    /// The beginning of the first day, in milliseconds since the Unix epoch; not before the journal's.
    pub since: Timestamp,
    /// The end of the last day.
    pub until: Timestamp,
    /// How it is cut.
    pub bucket: Bucket,
    /// Each service that there ever was a release of, or the one that was asked for.
    pub services: Vec<ServiceReport>,
}

/// One service's figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceReport {
    /// Which.
    pub service: ServiceName,
    /// Over the whole time.
    pub all: Summary,
    /// Cut by day or week; those without a deployment are left out.
    pub over_time: Vec<Slice>,
}

/// The figures of a day or week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// When it begins.
    pub from: Timestamp,
    /// Its figures.
    #[serde(flatten)]
    pub summary: Summary,
}

/// The four figures, see [`super`] for what each means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many deployments.
    pub deployments: u64,
    /// How many of them failed.
    pub failures: u64,
    /// Deployments a day.
    pub per_day: f64,
    /// From commit to production; absent if no release named its commit's time.
    pub lead_time: Option<Spread>,
    /// From failure to the good version; absent if nothing failed.
    pub recovery_time: Option<Spread>,
    /// Failed ones among the deployments, in parts per million; absent if there were none.
    pub change_failure_rate: Option<Ppm>,
    /// Which goals were met.
    pub meets: Goals,
}

/// How times are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Of how many deployments.
    pub count: u64,
    /// Half of them took no longer, in milliseconds.
    pub median_ms: u64,
    /// The average, in milliseconds.
    pub mean_ms: u64,
}

/// Which of ADR-005's success criteria were met; absent where there is nothing to tell by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goals {
    /// At least one a day.
    pub deployment_frequency: bool,
    /// Median below an hour.
    pub lead_time: Option<bool>,
    /// Mean below five minutes.
    pub recovery_time: Option<bool>,
    /// Below 5 %.
    pub change_failure_rate: Option<bool>,
}

impl ReportPeriod {
    /// That many days, the last of which has `until` in it.
    #[must_use]
    pub fn days_before(days: u32, until: Timestamp) -> Self {
        let back = u64::from(days.saturating_sub(1));
        Self { since: beginning(number(until).saturating_sub(back)), until }
    }
}

impl Figures {
    /// The figures of a time, of one service or of all.
    #[must_use]
    pub fn report(
        &self,
        window: ReportPeriod,
        bucket: Bucket,
        service: Option<&ServiceName>,
    ) -> DeliveryReport {
        let begun = self.since.map_or(window.until, |begun| begun.max(window.since));
        let (first, last) = (number(begun), number(window.until));
        let wanted = self.services.iter().filter(|(name, _)| service.is_none_or(|it| it == *name));
        let services = wanted.map(|(name, history)| ServiceReport {
            service: name.clone(),
            all: summary(history, first, last),
            over_time: slices(history, first, last, bucket),
        });
        DeliveryReport {
            since: beginning(first),
            until: beginning(last.saturating_add(1)),
            bucket,
            services: services.collect(),
        }
    }
}

fn slices(history: &History, first: u64, last: u64, bucket: Bucket) -> Vec<Slice> {
    let mut slices = Vec::new();
    let mut next = first;
    while next <= last {
        // Nothing is there to be told of days without a deployment.
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
        slices.push(Slice { from: beginning(from), summary });
        next = to.saturating_add(1);
    }
    slices
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
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
    // An average is no more than the greatest.
    let mean_ms = u64::try_from(sum / u128::from(count)).unwrap_or(u64::MAX);
    Some(Spread { count, median_ms, mean_ms })
}
