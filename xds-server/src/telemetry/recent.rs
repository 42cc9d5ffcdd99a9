//! The requests of one version in the last half minute, for people: their rate, error rate and latency. No decision depends on
//! them: the judge has evidence of its own.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_core::histogram::Histogram;

use super::counts::Counts;
use tidegate_delivery::units::{Ppm, Timestamp};

/// The length of a slot. Whole slots are forgotten.
const SLOT_MS: u64 = 5_000;
/// Slots that are kept: the figures cover 25 to 30 seconds.
const SLOTS: u64 = 6;
/// The shortest time that a rate refers to: the first report of a version covers less.
const SHORTEST: Duration = Duration::from_secs(1);

/// The counts of the last slots with requests, at most [`SLOTS`].
#[derive(Debug, Default)]
pub struct RecentCounts {
    /// When the first request came after a time without any.
    began: Timestamp,
    slots: VecDeque<Slot>,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    requests: u64,
    errors: u64,
    latency: Histogram,
}

/// The requests of a version in the last half minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecentFigures {
    /// The time that they refer to.
    pub window: Duration,
    /// Finished requests.
    pub requests: u64,
    /// Finished requests per second.
    pub requests_per_second: f64,
    /// The share of requests that the version failed; absent without requests.
    pub error_rate: Option<Ppm>,
    /// The median of the response time; absent without requests.
    pub p50: Option<Duration>,
    /// The 99th percentile of the response time; absent without requests.
    pub p99: Option<Duration>,
}

const fn number(at: Timestamp) -> u64 {
    at.0 / SLOT_MS
}

impl RecentCounts {
    /// Adds the counts of a report that arrived now.
    pub fn add(&mut self, now: Timestamp, counts: &Counts) {
        let number = number(now);
        while self.slots.front().is_some_and(|slot| slot.number.saturating_add(SLOTS) <= number) {
            self.slots.pop_front();
        }
        if self.slots.is_empty() {
            self.began = now;
        }
        if self.slots.back().is_none_or(|slot| slot.number < number) {
            let latency = Histogram::default();
            self.slots.push_back(Slot { number, requests: 0, errors: 0, latency });
        }
        if let Some(slot) = self.slots.back_mut() {
            slot.requests = slot.requests.saturating_add(counts.requests);
            slot.errors = slot.errors.saturating_add(counts.errors);
            slot.latency.merge(&counts.latency);
        }
    }

    /// The figures of the time that ends now.
    #[must_use]
    pub fn figures(&self, now: Timestamp) -> RecentFigures {
        let first = number(now).saturating_add(1).saturating_sub(SLOTS);
        let (mut requests, mut errors, mut latency) = (0_u64, 0_u64, Histogram::default());
        for slot in self.slots.iter().filter(|slot| slot.number >= first) {
            requests = requests.saturating_add(slot.requests);
            errors = errors.saturating_add(slot.errors);
            latency.merge(&slot.latency);
        }
        let since = Timestamp(first.saturating_mul(SLOT_MS)).max(self.began);
        let window = now.since(since).max(SHORTEST);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let requests_per_second = requests as f64 / window.as_secs_f64();
        RecentFigures {
            window,
            requests,
            requests_per_second,
            error_rate: share(errors, requests),
            p50: latency.quantile(0.5),
            p99: latency.quantile(0.99),
        }
    }
}

/// `part` of `all`; none of nothing.
fn share(part: u64, all: u64) -> Option<Ppm> {
    let parts = u128::from(part.min(all)) * u128::from(Ppm::ALL.parts());
    let parts = parts.checked_div(u128::from(all))?;
    u32::try_from(parts).ok().and_then(|parts| Ppm::new(parts).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64, errors: u64, took: Duration) -> Counts {
        let mut counts = Counts { requests, errors, ..Counts::default() };
        (0..requests).for_each(|_| counts.latency.record(took));
        counts
    }

    /// 40 requests a second for ten minutes, reported every 250 ms; the last second is slow and fails.
    #[test]
    fn figures_are_those_of_the_last_half_minute() {
        let mut recent = RecentCounts::default();
        let mut now = Timestamp(0);
        for report in 1..=2_400 {
            now = Timestamp(report * 250);
            let is_last = report > 2_396;
            let took = Duration::from_millis(if is_last { 2_000 } else { 10 });
            recent.add(now, &counts(10, if is_last { 10 } else { 0 }, took));
            assert!(recent.slots.len() as u64 <= SLOTS, "{}", recent.slots.len());
        }
        let seen = recent.figures(now);
        assert!((25..=30).contains(&seen.window.as_secs()), "{:?}", seen.window);
        assert!((seen.requests_per_second - 40.0).abs() < 2.0, "{}", seen.requests_per_second);
        let errors = seen.error_rate.unwrap().fraction();
        assert!((errors - 40.0 / seen.requests as f64).abs() < 1e-5, "{errors}");
        assert!(seen.p50.unwrap() < Duration::from_millis(12), "{:?}", seen.p50);
        assert!(seen.p99.unwrap() > Duration::from_millis(1_800), "{:?}", seen.p99);
    }

    #[test]
    fn a_rate_refers_to_the_time_since_the_first_request() {
        let mut recent = RecentCounts::default();
        recent.add(Timestamp(1_000_000), &counts(10, 0, Duration::ZERO));
        recent.add(Timestamp(1_004_000), &counts(30, 0, Duration::ZERO));
        assert!((recent.figures(Timestamp(1_004_000)).requests_per_second - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_version_without_requests_has_no_figures_but_a_rate_of_zero() {
        let mut recent = RecentCounts::default();
        recent.add(Timestamp(1_000), &counts(10, 5, Duration::from_millis(1)));
        for recent in [&recent, &RecentCounts::default()] {
            let seen = recent.figures(Timestamp(60_000));
            assert_eq!((seen.requests, seen.error_rate, seen.p50, seen.p99), (0, None, None, None));
            assert!(seen.requests_per_second.abs() < f64::EPSILON);
        }
        recent.add(Timestamp(60_000), &counts(3, 0, Duration::from_millis(1)));
        let seen = recent.figures(Timestamp(61_000));
        assert!((seen.requests_per_second - 3.0).abs() < 1e-9, "{}", seen.requests_per_second);
    }
}
