//! Golden vectors, and means of e-values by enumeration.
//!
//! The vectors were computed in Python: the likelihoods with mpmath at 40 digits, by adaptive quadrature over the continuous
//! density; the ratios of negative binomial probabilities with `scipy.stats.nbinom.logpmf`; the jitter by the formula in the
//! documentation of its module, in numpy. An e-value has a mean of at most 1 if no candidate is worse; for one block that mean
//! is a finite sum over the counts of the candidate, so it is computed instead of simulated.

use std::time::Duration;

use proptest::prelude::*;

use super::ceiling::{Ceiling, Confirmation, RecentStable, gain, is_above};
use super::comparison::Comparison;
use super::likelihood::{BlockLikelihood, JitterDensity, LEAST, MOST, Ratio};
use super::{Pair, Units, jitter};
use crate::units::{Ppm, Timestamp};

fn pair(candidate_bad: u64, stable_bad: u64) -> Pair {
    Pair {
        candidate: Units { bad: candidate_bad, all: candidate_bad },
        stable: Units { bad: stable_bad, all: stable_bad },
    }
}

#[test]
fn likelihoods_are_those_of_an_independent_computation() {
    // Failures of candidate and stable, share, ratio, κ; plain and jittered logarithm.
    let vectors = [
        (3, 10, 0.05, 5, 0.2, -8.054_960_357_060_26, -7.890_486_165_516_3),
        (12, 40, 0.1, 3, 0.05, -29.469_646_809_805_9, -29.149_764_353_103_8),
        (0, 25, 0.25, 8, 0.2, -17.459_309_025_006_1, -7.737_286_785_632_31),
        (40, 30, 0.5, 2, 1.0, -47.804_499_013_875_5, -49.702_575_677_347_4),
        (7, 0, 0.05, 22, 0.2, -4.492_817_716_947_21, -3.333_235_293_723_25),
        (150, 900, 0.1, 5, 0.01, -436.315_839_751_7, -432.806_114_421_076),
    ];
    for (candidate, stable, share, ratio, kappa, plain, jittered) in vectors {
        let density = JitterDensity::new(kappa);
        let block = BlockLikelihood::new(pair(candidate, stable), share);
        let table = block.table(&density, LEAST, MOST);
        assert!((table.plain(Ratio(ratio)) - plain).abs() < 1e-9, "{candidate} of {stable}");
        let error = table.jittered(Ratio(ratio)) - jittered;
        // Many failures have a peak that is narrower than the grid; the error is the same for every ratio.
        let most = if candidate + stable > 1_000 { 0.03 } else { 1e-3 };
        assert!(error.abs() < most, "{candidate} of {stable}: {error}");
    }
}

#[test]
fn ceilings_are_those_of_an_independent_computation() {
    let vectors = [
        (8.0, 0.4, 20.0, 0.2, 12.544_702_937_844_914),
        (60.0, 50.0, 1.2, 0.01, 0.613_130_025_625_885_4),
        (0.0, 12.5, 5.0, 0.05, -18.631_164_080_098_87),
        (30.0, 10.0, 3.0, 1.0, 0.839_518_777_753_244_9),
        (3.0, 10.0, 0.1, 0.2, 0.422_570_576_011_103_6),
    ];
    for (bad, expected, factor, kappa, ratio) in vectors {
        assert!((gain(bad, expected, factor, kappa) - ratio).abs() < 1e-9, "{bad}");
    }
}

#[test]
fn the_jitter_is_that_of_an_independent_computation() {
    let blocks = [
        (5, 1000),
        (7, 1100),
        (2, 900),
        (9, 1000),
        (4, 1050),
        (30, 1000),
        (6, 980),
        (3, 1000),
        (8, 1000),
        (5, 1000),
    ]
    .map(|(bad, all)| Units { bad, all });
    let thrice = blocks.iter().chain(&blocks).chain(&blocks).copied();
    assert!(
        (jitter::estimate(thrice, 5.0, jitter::LEFT_OUT) - 0.793_207_006_521_218_9).abs() < 1e-9
    );
    assert!(
        (jitter::estimate(blocks.into_iter(), 30.0, jitter::LEFT_OUT) - 0.393_436_843_866_152_6)
            .abs()
            < 1e-9
    );
    let none = std::iter::repeat_n(Units { bad: 0, all: 100 }, 20);
    assert!((jitter::estimate(none, 5.0, jitter::LEFT_OUT) - jitter::UNKNOWN).abs() < 1e-12);
}

/// `ln (n choose k)`.
fn ln_choose(n: u64, k: u64) -> f64 {
    (0..k).map(|it| (super::float(n - it) / super::float(it + 1)).ln()).sum()
}

#[test]
fn the_comparison_of_equal_versions_has_a_mean_of_at_most_one_with_and_without_jitter() {
    for failures in [1, 4, 15, 60] {
        for share in [0.01, 0.05, 0.5, 0.9] {
            for kappa in [0.005, 0.2, 4.0] {
                let density = JitterDensity::new(kappa);
                for alternative in [2, 5, 17, 38, -3].map(Ratio) {
                    let (mut plain, mut jittered, mut total) = (0.0, 0.0, 0.0);
                    for candidate in 0..=failures {
                        let counts = pair(candidate, failures - candidate);
                        let block = BlockLikelihood::new(counts, share);
                        let table = block.table(&density, LEAST, MOST);
                        let ways = ln_choose(failures, candidate);
                        let value = table.gain(alternative, Ratio::EQUAL);
                        plain += (ways + table.plain(Ratio::EQUAL) + value).exp();
                        jittered += (ways + table.jittered(Ratio::EQUAL) + value).exp();
                        total += (ways + table.jittered(Ratio::EQUAL)).exp();
                    }
                    assert!((total - 1.0).abs() < 1e-9, "{total}");
                    assert!(plain <= 1.0 + 1e-9, "{failures} {share} {kappa}: {plain}");
                    assert!(jittered <= 1.0 + 1e-9, "{failures} {share} {kappa}: {jittered}");
                }
            }
        }
    }
}

#[test]
fn a_ceiling_has_a_mean_of_at_most_one_for_every_rate_up_to_it() {
    for units in [1, 20, 200] {
        for limit in [0.01_f64, 0.05, 0.5] {
            for rate in [limit, 0.7 * limit] {
                for (factor, kappa) in [(1.2, 0.005), (3.0, 0.2), (20.0, 0.2), (8.0, 4.0)] {
                    let mean: f64 = (0..=units)
                        .map(|bad| {
                            let good = super::float(units - bad);
                            let bad_units = super::float(bad);
                            let chance = ln_choose(units, bad)
                                + bad_units * rate.ln()
                                + good * (1.0 - rate).ln();
                            let expected = limit * super::float(units);
                            (chance + gain(bad_units, expected, factor, kappa)).exp()
                        })
                        .sum();
                    assert!(mean <= 1.0 + 1e-9, "{units} {limit} {rate} {factor}: {mean}");
                }
            }
        }
    }
}

const JITTER: fn(Duration) -> f64 = |_| 0.05;

/// `seconds` of 1000 requests a second at 5 %, in reports of a quarter of a second.
fn observe(
    comparison: &mut Comparison,
    from: u64,
    seconds: u64,
    candidate_bad: u64,
    stable_bad: u64,
) {
    for tick in 0..seconds * 4 {
        let now = Timestamp(from + (tick + 1) * 250);
        let counts = Pair {
            candidate: Units { bad: candidate_bad, all: 12 },
            stable: Units { bad: stable_bad, all: 238 },
        };
        comparison.observe(now, counts, JITTER);
    }
}

#[test]
fn a_worse_candidate_is_found_at_once_and_also_when_it_breaks_late() {
    let mut comparison = Comparison::begin(Timestamp(0), Ppm::percent(5), JITTER);
    observe(&mut comparison, 0, 600, 0, 1);
    assert!(comparison.much_worse() < 5.0, "{}", comparison.much_worse());
    observe(&mut comparison, 600_000, 1, 6, 1);
    assert!(comparison.much_worse() > 1e4, "{}", comparison.much_worse());
    let (low, _) = comparison.interval().unwrap();
    assert!(low >= Ratio(-10));
}

#[test]
fn a_recovered_candidate_is_not_held_for_long() {
    let mut comparison = Comparison::begin(Timestamp(0), Ppm::percent(5), JITTER);
    observe(&mut comparison, 0, 10, 6, 0);
    assert!(comparison.worse() > 20.0, "{}", comparison.worse());
    // Nothing fails any more, on either version.
    observe(&mut comparison, 10_000, 180, 0, 0);
    assert!(comparison.worse() < 5.0, "{}", comparison.worse());
    assert!(comparison.much_worse() > 1e4, "evidence of a rollback remains");
}

#[test]
fn an_outage_of_both_versions_is_no_evidence() {
    let mut comparison = Comparison::begin(Timestamp(0), Ppm::percent(5), JITTER);
    observe(&mut comparison, 0, 60, 0, 1);
    observe(&mut comparison, 60_000, 60, 6, 119);
    assert!(comparison.worse() < 5.0, "{}", comparison.worse());
}

#[test]
fn a_step_is_passed_only_with_failures_of_both() {
    let mut comparison = Comparison::begin(Timestamp(0), Ppm::percent(5), JITTER);
    comparison.begin_passing(Timestamp(0), JITTER);
    observe(&mut comparison, 0, 60, 0, 0);
    assert!(comparison.passing(0.0) <= 1.0 + 1e-9, "nothing failed, nothing is known");
    observe(&mut comparison, 60_000, 600, 0, 1);
    assert!(comparison.passing(0.0) > 20.0, "{}", comparison.passing(0.0));
    comparison.begin_passing(Timestamp(660_000), JITTER);
    assert!(comparison.passing(0.0) <= 1.0 + 1e-9, "a step has evidence of its own");
}

#[test]
fn a_stable_above_the_limit_raises_it_and_makes_the_failures_common() {
    let now = Timestamp(10_000);
    let mut recent = RecentStable::default();
    recent.observe(now, Units { bad: 1, all: 1 });
    assert!((recent.raised(now, 0.05) - 0.05).abs() < 1e-12, "one failure says nothing");
    recent.observe(now, Units { bad: 30, all: 99 });
    assert!((recent.raised(now, 0.05) - 0.465).abs() < 0.01, "{}", recent.raised(now, 0.05));
    assert!(is_above(recent.within(now, Duration::from_secs(5)), 0.05));
    let later = Timestamp(30_000);
    recent.observe(later, Units { bad: 0, all: 100 });
    assert!((recent.raised(later, 0.05) - 0.05).abs() < 1e-12);

    let failing = || {
        let mut ceiling = Ceiling::begin(Timestamp(0), 0.2, 1e100);
        ceiling.observe(Units { bad: 30, all: 100 }, 0.05);
        assert!(ceiling.value() > 1e3, "{}", ceiling.value());
        ceiling
    };
    let confirmation = |ceiling: &mut Ceiling, now, stable: Option<Units>| {
        ceiling.confirmation(Timestamp(now), 0.05, stable, stable.unwrap_or_default())
    };
    let good = Units { bad: 0, all: 100 };
    assert_eq!(confirmation(&mut failing(), 0, Some(good)), Confirmation::Confirmed);
    assert_eq!(confirmation(&mut failing(), 0, None), Confirmation::Confirmed);
    let mut common = failing();
    let bad = Units { bad: 30, all: 100 };
    assert_eq!(confirmation(&mut common, 0, Some(bad)), Confirmation::Common);
    assert!(common.value() <= 1.0 + 1e-9, "the evidence is given up");
    let mut waiting = failing();
    let few = Units { bad: 0, all: 1 };
    assert_eq!(confirmation(&mut waiting, 0, Some(few)), Confirmation::Pending);
    assert_eq!(confirmation(&mut waiting, 5_000, Some(few)), Confirmation::Confirmed, "after 5 s");
}

proptest! {
    #[test]
    fn e_values_are_finite_and_not_negative(
        blocks in prop::collection::vec((0..3_000_u64, 0..5_000_u64, 0..3_000_u64, 0..9_000_u64), 1..30),
        weight in 0..=100_u32, kappa in 0.0..5.0_f64,
    ) {
        let jitter = |_| kappa;
        let mut comparison = Comparison::begin(Timestamp(0), Ppm::percent(weight), jitter);
        let mut ceiling = Ceiling::begin(Timestamp(0), kappa.max(0.005), 1e100);
        comparison.begin_passing(Timestamp(0), jitter);
        for (number, (bad, all, stable_bad, stable_all)) in (1..).zip(blocks) {
            let candidate = Units { bad: bad.min(all), all };
            let stable = Units { bad: stable_bad.min(stable_all), all: stable_all };
            comparison.observe(Timestamp(number * 2_000), Pair { candidate, stable }, jitter);
            ceiling.observe(candidate, 0.05);
            if ceiling.is_over(Timestamp(number * 2_000)) {
                ceiling.next_block(Timestamp(number * 2_000), kappa.max(0.005));
            }
            let values =
                [comparison.worse(), comparison.much_worse(), comparison.passing(0.0), ceiling.value()];
            for value in values {
                prop_assert!(value.is_finite() && value >= 0.0, "{values:?}");
            }
        }
    }
}
