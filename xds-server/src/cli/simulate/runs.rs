//! Many runs on all cores, with their progress on a terminal.

use std::io::{self, IsTerminal, Write};
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tidegate_simulate::outcome::Outcome;
use tidegate_simulate::run::{Simulated, SimulationError, seed_of};
use tidegate_simulate::scenario::Scenario;
use tidegate_simulate::summary::Summary;

use crate::cli::failure::Failure;

/// How often the progress is shown.
const SHOWN: Duration = Duration::from_millis(200);

/// Simulates `runs` releases of each scenario. The result depends on the seed alone, not on the number of threads.
pub(super) fn simulate(
    simulated: &Simulated,
    scenarios: &[Scenario],
    runs: u64,
    seed: u64,
) -> Result<Vec<Summary>, Failure> {
    let progress = Progress::new(runs.saturating_mul(scenarios.len() as u64));
    let each = scenarios.iter().map(|scenario| {
        let outcomes = outcomes(simulated, scenario, runs, seed, &progress)
            .map_err(|error| Failure::Input(error.to_string()))?;
        Ok(Summary::of(scenario, &outcomes))
    });
    let summaries = each.collect();
    progress.end();
    summaries
}

fn outcomes(
    simulated: &Simulated,
    scenario: &Scenario,
    runs: u64,
    seed: u64,
    progress: &Progress,
) -> Result<Vec<Outcome>, SimulationError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicU64::new(0);
    let work = || -> Result<Vec<(u64, Outcome)>, SimulationError> {
        let mut outcomes = Vec::new();
        loop {
            let run = next.fetch_add(1, Ordering::Relaxed);
            if run >= runs {
                return Ok(outcomes);
            }
            outcomes.push((run, simulated.run(scenario, seed_of(seed, run))?));
            progress.done.fetch_add(1, Ordering::Relaxed);
        }
    };
    let mut all = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        while threads.iter().any(|it| !it.is_finished()) {
            progress.show();
            thread::sleep(SHOWN.min(Duration::from_millis(20)));
        }
        let mut all: Vec<(u64, Outcome)> = Vec::new();
        for thread in threads {
            match thread.join() {
                Ok(outcomes) => all.extend(outcomes?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok::<_, SimulationError>(all)
    })?;
    all.sort_by_key(|(run, _)| *run);
    Ok(all.into_iter().map(|(_, outcome)| outcome).collect())
}

/// A line on a terminal: `simulated 120 of 400 releases`.
struct Progress {
    done: AtomicU64,
    all: u64,
    /// What was shown last; [`u64::MAX`] before that.
    shown: AtomicU64,
    is_shown: bool,
}

impl Progress {
    fn new(all: u64) -> Self {
        let is_shown = io::stderr().is_terminal();
        Self { done: AtomicU64::new(0), all, shown: AtomicU64::new(u64::MAX), is_shown }
    }

    fn show(&self) {
        let done = self.done.load(Ordering::Relaxed);
        if self.is_shown && self.shown.swap(done, Ordering::Relaxed) != done {
            const WIDTH: u64 = 30;
            let filled = done.saturating_mul(WIDTH).checked_div(self.all).unwrap_or(WIDTH);
            let bar: String = (0..WIDTH).map(|it| if it < filled { '#' } else { '.' }).collect();
            // A terminal that has gone is no reason to stop.
            write!(io::stderr(), "\r[{bar}] simulated {done} of {} releases", self.all).ok();
        }
    }

    fn end(&self) {
        if self.is_shown {
            write!(io::stderr(), "\r{:80}\r", "").ok();
        }
    }
}
