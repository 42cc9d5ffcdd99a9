//! Due time, user and target of each request: a pure function of the request's number, hence without drift.

use std::time::Duration;

use super::ConfigError;

/// Requests per second that one task can sustain.
const MAX_RATE: f64 = 100_000.0;

/// The requests of a load generator, in order.
#[derive(Debug)]
pub(super) struct Schedule {
    rate: f64,
    targets: u64,
    users: u64,
    next: u64,
}

/// A request that is not sent yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ScheduledRequest {
    /// Due time since the start of the load generator.
    pub(super) due: Duration,
    /// Index into the targets.
    pub(super) target: usize,
    /// `None` without users.
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

    /// The next request. Its due time is computed from its number, not from the last wake-up, so a late wake-up does not
    /// delay the following requests.
    pub(super) fn next_request(&mut self) -> ScheduledRequest {
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
        // Each user sends to every target before the next user does, so that tests can compare the targets' routing.
        let user = (number / self.targets).checked_rem(self.users);
        ScheduledRequest { due, target, user }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_schedule_keeps_the_rate_without_drift() {
        let mut schedule = Schedule::new(300.0, 1, 0).unwrap();
        let last = (0..=3_000_000).map(|_| schedule.next_request()).last().unwrap();
        assert_eq!(last.due, Duration::from_secs(10_000));
    }

    #[test]
    fn every_user_sends_to_every_target() {
        for (targets, users) in [(2, 10), (3, 9), (1, 4), (4, 1)] {
            let mut schedule = Schedule::new(1.0, targets, users).unwrap();
            let pairs: HashSet<_> = (0..targets as u64 * users)
                .map(|_| schedule.next_request())
                .map(|scheduled| (scheduled.user.unwrap(), scheduled.target))
                .collect();
            assert_eq!(pairs.len() as u64, targets as u64 * users);
        }
    }

    #[test]
    fn without_users_requests_have_no_user() {
        assert_eq!(Schedule::new(1.0, 1, 0).unwrap().next_request().user, None);
    }

    #[test]
    fn rates_out_of_range_and_empty_targets_are_rejected() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e6] {
            assert!(matches!(Schedule::new(rate, 1, 1), Err(ConfigError::Rate(_))), "{rate}");
        }
        assert!(matches!(Schedule::new(1.0, 0, 1), Err(ConfigError::NoTarget)));
    }
}
