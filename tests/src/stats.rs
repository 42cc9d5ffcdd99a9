//! Whether a count is chance: for splits, which are never exact.

/// How sure a test is before it fails: a deviation as unlikely as this many standard deviations of a normal variable.
/// A suite that compares a thousand splits fails by chance once in ten runs of it, at worst.
const Z: f64 = 4.5;

/// Whether `k` of `n` is a plausible outcome when each had probability `p`.
///
/// By Chernoff's bound, the chance of being `k` or further out is at most `exp(-n · KL(k/n ‖ p))`. Unlike a normal
/// approximation that holds for 2 expected hits as well as for 2 million.
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
    fn what_chance_does_is_plausible_and_what_it_does_not_is_not() {
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
    fn nothing_and_everything_are_exact() {
        assert!(plausible(0, 1000, 0.0) && plausible(1000, 1000, 1.0));
        assert!(!plausible(1, 1000, 0.0) && !plausible(999, 1000, 1.0));
    }

    #[test]
    fn no_data_shows_nothing() {
        assert!(!plausible(0, 0, 0.5) && !plausible(2, 1, 0.5) && !plausible(1, 2, f64::NAN));
    }
}
