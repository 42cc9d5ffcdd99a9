//! When a Poisson process is first below a rising boundary: the median.
//!
//! A step passes as soon as the candidate had few enough failures, and it is evaluated all the time. So luck ends it sooner
//! than the median path does, which is below the boundary once. The boundary is known at some points, and linear between them.

/// Intervals of time until the last point.
const INTERVALS: u32 = 200;
/// Failures that are followed. A boundary above has so little luck that the median path is exact enough.
const MOST: usize = 2_000;

/// A point of the boundary: with at most `failures` until `seconds` the step is passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) seconds: f64,
    pub(super) failures: f64,
}

/// The median time, in seconds. Points have rising times. None if it is later than the last point, or the boundary is above
/// [`MOST`].
pub(super) fn median(points: &[Point], failures_per_second: f64) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    if last.failures > 1_000.0 || !failures_per_second.is_finite() {
        return None;
    }
    let interval = last.seconds / f64::from(INTERVALS);
    let arrivals = poisson(failures_per_second * interval);
    // The probability of each number of failures, of the steps that have not passed.
    let mut open = vec![1.0];
    for index in 1..=INTERVALS {
        let seconds = interval * f64::from(index);
        open = after(&open, &arrivals);
        if seconds < first.seconds {
            continue;
        }
        let boundary = boundary(points, seconds);
        let passed = open.iter_mut().zip(0_u32..).take_while(|(_, it)| f64::from(*it) <= boundary);
        passed.for_each(|(probability, _)| *probability = 0.0);
        if open.iter().sum::<f64>() <= 0.5 {
            return Some(seconds - interval / 2.0);
        }
    }
    None
}

fn boundary(points: &[Point], seconds: f64) -> f64 {
    let pairs = points.iter().zip(points.iter().skip(1));
    let mut between = pairs.filter(|(a, b)| a.seconds <= seconds && seconds <= b.seconds);
    match between.next() {
        Some((a, b)) => {
            let part = (seconds - a.seconds) / (b.seconds - a.seconds).max(1e-9);
            a.failures + part * (b.failures - a.failures)
        }
        None => points.last().map_or(0.0, |it| it.failures),
    }
}

fn after(open: &[f64], arrivals: &[f64]) -> Vec<f64> {
    let length = open.len().saturating_add(arrivals.len()).saturating_sub(1).min(MOST);
    let mut next = vec![0.0; length];
    for (from, probability) in open.iter().enumerate().filter(|(_, it)| **it > 1e-12) {
        for (to, arrival) in next.iter_mut().skip(from).zip(arrivals) {
            *to += probability * arrival;
        }
    }
    // More failures than are followed have not passed: a sum below 1 would say so.
    if let Some(last) = next.last_mut() {
        *last += (open.iter().sum::<f64>() - kept(open, arrivals, length)).max(0.0);
    }
    next
}

/// The probability that stays within a length.
fn kept(open: &[f64], arrivals: &[f64], length: usize) -> f64 {
    let of = |(from, probability): (usize, &f64)| {
        probability * arrivals.iter().take(length.saturating_sub(from)).sum::<f64>()
    };
    open.iter().enumerate().map(of).sum()
}

/// The probabilities of 0, 1, 2, … arrivals, until they are negligible.
fn poisson(mean: f64) -> Vec<f64> {
    let mut terms = Vec::new();
    let mut ln = -mean;
    for arrivals in 0..u32::try_from(MOST).unwrap_or(u32::MAX) {
        if arrivals > 0 {
            ln += (mean / f64::from(arrivals)).ln();
        }
        terms.push(ln.exp());
        if f64::from(arrivals) > mean && ln < -30.0 {
            break;
        }
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a chance to pass later, the median is that of the waiting time for the boundary.
    #[test]
    fn a_boundary_at_one_point_is_passed_there_or_not_at_all() {
        let points = [Point { seconds: 10.0, failures: 5.0 }];
        let median = median(&points, 0.5).unwrap();
        assert!((9.9..=10.0).contains(&median), "{median}");
        assert_eq!(super::median(&points, 0.7), None, "P(Poisson(7) ≤ 5) is 0.30");
    }

    #[test]
    fn luck_passes_sooner_than_the_expected_path() {
        // The expected path, one failure a second, meets the boundary after 40 s.
        let points =
            [(20.0, 0.0), (60.0, 80.0)].map(|(seconds, failures)| Point { seconds, failures });
        let median = median(&points, 1.0).unwrap();
        assert!((30.0..40.0).contains(&median), "{median}");
    }

    #[test]
    fn probabilities_add_up() {
        for mean in [0.0, 0.1, 3.0, 700.0] {
            let sum: f64 = poisson(mean).iter().sum();
            assert!((sum - 1.0).abs() < 1e-9, "{mean}: {sum}");
        }
    }
}
