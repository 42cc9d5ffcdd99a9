//! Decides whether the share of bad requests is above a limit, on counts that grow between evaluations.
//!
//! Two rules; either is sufficient:
//! 1. **Observed rate**: of at least `min_requests` requests, more than the limit were bad.
//! 2. **Sequential test**: the counts are so far above the limit that a version exactly at the limit reaches them, at any
//!    time of its life, with a probability of at most `1 / SEQUENTIAL_THRESHOLD`.
//!
//! The sequential test is valid for any number of evaluations: an equal mixture of the likelihood ratios of
//! [`ALTERNATIVES`] higher shares against the limit is a supermartingale under every share up to the limit. By Ville's
//! inequality it reaches `x` with a probability of at most `1 / x` (Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform
//! Chernoff bounds via nonnegative supermartingales", 2020, <https://arxiv.org/abs/1808.03204>).

use crate::units::Ppm;

/// The likelihood ratio at which the sequential test rejects. Its inverse bounds the probability of a false alarm.
pub const SEQUENTIAL_THRESHOLD: f64 = 1000.0;

/// Minimum sample size of both rules: a few failures in a row may be the retries of one client.
pub const MIN_SAMPLE: u64 = 10;

/// Number of alternatives in the mixture: the limit plus 1, 1/2, 1/4, … of its distance to 100 %.
const ALTERNATIVES: i32 = 8;

/// Rule 1, or rule 2 below `min_requests`. For counts since a fixed time.
#[must_use]
pub fn is_exceeded(bad: u64, requests: u64, limit: Ppm, min_requests: u64) -> bool {
    if requests < min_requests.max(MIN_SAMPLE) {
        return is_exceeded_sequentially(bad, requests, limit);
    }
    let observed = u128::from(bad) * u128::from(Ppm::ALL.parts());
    observed > u128::from(requests) * u128::from(limit.parts())
}

/// Rule 2 alone. For sliding windows, in which rule 1 would test a new sample at each evaluation.
#[must_use]
pub fn is_exceeded_sequentially(bad: u64, requests: u64, limit: Ppm) -> bool {
    requests >= MIN_SAMPLE
        && limit < Ppm::ALL
        && likelihood_ratio(bad, requests, limit) >= SEQUENTIAL_THRESHOLD
}

/// The mixture of the likelihood ratios of the alternatives against the limit.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52, and a ratio")]
fn likelihood_ratio(bad: u64, requests: u64, limit: Ppm) -> f64 {
    // A limit of 0 % is exceeded by the first bad request; the smallest share keeps the ratio finite.
    let limit = limit.fraction().max(1e-6);
    let (bad, good) = (bad as f64, requests.saturating_sub(bad) as f64);
    let ratio = |alternative: f64| {
        let of_bad = bad * (alternative / limit).ln();
        // 0 · ln 0 is 0: without good requests the alternative of 100 % has no factor of zero.
        let of_good =
            if good == 0.0 { 0.0 } else { good * ((1.0 - alternative) / (1.0 - limit)).ln() };
        (of_bad + of_good).exp()
    };
    let sum: f64 = (0..ALTERNATIVES).map(|j| ratio(limit + (1.0 - limit) * 0.5_f64.powi(j))).sum();
    sum / f64::from(ALTERNATIVES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: Ppm = Ppm::percent(5);
    const MIN_REQUESTS: u64 = 100;

    #[test]
    fn a_version_that_fails_every_request_is_detected_with_the_minimum_sample() {
        assert!(is_exceeded(MIN_SAMPLE, MIN_SAMPLE, LIMIT, MIN_REQUESTS));
        assert!(!is_exceeded(MIN_SAMPLE - 1, MIN_SAMPLE - 1, LIMIT, MIN_REQUESTS));
    }

    #[test]
    fn with_min_requests_the_observed_rate_decides() {
        assert!(is_exceeded(6, 100, LIMIT, MIN_REQUESTS));
        assert!(!is_exceeded(5, 100, LIMIT, MIN_REQUESTS), "exactly the limit does not exceed it");
    }

    #[test]
    fn a_small_sample_needs_stronger_evidence() {
        assert!(!is_exceeded(2, 20, LIMIT, MIN_REQUESTS), "10 % of 20 is possible at 5 %");
        assert!(is_exceeded(9, 20, LIMIT, MIN_REQUESTS), "45 % of 20 is not");
    }

    #[test]
    fn no_request_and_no_limit_exceed_nothing() {
        assert!(!is_exceeded(0, 0, LIMIT, MIN_REQUESTS));
        assert!(!is_exceeded(0, 1_000_000, Ppm::ZERO, MIN_REQUESTS));
        assert!(!is_exceeded(1_000_000, 1_000_000, Ppm::ALL, MIN_REQUESTS));
    }

    /// Evaluated after every request of versions exactly at the limit, the rate of false alarms is within the bound.
    #[test]
    fn the_rate_of_false_alarms_is_bounded() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            // xorshift64* with a fixed seed.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
        };
        let at_limit = u64::from(LIMIT.parts()) * (1 << 32) / 1_000_000;
        let runs = 20_000;
        let false_alarms = (0..runs)
            .filter(|_| {
                let mut bad = 0;
                (1..=400).any(|requests| {
                    bad += u64::from(next() < at_limit);
                    is_exceeded_sequentially(bad, requests, LIMIT)
                })
            })
            .count();
        // The bound is 20 of 20 000, plus three standard deviations.
        assert!(false_alarms <= 34, "{false_alarms} of {runs}");
    }

    proptest! {
        #[test]
        fn more_bad_requests_never_clear_a_version(
            requests in 0_u64..5_000, bad in 0_u64..5_000, limit in 0_u32..1_000_000
        ) {
            let limit = Ppm::new(limit).unwrap();
            let bad = bad.min(requests);
            if bad < requests && is_exceeded(bad, requests, limit, 1_000) {
                prop_assert!(is_exceeded(bad + 1, requests, limit, 1_000));
            }
        }
    }
}
