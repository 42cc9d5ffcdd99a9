//! Exact (Clopper–Pearson) intervals of a share, for reports of simulations.

use super::float;

/// The exact 95 % interval of a share of which `count` of `of` were seen, as fractions.
#[must_use]
pub fn interval(count: u64, of: u64) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let low = if count == 0 { 0.0 } else { solve(|p| at_least(count, of, p) - 0.025) };
    let high = if count >= of {
        1.0
    } else {
        solve(|p| 0.025 - (1.0 - at_least(count.saturating_add(1), of, p)))
    };
    (low, high)
}

/// The zero of an increasing function between 0 and 1.
fn solve(of: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if of(middle) < 0.0 { low = middle } else { high = middle }
    }
    low
}

/// The probability of at least `count` of `of` successes.
fn at_least(count: u64, of: u64, p: f64) -> f64 {
    if p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return 1.0;
    }
    let (mut ln, mut below) = (float(of) * (1.0 - p).ln(), 0.0);
    for k in 0..count {
        below += f64::exp(ln);
        let left = float(of.saturating_sub(k));
        ln += left.ln() - float(k.saturating_add(1)).ln() + p.ln() - (1.0 - p).ln();
    }
    (1.0 - below).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near((low, high): (f64, f64), expected: (f64, f64)) {
        assert!(
            (low - expected.0).abs() < 1e-4 && (high - expected.1).abs() < 1e-4,
            "{low} {high}"
        );
    }

    /// As `scipy.stats.binomtest(k, n).proportion_ci(method="exact")` prints them.
    #[test]
    fn intervals_are_exact() {
        near(interval(0, 100), (0.0, 0.036_217));
        near(interval(100, 100), (0.963_783, 1.0));
        near(interval(5, 100), (0.016_432, 0.112_835));
        near(interval(0, 0), (0.0, 1.0));
    }
}
