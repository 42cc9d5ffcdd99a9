//! How often sidecars report: as often as is wanted, until that takes too much of a core. Then the
//! intervals widen. What is reported later is not lost: a report holds all since the one before.

use std::time::Duration;

use tidegate_core::config::{INTERVAL_IDLE_MS, INTERVAL_RELEASING_MS};

use tidegate_delivery::units::Timestamp;

/// How much of one core reports may take: pushes and decisions need the rest of it, on the smallest
/// machine that there is.
const SHARE: f64 = 0.5;
/// What a report takes beside what is done here: HTTP/2, protobuf, an answer. `make fleet` counts the
/// whole of it at some 32 µs.
const CARRIAGE: Duration = Duration::from_micros(30);
/// The longest interval. A fleet that is too large even for that needs a larger machine: above it the
/// judge would be of little use.
const LONGEST_MS: u32 = 10_000;
/// What of a stretch is left after a second of having time enough. Slowly: the reports that make it
/// necessary have just become fewer because of it.
const CALMING: f64 = 0.9;
/// How long one watches before one decides, at the least.
const WATCH: Duration = Duration::from_secs(1);

/// The interval, and what reports took since it was set.
#[derive(Debug)]
pub(super) struct Pace {
    /// What is wanted, in milliseconds.
    wanted: u32,
    /// How many times that it is.
    stretch: f64,
    since: Timestamp,
    busy: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let (since, busy) = (Timestamp::default(), Duration::ZERO);
        Self { wanted: INTERVAL_IDLE_MS, stretch: 1.0, since, busy }
    }
}

impl Pace {
    /// What is wanted depends on whether a release runs.
    pub(super) const fn follow(&mut self, is_releasing: bool) {
        self.wanted = if is_releasing { INTERVAL_RELEASING_MS } else { INTERVAL_IDLE_MS };
    }

    /// Notes that a report was handled, and how long that took.
    pub(super) fn charge(&mut self, now: Timestamp, handling: Duration) {
        self.busy += handling + CARRIAGE;
        let watched = now.since(self.since);
        // Everybody must have reported by the interval of now, or it would be widened again for what
        // it has mended already.
        let round = Duration::from_millis(2 * u64::from(self.interval_ms()));
        if watched < WATCH.max(round) {
            return;
        }
        // Reports are the fewer the wider the interval, so this sets it right at once.
        let too_much = self.busy.as_secs_f64() / watched.as_secs_f64() / SHARE;
        let calmed = CALMING.powf(watched.as_secs_f64());
        let most = f64::from(LONGEST_MS) / f64::from(self.wanted);
        self.stretch = (self.stretch * too_much.max(calmed)).clamp(1.0, most);
        (self.since, self.busy) = (now, Duration::ZERO);
    }

    /// How long a sidecar should wait before its next report, in milliseconds.
    pub(super) fn interval_ms(&self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is positive, and a float that is too large becomes the largest number"
        )]
        let stretched = (f64::from(self.wanted) * self.stretch).round() as u32;
        stretched.min(LONGEST_MS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What handling takes here: with the carriage, 40 µs a report.
    const HANDLING: Duration = Duration::from_micros(10);

    /// Filter instances that do as they are told, on a clock of their own.
    struct Fleet {
        pace: Pace,
        now: u64,
        /// When each reports next.
        due: Vec<u64>,
    }

    impl Fleet {
        /// They report in turn, the first time within the interval of a release.
        fn of(instances: u64) -> Self {
            let mut pace = Pace::default();
            pace.follow(true);
            let now = 1_000_000;
            pace.since = Timestamp(now);
            Self { pace, now, due: (0..instances).map(|it| now + it % 250).collect() }
        }

        /// Lets time pass. Returns the share of a core that reports took.
        fn live(&mut self, millis: u64) -> f64 {
            let mut reports = 0_u32;
            for now in self.now..self.now + millis {
                for due in self.due.iter_mut().filter(|due| **due <= now) {
                    reports += 1;
                    self.pace.charge(Timestamp(now), HANDLING);
                    *due = now + u64::from(self.pace.interval_ms());
                }
            }
            self.now += millis;
            f64::from(reports) * (HANDLING + CARRIAGE).as_secs_f64() / (millis as f64 / 1e3)
        }
    }

    #[test]
    fn a_small_fleet_reports_as_often_as_is_wanted() {
        let mut fleet = Fleet::of(1_000);
        let share = fleet.live(5_000);
        assert!((0.1..0.2).contains(&share), "{share}");
        assert_eq!(fleet.pace.interval_ms(), INTERVAL_RELEASING_MS);
        fleet.pace.follow(false);
        assert_eq!(fleet.pace.interval_ms(), INTERVAL_IDLE_MS);
    }

    #[test]
    fn a_large_fleet_reports_less_often_and_takes_no_more_than_its_share() {
        // 9 000 sidecars of two threads would take 2.9 cores.
        let mut fleet = Fleet::of(18_000);
        fleet.live(5_000);
        for _ in 0..3 {
            let share = fleet.live(5_000);
            assert!((0.35..0.65).contains(&share), "{share}");
        }
        let interval = fleet.pace.interval_ms();
        assert!((1_100..2_000).contains(&interval), "{interval}");
    }

    #[test]
    fn it_recovers_slowly_when_the_fleet_is_small_again() {
        let mut fleet = Fleet::of(18_000);
        fleet.live(10_000);
        fleet.due.truncate(100);
        let mut before = fleet.pace.interval_ms();
        fleet.live(5_000);
        assert!(fleet.pace.interval_ms() > INTERVAL_RELEASING_MS, "not at once");
        for _ in 0..10 {
            fleet.live(3_000);
            let now = fleet.pace.interval_ms();
            assert!(now <= before, "{now} after {before}");
            before = now;
        }
        assert_eq!(before, INTERVAL_RELEASING_MS);
    }

    proptest! {
        #[test]
        fn it_stays_within_bounds(
            reports in proptest::collection::vec((0_u64..5_000, 0_u64..100_000, proptest::bool::ANY), 0..500),
        ) {
            let (mut pace, mut now) = (Pace::default(), 0);
            for (later, micros, is_releasing) in reports {
                now += later;
                pace.follow(is_releasing);
                pace.charge(Timestamp(now), Duration::from_micros(micros));
                let interval = pace.interval_ms();
                prop_assert!((pace.wanted..=LONGEST_MS).contains(&interval), "{interval}");
            }
        }
    }
}
