//! Time, read in one place and passed on as a value, so that decisions can be replayed.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::delivery::units::Timestamp;

/// The wall clock, as it is.
#[must_use]
pub fn wall() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where the clock is read"
    )]
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock set to before 1970 reads as 1970.
    Timestamp::default().after(since.unwrap_or_default())
}

/// A clock that never goes back. If the one beneath does, this one stands still until it has
/// caught up: steps last longer then, which is the safe side.
pub struct Clock {
    read: Box<dyn Fn() -> Timestamp + Send>,
    latest: Timestamp,
}

impl Clock {
    /// A clock over whatever says the time, [`wall`] as a rule.
    pub fn new(read: impl Fn() -> Timestamp + Send + 'static) -> Self {
        Self {
            read: Box::new(read),
            latest: Timestamp::default(),
        }
    }

    /// From now on it is at least this late. For what an earlier run of the server saw.
    pub fn not_before(&mut self, time: Timestamp) {
        self.latest = self.latest.max(time);
    }

    /// The time.
    pub fn now(&mut self) -> Timestamp {
        self.not_before((self.read)());
        self.latest
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("latest", &self.latest)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn never_goes_back() {
        let time = Arc::new(AtomicU64::new(100));
        let beneath = Arc::clone(&time);
        let mut clock = Clock::new(move || Timestamp(beneath.load(Ordering::Relaxed)));
        assert_eq!(clock.now(), Timestamp(100));
        time.store(50, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp(100));
        clock.not_before(Timestamp(200));
        assert_eq!(clock.now(), Timestamp(200));
        time.store(300, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp(300));
    }
}
