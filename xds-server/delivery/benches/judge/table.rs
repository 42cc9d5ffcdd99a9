//! The table of false rollbacks, with exact (Clopper–Pearson) intervals.

use crate::run::Rollbacks;

pub(crate) const HEAD: &str = "world                         |  rps | base % | Tidegate %                | held % | first judge % | Flagger % | Argo % | Kayenta %";

pub(crate) fn row(world: &str, rps: u32, base: f64, counts: &Rollbacks) -> String {
    let share = |count: u64| 100.0 * count as f64 / counts.releases as f64;
    let [tidegate, others @ ..] = counts.rolled_back;
    let (low, high) = interval(tidegate, counts.releases);
    let of_tidegate = format!("{:.3} [{:.3}, {:.3}]", share(tidegate), 100.0 * low, 100.0 * high);
    let [first, flagger, argo, kayenta] = others.map(share);
    let held = share(counts.held);
    format!(
        "{world:29} | {rps:4} | {base:6} | {of_tidegate:25} | {held:6.2} | {first:13.2} | {flagger:9.2} | {argo:6.2} | {kayenta:9.2}"
    )
}

/// The exact 95 % interval of a share.
pub(crate) fn interval(count: u64, of: u64) -> (f64, f64) {
    let low = if count == 0 { 0.0 } else { solve(|p| at_least(count, of, p) - 0.025) };
    let high =
        if count == of { 1.0 } else { solve(|p| 0.025 - (1.0 - at_least(count + 1, of, p))) };
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
    let (mut ln, mut below) = (of as f64 * (1.0 - p).ln(), 0.0);
    for k in 0..count {
        below += f64::exp(ln);
        ln += ((of - k) as f64).ln() - ((k + 1) as f64).ln() + p.ln() - (1.0 - p).ln();
    }
    (1.0 - below).max(0.0)
}
