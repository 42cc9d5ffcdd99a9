//! Statistical test for splits, which are never exact.

/// Significance: a deviation as unlikely as this many standard deviations of a normal variable fails a test. A suite that
/// compares a thousand splits fails by chance in at most one of ten runs.
const Z: f64 = 4.5;

/// Whether `k` of `n` is a plausible outcome of trials with probability `p`.
///
/// By Chernoff's bound, the probability of `k` or a more extreme outcome is at most `exp(-n · KL(k/n ‖ p))`. Unlike a
/// normal approximation, the bound is also valid for few expected hits.
#[must_use]
pub fn plausible(k: u64, n: u64, p: f64) -> bool {
    if n == 0 || k > n || !(0.0..=1.0).contains(&p) {
        return false;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of requests, far below 2^53")]
    let (n, share) = (n as f64, k as f64 / n as f64);
    n * (divergence(share, p) + divergence(1.0 - share, 1.0 - p)) <= Z * Z / 2.0
}

/// One term of the Kullback–Leibler divergence, where `0 · ln 0` is 0.
fn divergence(observed: f64, expected: f64) -> f64 {
    if observed == 0.0 { 0.0 } else { observed * (observed / expected).ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likely_outcomes_are_plausible_and_unlikely_ones_are_not() {
        for (k, n, p) in [
            (50, 1000, 0.05),
            (75, 1000, 0.05),
            (29, 1000, 0.05),
            (0, 100, 0.01),
            (5, 100, 0.01),
            (500, 1000, 0.5),
        ] {
            assert!(plausible(k, n, p), "{k} of {n} at {p}");
        }
        for (k, n, p) in [
            (100, 1000, 0.05),
            (15, 1000, 0.05),
            (0, 1000, 0.05),
            (20, 100, 0.01),
            (590, 1000, 0.5),
        ] {
            assert!(!plausible(k, n, p), "{k} of {n} at {p}");
        }
    }

    #[test]
    fn probabilities_0_and_1_allow_no_deviation() {
        assert!(plausible(0, 1000, 0.0) && plausible(1000, 1000, 1.0));
        assert!(!plausible(1, 1000, 0.0) && !plausible(999, 1000, 1.0));
    }

    #[test]
    fn no_data_is_not_plausible() {
        assert!(!plausible(0, 0, 0.5) && !plausible(2, 1, 0.5) && !plausible(1, 2, f64::NAN));
    }
}
