//! The rules of others, on the same counts: the first judge of Tidegate, Flagger, Argo Rollouts, Kayenta.

use std::collections::VecDeque;

use tidegate_delivery::judge::sequential_test::{is_exceeded, is_exceeded_sequentially};
use tidegate_delivery::judge::statistics::{Pair, Units};
use tidegate_delivery::units::Ppm;

use crate::world::TICKS;

/// A rule that observes each tick and says once that the release must be rolled back.
pub(crate) trait Rule {
    fn enter_step(&mut self) {}
    fn rolls_back(&mut self, counts: Pair) -> bool;
}

/// An error rate above 5 % over at least 100 requests of the step or the release, or the sequential test in windows of 1, 5
/// and 30 s.
#[derive(Default)]
pub(crate) struct Observed {
    release: Units,
    step: Units,
    recent: VecDeque<Units>,
}

const LIMIT: Ppm = Ppm::percent(5);

impl Rule for Observed {
    fn enter_step(&mut self) {
        self.step = Units::default();
        self.recent.clear();
    }

    fn rolls_back(&mut self, counts: Pair) -> bool {
        self.release = self.release.plus(counts.candidate);
        self.step = self.step.plus(counts.candidate);
        self.recent.push_front(counts.candidate);
        self.recent.truncate(30 * TICKS as usize);
        if [self.release, self.step].iter().any(|it| is_exceeded(it.bad, it.all, LIMIT, 100)) {
            return true;
        }
        if counts.candidate.bad == 0 {
            return false;
        }
        let mut sum = Units::default();
        let mut taken = 0;
        [1, 5, 30].into_iter().any(|seconds| {
            let ticks = seconds * TICKS as usize;
            for it in self.recent.iter().skip(taken).take(ticks - taken) {
                sum = sum.plus(*it);
            }
            taken = ticks;
            is_exceeded_sequentially(sum.bad, sum.all, LIMIT)
        })
    }
}

/// The success rate of each minute must be at least 99 %; so many failures roll back. Flagger: 5, Argo Rollouts with its
/// failure limit of 3: 4.
pub(crate) struct EachMinute {
    failures: u32,
    most: u32,
    minute: Units,
    ticks: u32,
}

impl EachMinute {
    pub(crate) const fn flagger() -> Self {
        Self { failures: 0, most: 5, minute: Units { bad: 0, all: 0 }, ticks: 0 }
    }

    pub(crate) const fn argo() -> Self {
        Self { most: 4, ..Self::flagger() }
    }
}

impl Rule for EachMinute {
    fn rolls_back(&mut self, counts: Pair) -> bool {
        self.minute = self.minute.plus(counts.candidate);
        self.ticks += 1;
        if self.ticks == 60 * TICKS {
            self.failures += u32::from(self.minute.rate() > 0.01);
            (self.minute, self.ticks) = (Units::default(), 0);
        }
        self.failures >= self.most
    }
}

/// Kayenta: at the end of each 5 minutes a Mann–Whitney test at 98 % of the error rates of each 10 s, candidate against
/// stable.
#[derive(Default)]
pub(crate) struct Kayenta {
    slot: Pair,
    rates: Vec<[f64; 2]>,
    ticks: u32,
}

impl Rule for Kayenta {
    fn enter_step(&mut self) {
        *self = Self::default();
    }

    fn rolls_back(&mut self, counts: Pair) -> bool {
        self.slot = self.slot.plus(counts);
        self.ticks += 1;
        if !self.ticks.is_multiple_of(10 * TICKS) {
            return false;
        }
        let slot = std::mem::take(&mut self.slot);
        if slot.stable.all == 0 || slot.candidate.all == 0 {
            return false;
        }
        self.rates.push([slot.candidate.rate(), slot.stable.rate()]);
        if self.rates.len() < 30 {
            return false;
        }
        let rates = std::mem::take(&mut self.rates);
        is_greater(&rates)
    }
}

/// One-sided Mann–Whitney test of the first values against the second, by the normal approximation with ties.
fn is_greater(rates: &[[f64; 2]]) -> bool {
    let count = rates.len() as f64;
    let mut statistic = 0.0;
    for [candidate, _] in rates {
        for [_, stable] in rates {
            statistic += match candidate.total_cmp(stable) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    let deviation = (count * count * (2.0 * count + 1.0) / 12.0).sqrt();
    (statistic - count * count / 2.0) / deviation > 2.326
}
