//! The one place that reads the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::delivery::units::Timestamp;

/// The wall clock as it was when the server started, carried on by the monotonic one: a machine
/// whose clock is set while a release runs neither stops nor hurries it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    wall_at_start: Timestamp,
}

impl Clock {
    /// Reads the wall clock, this once.
    #[must_use]
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let wall = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        Self {
            started: Instant::now(),
            wall_at_start: Timestamp(wall),
        }
    }

    /// The same clock, but not before `earliest`: what was decided before a restart must not lie in
    /// the future.
    #[must_use]
    pub fn not_before(self, earliest: Timestamp) -> Self {
        Self {
            wall_at_start: self.wall_at_start.max(earliest),
            ..self
        }
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.wall_at_start.0.saturating_add(elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_from_what_was_decided_last() {
        let clock = Clock::start();
        let future = Timestamp(clock.now().0 + 1_000_000);
        assert!(clock.not_before(future).now() >= future);
        assert!(clock.not_before(Timestamp(0)).now() < future);
    }
}
