//! Whether a share of bad requests is above a ceiling, on evidence that grows while it is looked at.
//!
//! Two rules, either suffices:
//! 1. **At its word**: of at least `enough` requests, more than the ceiling were bad.
//! 2. **Beyond chance**: of fewer, so many were bad that a version at the ceiling would show as
//!    much, at any moment of its life, with a probability of at most `1 / SEQUENTIAL_THRESHOLD`.
//!
//! The second is a sequential test, valid however often it is asked: an equal mixture of the
//! likelihood ratios of [`ALTERNATIVES`] higher shares against the ceiling is a supermartingale
//! under every share up to the ceiling, so by Ville's inequality it reaches `x` with probability
//! at most `1 / x` (Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform Chernoff bounds via
//! nonnegative supermartingales", 2020, <https://arxiv.org/abs/1808.03204>).

use crate::units::Ppm;

/// How unlikely chance must be: one in this many.
pub const SEQUENTIAL_THRESHOLD: f64 = 1000.0;

/// With fewer requests than this, not even the second rule speaks: one client's retries come together.
pub const MIN_SAMPLE: u64 = 10;

/// Shares of bad requests that the ceiling is compared with: half way to all, a quarter, …, and all.
const ALTERNATIVES: i32 = 8;

/// Rule 1 or rule 2: for evidence gathered since a fixed moment.
#[must_use]
pub fn is_exceeded(bad: u64, requests: u64, ceiling: Ppm, enough: u64) -> bool {
    if requests < enough.max(MIN_SAMPLE) {
        return exceeds_threshold_sequentially(bad, requests, ceiling);
    }
    let observed = u128::from(bad) * u128::from(Ppm::ALL.parts());
    observed > u128::from(requests) * u128::from(ceiling.parts())
}

/// Rule 2 alone: for a window that slides, where a rate would be taken at its word too often.
#[must_use]
pub fn exceeds_threshold_sequentially(bad: u64, requests: u64, ceiling: Ppm) -> bool {
    requests >= MIN_SAMPLE
        && ceiling < Ppm::ALL
        && evidence_against(bad, requests, ceiling) >= SEQUENTIAL_THRESHOLD
}

/// The mixture of likelihood ratios: how much better "above the ceiling" explains what was seen.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52, and a ratio")]
fn evidence_against(bad: u64, requests: u64, ceiling: Ppm) -> f64 {
    // A ceiling of nothing is broken by the first bad request; the smallest share keeps the ratio finite.
    let ceiling = ceiling.fraction().max(1e-6);
    let (bad, good) = (bad as f64, requests.saturating_sub(bad) as f64);
    let ratio = |alternative: f64| {
        let of_bad = bad * (alternative / ceiling).ln();
        // 0 · ln 0 is 0: no good request contradicts "all are bad".
        let of_good =
            if good == 0.0 { 0.0 } else { good * ((1.0 - alternative) / (1.0 - ceiling)).ln() };
        (of_bad + of_good).exp()
    };
    let sum: f64 =
        (0..ALTERNATIVES).map(|j| ratio(ceiling + (1.0 - ceiling) * 0.5_f64.powi(j))).sum();
    sum / f64::from(ALTERNATIVES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CEILING: Ppm = Ppm::percent(5);
    const ENOUGH: u64 = 100;

    #[test]
    fn a_version_that_fails_everything_is_found_at_once() {
        assert!(is_exceeded(MIN_SAMPLE, MIN_SAMPLE, CEILING, ENOUGH));
        assert!(!is_exceeded(MIN_SAMPLE - 1, MIN_SAMPLE - 1, CEILING, ENOUGH));
    }

    #[test]
    fn with_enough_requests_the_rate_is_taken_at_its_word() {
        assert!(is_exceeded(6, 100, CEILING, ENOUGH));
        assert!(!is_exceeded(5, 100, CEILING, ENOUGH), "exactly the ceiling is not above it");
    }

    #[test]
    fn a_little_bad_luck_early_is_not_evidence() {
        assert!(!is_exceeded(2, 20, CEILING, ENOUGH), "10 %, but of 20");
        assert!(is_exceeded(9, 20, CEILING, ENOUGH), "45 % of 20 is no luck");
    }

    #[test]
    fn nothing_is_never_too_much() {
        assert!(!is_exceeded(0, 0, CEILING, ENOUGH));
        assert!(!is_exceeded(0, 1_000_000, Ppm::ZERO, ENOUGH));
        assert!(!is_exceeded(1_000_000, 1_000_000, Ppm::ALL, ENOUGH));
    }

    /// Asked after every request of many versions exactly at the ceiling, the sequential rule errs
    /// no more often than it promises.
    #[test]
    fn the_sequential_rule_keeps_its_promise() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            // xorshift64*, seeded: the same run every time.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
        };
        let at_ceiling = u64::from(CEILING.parts()) * (1 << 32) / 1_000_000;
        let runs = 20_000;
        let wrong = (0..runs)
            .filter(|_| {
                let mut bad = 0;
                (1..=400).any(|requests| {
                    bad += u64::from(next() < at_ceiling);
                    exceeds_threshold_sequentially(bad, requests, CEILING)
                })
            })
            .count();
        // 20 are allowed in 20 000; three standard deviations of slack.
        assert!(wrong <= 34, "{wrong} of {runs}");
    }

    proptest! {
        #[test]
        fn more_bad_requests_never_clear_a_version(
            requests in 0_u64..5_000, bad in 0_u64..5_000, ceiling in 0_u32..1_000_000
        ) {
            let ceiling = Ppm::new(ceiling).unwrap();
            let bad = bad.min(requests);
            if bad < requests && is_exceeded(bad, requests, ceiling, 1_000) {
                prop_assert!(is_exceeded(bad + 1, requests, ceiling, 1_000));
            }
        }
    }
}
