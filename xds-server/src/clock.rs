//! Time, read in one place and passed on as a value, so that decisions can be replayed.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::delivery::units::Timestamp;

/// A clock that never runs backwards.
#[derive(Clone)]
pub struct Clock {
    read: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ahead: Duration,
}

impl Clock {
    /// The wall clock as it is now, carried on by the monotonic one: a machine whose clock is set
    /// while a release runs neither stops nor hurries it.
    #[must_use]
    pub fn system() -> Self {
        let started = Instant::now();
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock set to before 1970 reads as 1970.
        let wall = Timestamp::default().after(since.unwrap_or_default());
        Self::new(move || wall.after(started.elapsed()))
    }

    /// A clock over whatever says the time, which must not run backwards.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read), ahead: Duration::ZERO }
    }

    /// From now on it is at least this late, and goes on from there: what an earlier run of the
    /// server saw must not lie in the future.
    pub fn not_before(&mut self, time: Timestamp) {
        self.ahead += time.since(self.now());
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.read)().after(self.ahead)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn goes_on_from_what_was_seen_last() {
        let time = Arc::new(AtomicU64::new(100));
        let beneath = Arc::clone(&time);
        let mut clock = Clock::new(move || Timestamp(beneath.load(Ordering::Relaxed)));
        clock.not_before(Timestamp(50));
        assert_eq!(clock.now(), Timestamp(100));
        clock.not_before(Timestamp(200));
        assert_eq!(clock.now(), Timestamp(200));
        time.store(101, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp(201), "it does not wait for the one beneath");
    }
}
