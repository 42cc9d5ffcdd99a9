//! The interval between reports. Sidecars report every 250 ms during a release and every 5 s otherwise, unless the reports
//! use more than [`MAX_CPU_SHARE`] of a core; then the interval grows. No count is lost: a report contains everything since
//! the previous one.

use std::time::Duration;

use tidegate_core::config::{INTERVAL_IDLE_ISTIO_MS, INTERVAL_IDLE_MS, INTERVAL_RELEASING_MS};

use tidegate_delivery::units::Timestamp;

/// Share of one core that reports may use. Decisions and pushes need the rest on a machine with one core.
const MAX_CPU_SHARE: f64 = 0.5;
/// CPU time per report outside of [`super::grpc`]: HTTP/2, protobuf, the response. `make fleet` measures about 32 µs in all.
const TRANSPORT_TIME: Duration = Duration::from_micros(30);
/// Longest interval. A fleet that needs a longer one needs a larger machine, because the judge would see too little.
const MAX_INTERVAL_MS: u32 = 10_000;
/// Factor per second by which an extended interval shrinks while reports use less than their share. It is close to 1,
/// because the extended interval is the reason why they use less.
const DECAY: f64 = 0.9;
/// Shortest time over which the CPU share is measured.
const MIN_MEASUREMENT: Duration = Duration::from_secs(1);

/// The interval, and the CPU time of reports since it was set.
#[derive(Debug)]
pub(super) struct ReportInterval {
    /// The interval without load, in milliseconds.
    base_ms: u32,
    /// Multiple of `base_ms` in force, at least 1.
    factor: f64,
    measured_since: Timestamp,
    cpu_time: Duration,
}

impl Default for ReportInterval {
    fn default() -> Self {
        let (measured_since, cpu_time) = (Timestamp::default(), Duration::ZERO);
        Self { base_ms: INTERVAL_IDLE_MS, factor: 1.0, measured_since, cpu_time }
    }
}

impl ReportInterval {
    /// Sets the interval without load.
    pub(super) const fn set_releasing(&mut self, is_releasing: bool) {
        self.base_ms = if is_releasing { INTERVAL_RELEASING_MS } else { INTERVAL_IDLE_MS };
    }

    /// Adds the CPU time of one report.
    pub(super) fn charge(&mut self, now: Timestamp, handling: Duration) {
        self.cpu_time += handling + TRANSPORT_TIME;
        let measured = now.since(self.measured_since);
        // Two intervals: every sidecar must have reported at the current one, or an extension that is in force would be
        // extended again.
        let two_intervals = Duration::from_millis(2 * u64::from(self.interval_ms()));
        if measured < MIN_MEASUREMENT.max(two_intervals) {
            return;
        }
        // The rate of reports is inversely proportional to the interval, so one correction is enough.
        let correction = self.cpu_time.as_secs_f64() / measured.as_secs_f64() / MAX_CPU_SHARE;
        let decay = DECAY.powf(measured.as_secs_f64());
        let max_factor = f64::from(MAX_INTERVAL_MS) / f64::from(self.base_ms);
        self.factor = (self.factor * correction.max(decay)).clamp(1.0, max_factor);
        (self.measured_since, self.cpu_time) = (now, Duration::ZERO);
    }

    /// Milliseconds that a sidecar of an Istio fleet waits before its next report, which brings its configuration.
    pub(super) fn istio_interval_ms(&self) -> u32 {
        self.extended(self.base_ms.min(INTERVAL_IDLE_ISTIO_MS))
    }

    /// Milliseconds that a sidecar waits before its next report.
    pub(super) fn interval_ms(&self) -> u32 {
        self.extended(self.base_ms)
    }

    fn extended(&self, base_ms: u32) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is positive, and a cast of a too large float saturates"
        )]
        let extended = (f64::from(base_ms) * self.factor).round() as u32;
        extended.min(MAX_INTERVAL_MS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// With [`TRANSPORT_TIME`], 40 µs per report.
    const HANDLING: Duration = Duration::from_micros(10);

    /// Simulated filter instances that keep the interval of the responses.
    struct Fleet {
        interval: ReportInterval,
        now: u64,
        /// Time of the next report of each instance.
        due: Vec<u64>,
    }

    impl Fleet {
        /// Their first reports are spread over one interval.
        fn of(instances: u64) -> Self {
            let mut interval = ReportInterval::default();
            interval.set_releasing(true);
            let now = 1_000_000;
            interval.measured_since = Timestamp(now);
            Self { interval, now, due: (0..instances).map(|it| now + it % 250).collect() }
        }

        /// Advances time. Returns the share of a core that reports used.
        fn run(&mut self, millis: u64) -> f64 {
            let mut reports = 0_u32;
            for now in self.now..self.now + millis {
                for due in self.due.iter_mut().filter(|due| **due <= now) {
                    reports += 1;
                    self.interval.charge(Timestamp(now), HANDLING);
                    *due = now + u64::from(self.interval.interval_ms());
                }
            }
            self.now += millis;
            f64::from(reports) * (HANDLING + TRANSPORT_TIME).as_secs_f64() / (millis as f64 / 1e3)
        }
    }

    #[test]
    fn a_small_fleet_keeps_the_base_interval() {
        let mut fleet = Fleet::of(1_000);
        let share = fleet.run(5_000);
        assert!((0.1..0.2).contains(&share), "{share}");
        assert_eq!(fleet.interval.interval_ms(), INTERVAL_RELEASING_MS);
        fleet.interval.set_releasing(false);
        assert_eq!(fleet.interval.interval_ms(), INTERVAL_IDLE_MS);
    }

    #[test]
    fn a_large_fleet_is_limited_to_the_cpu_share() {
        // 9 000 sidecars of two threads would use 2.9 cores.
        let mut fleet = Fleet::of(18_000);
        fleet.run(5_000);
        for _ in 0..3 {
            let share = fleet.run(5_000);
            assert!((0.35..0.65).contains(&share), "{share}");
        }
        let interval = fleet.interval.interval_ms();
        assert!((1_100..2_000).contains(&interval), "{interval}");
    }

    #[test]
    fn the_interval_shrinks_slowly_when_the_fleet_shrinks() {
        let mut fleet = Fleet::of(18_000);
        fleet.run(10_000);
        fleet.due.truncate(100);
        let mut before = fleet.interval.interval_ms();
        fleet.run(5_000);
        assert!(fleet.interval.interval_ms() > INTERVAL_RELEASING_MS, "not at once");
        for _ in 0..10 {
            fleet.run(3_000);
            let now = fleet.interval.interval_ms();
            assert!(now <= before, "{now} after {before}");
            before = now;
        }
        assert_eq!(before, INTERVAL_RELEASING_MS);
    }

    proptest! {
        #[test]
        fn the_interval_is_within_its_bounds(
            reports in proptest::collection::vec((0_u64..5_000, 0_u64..100_000, proptest::bool::ANY), 0..500),
        ) {
            let (mut report_interval, mut now) = (ReportInterval::default(), 0);
            for (later, micros, is_releasing) in reports {
                now += later;
                report_interval.set_releasing(is_releasing);
                report_interval.charge(Timestamp(now), Duration::from_micros(micros));
                let interval = report_interval.interval_ms();
                prop_assert!((report_interval.base_ms..=MAX_INTERVAL_MS).contains(&interval), "{interval}");
            }
        }
    }
}
