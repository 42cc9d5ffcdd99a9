//! When each request is due, who asks, and whom: a pure function of its number, so it cannot drift.

use std::time::Duration;

use super::ConfigError;

/// The fastest rate one task can keep.
const MAX_RATE: f64 = 100_000.0;

/// The arrivals of a load, in order.
#[derive(Debug)]
pub(super) struct Schedule {
    rate: f64,
    targets: u64,
    users: u64,
    next: u64,
}

/// One request to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Arrival {
    /// When it is due, counted from the start of the load.
    pub(super) due: Duration,
    /// Which target it goes to.
    pub(super) target: usize,
    /// Who asks, if users are played.
    pub(super) user: Option<u64>,
}

impl Schedule {
    pub(super) fn new(rate: f64, targets: usize, users: u64) -> Result<Self, ConfigError> {
        if !(rate > 0.0 && rate <= MAX_RATE) {
            return Err(ConfigError::Rate(rate));
        }
        if targets == 0 {
            return Err(ConfigError::NoTarget);
        }
        Ok(Self { rate, targets: targets as u64, users, next: 0 })
    }

    /// The next request. It is due by its own number rather than a period after the last one, so a late wake-up delays
    /// nothing that follows.
    pub(super) fn next_arrival(&mut self) -> Arrival {
        let number = self.next;
        self.next += 1;
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact for 2^53 requests, which take thousands of years"
        )]
        let due = Duration::from_secs_f64(number as f64 / self.rate);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "below `targets`, which came from a usize"
        )]
        let target = (number % self.targets) as usize;
        // A user asks each target in turn before the next user does: whether the targets agree on a user is a question.
        let user = (number / self.targets).checked_rem(self.users);
        Arrival { due, target, user }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_rate_holds_and_never_drifts() {
        let mut schedule = Schedule::new(300.0, 1, 0).unwrap();
        let last = (0..=3_000_000).map(|_| schedule.next_arrival()).last().unwrap();
        assert_eq!(last.due, Duration::from_secs(10_000));
    }

    #[test]
    fn every_user_visits_every_target() {
        for (targets, users) in [(2, 10), (3, 9), (1, 4), (4, 1)] {
            let mut schedule = Schedule::new(1.0, targets, users).unwrap();
            let pairs: HashSet<_> = (0..targets as u64 * users)
                .map(|_| schedule.next_arrival())
                .map(|arrival| (arrival.user.unwrap(), arrival.target))
                .collect();
            assert_eq!(pairs.len() as u64, targets as u64 * users);
        }
    }

    #[test]
    fn no_users_means_no_user() {
        assert_eq!(Schedule::new(1.0, 1, 0).unwrap().next_arrival().user, None);
    }

    #[test]
    fn a_clock_that_cannot_be_kept_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e6] {
            assert!(matches!(Schedule::new(rate, 1, 1), Err(ConfigError::Rate(_))), "{rate}");
        }
        assert!(matches!(Schedule::new(1.0, 0, 1), Err(ConfigError::NoTarget)));
    }
}
