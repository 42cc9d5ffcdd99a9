//! Requests that were sent completely and have no response yet, with their ages: a version that hangs
//! is seen while it hangs.
//!
//! The caller reports each request at its end and at the beginning of its response. Memory is bounded:
//! above [`MAX_IN_FLIGHT`] further requests are not tracked.

use std::{collections::BTreeMap, time::Duration};

/// Limit of the tracked requests.
pub const MAX_IN_FLIGHT: usize = 4096;
/// Requests younger than this do not wait yet.
pub const LEAST_AGE: Duration = Duration::from_millis(250);

/// The requests by their number, each with what the caller needs to know of it.
#[derive(Debug)]
pub struct InFlight<T> {
    requests: BTreeMap<u32, (Duration, T)>,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self { requests: BTreeMap::new() }
    }
}

impl<T> InFlight<T> {
    /// The request was sent completely at this time.
    pub fn begin(&mut self, number: u32, sent: Duration, known: T) {
        if self.requests.len() < MAX_IN_FLIGHT {
            self.requests.insert(number, (sent, known));
        }
    }

    /// The response begins, or the request ends without one.
    pub fn end(&mut self, number: u32) {
        self.requests.remove(&number);
    }

    /// Whether no request is tracked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// The requests that have waited for at least [`LEAST_AGE`], with their number and age.
    pub fn waiting(&mut self, now: Duration) -> impl Iterator<Item = (u32, Duration, &mut T)> {
        self.requests.iter_mut().filter_map(move |(number, (sent, known))| {
            let age = now.saturating_sub(*sent);
            (age >= LEAST_AGE).then_some((*number, age, known))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn waiting(in_flight: &mut InFlight<&'static str>, now: u64) -> Vec<(u32, u128)> {
        in_flight.waiting(ms(now)).map(|(number, age, _)| (number, age.as_millis())).collect()
    }

    #[test]
    fn a_request_waits_until_its_response_begins() {
        let mut in_flight = InFlight::default();
        in_flight.begin(7, ms(1_000), "v1");
        in_flight.begin(9, ms(1_100), "v2");
        assert_eq!(waiting(&mut in_flight, 1_200), []);
        assert_eq!(waiting(&mut in_flight, 1_300), [(7, 300)]);
        assert_eq!(waiting(&mut in_flight, 1_400), [(7, 400), (9, 300)]);
        // A clock that steps back.
        assert_eq!(waiting(&mut in_flight, 0), []);
        in_flight.end(7);
        in_flight.end(7);
        assert_eq!(waiting(&mut in_flight, 1_500), [(9, 400)]);
        in_flight.end(9);
        assert!(in_flight.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut in_flight = InFlight::default();
        (0..10_000).for_each(|number| in_flight.begin(number, ms(0), "v1"));
        assert_eq!(waiting(&mut in_flight, 1_000).len(), MAX_IN_FLIGHT);
        (0..10_000).for_each(|number| in_flight.end(number));
        assert!(in_flight.is_empty());
    }
}
