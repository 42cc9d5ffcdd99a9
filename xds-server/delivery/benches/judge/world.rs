//! Simulated traffic: counts of both versions for each tick of a quarter of a second.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Distribution, Gamma, Poisson};
use tidegate_delivery::judge::statistics::{Pair, Units};

/// Ticks per second: sidecars report every 250 ms.
pub(crate) const TICKS: u32 = 4;

/// How errors come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Independent.
    Steady,
    /// Independent; traffic and error rate follow a sine of 50 % with a period of an hour.
    Diurnal,
    /// Half of the errors in clumps of 2 to 5 of one client.
    Mild,
    /// Half of the errors in retry storms of 5 to 50 of one client, within a second.
    Clumped,
    /// The rate of each version times a gamma variable of its own (shape 4), every 5 s.
    Hiccups,
    /// Both versions fail 30 % for 20 s, at a random time below 100 %.
    Outage,
    /// Both versions fail 30 % for 20 s, at a random time at 100 %, without a concurrent stable.
    OutageInWatch,
    /// Half of the errors of 20 clients that always fail.
    Persistent,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Steady,
        Self::Diurnal,
        Self::Mild,
        Self::Clumped,
        Self::Hiccups,
        Self::Outage,
        Self::OutageInWatch,
        Self::Persistent,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Diurnal => "diurnal",
            Self::Mild => "mild clumps",
            Self::Clumped => "clumped",
            Self::Hiccups => "hiccups",
            Self::Outage => "outage",
            Self::OutageInWatch => "outage in watch",
            Self::Persistent => "persistent",
        }
    }
}

/// The traffic of one service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) rps: f64,
    /// Error rate of stable.
    pub(crate) base: f64,
    /// Error rate of the candidate, from `breaks_at` on.
    pub(crate) candidate: f64,
    /// In seconds.
    pub(crate) breaks_at: u32,
}

const CLIENTS: usize = 20;

/// One release in a world.
pub(crate) struct Traffic {
    world: World,
    random: SmallRng,
    hiccups: [f64; 2],
    outage: std::ops::Range<f64>,
    /// Version of each storm, with the errors that are left.
    storms: Vec<(usize, u64)>,
    /// The bucket of each client that always fails.
    clients: [f64; CLIENTS],
}

impl Traffic {
    /// `length` and `watch` in seconds: of the release, and when the watch begins.
    pub(crate) fn new(world: World, seed: u64, watch: f64, length: f64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let at = match world.kind {
            Kind::Outage => random.random_range(0.0..watch - 20.0),
            Kind::OutageInWatch => random.random_range(watch..length - 20.0),
            _ => f64::INFINITY,
        };
        let clients = std::array::from_fn(|_| random.random());
        Self {
            world,
            random,
            hiccups: [1.0; 2],
            outage: at..at + 20.0,
            storms: Vec::new(),
            clients,
        }
    }

    /// The counts of one tick. `second` is the time, `weight` the candidate's share.
    pub(crate) fn tick(&mut self, second: f64, weight: f64) -> Pair {
        let World { kind, rps, base, candidate, breaks_at } = self.world;
        let season = match kind {
            Kind::Diurnal => 1.0 + 0.5 * (second / 3600.0 * std::f64::consts::TAU).sin(),
            _ => 1.0,
        };
        if kind == Kind::Hiccups && second % 5.0 < 0.1 {
            let gamma = Gamma::new(4.0, 0.25).unwrap();
            self.hiccups = std::array::from_fn(|_| gamma.sample(&mut self.random));
        }
        let candidate = if second < f64::from(breaks_at) { base } else { candidate };
        let shares = [weight, 1.0 - weight];
        let mut units = [Units::default(); 2];
        for (version, rate) in [candidate, base].into_iter().enumerate() {
            let all = poisson(&mut self.random, rps * season * shares[version] / f64::from(TICKS));
            let independent = match kind {
                Kind::Mild | Kind::Clumped | Kind::Persistent => rate / 2.0,
                Kind::Diurnal => rate * season,
                Kind::Hiccups => rate * self.hiccups[version],
                _ => rate,
            };
            let rate = if self.outage.contains(&second) { 0.3 } else { independent };
            let bad = Binomial::new(all, rate.clamp(0.0, 1.0)).unwrap().sample(&mut self.random);
            units[version] = Units { bad, all };
        }
        match kind {
            Kind::Mild => self.begin_storms(2..=5, weight),
            Kind::Clumped => self.begin_storms(5..=50, weight),
            Kind::Persistent => self.failing_clients(weight, &mut units),
            _ => {}
        }
        self.storms.retain_mut(|(version, left)| {
            // A storm lasts a second.
            let now = (*left).min(left.div_ceil(u64::from(TICKS)).max(1));
            units[*version] = units[*version].plus(Units { bad: now, all: now });
            *left -= now;
            *left > 0
        });
        Pair { candidate: units[0], stable: units[1] }
    }

    fn begin_storms(&mut self, size: std::ops::RangeInclusive<u64>, weight: f64) {
        let mean = (size.start() + size.end()) as f64 / 2.0;
        let storms = self.world.rps * self.world.base / 2.0 / mean / f64::from(TICKS);
        for _ in 0..poisson(&mut self.random, storms) {
            let version = usize::from(self.random.random::<f64>() >= weight);
            self.storms.push((version, self.random.random_range(size.clone())));
        }
    }

    fn failing_clients(&mut self, weight: f64, units: &mut [Units; 2]) {
        let each = self.world.rps * self.world.base / 2.0 / CLIENTS as f64 / f64::from(TICKS);
        for bucket in self.clients {
            let bad = poisson(&mut self.random, each);
            let version = usize::from(bucket >= weight);
            units[version] = units[version].plus(Units { bad, all: bad });
        }
    }
}

fn poisson(random: &mut SmallRng, mean: f64) -> u64 {
    if mean <= 0.0 { 0 } else { Poisson::new(mean).unwrap().sample(random) as u64 }
}
