//! Simulated traffic: counts of both versions for each tick of a quarter of a second.
//!
//! Clients have identities, unless [`World::anonymous`]: of a retry storm the first failure counts, and the requests of clients
//! that failed before the release are no evidence at all. Anonymous requests count each.

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
    /// The same every 30 s.
    LongHiccups,
    /// Both versions fail 30 % for 20 s, at a random time below 100 %.
    Outage,
    /// Both versions fail 30 % for 20 s, at a random time at 100 %, without a concurrent stable.
    OutageInWatch,
    /// The same with a holdback: 1 % of the requests reach stable, 5 % below 1000 requests per second.
    OutageInWatchHeldBack,
    /// Half of the errors of 20 clients that always fail.
    Persistent,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::Steady,
        Self::Diurnal,
        Self::Mild,
        Self::Clumped,
        Self::Hiccups,
        Self::LongHiccups,
        Self::Outage,
        Self::OutageInWatch,
        Self::OutageInWatchHeldBack,
        Self::Persistent,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Diurnal => "diurnal",
            Self::Mild => "mild clumps",
            Self::Clumped => "clumped",
            Self::Hiccups => "hiccups",
            Self::LongHiccups => "long hiccups",
            Self::Outage => "outage",
            Self::OutageInWatch => "outage in watch",
            Self::OutageInWatchHeldBack => "outage in watch with holdback",
            Self::Persistent => "persistent",
        }
    }

    /// Seconds between two gamma variables.
    const fn hiccup_seconds(self) -> Option<f64> {
        match self {
            Self::Hiccups => Some(5.0),
            Self::LongHiccups => Some(30.0),
            _ => None,
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
    /// Clients have no identity.
    pub(crate) anonymous: bool,
}

impl World {
    /// Equal versions.
    pub(crate) const fn equal(kind: Kind, rps: f64, base: f64) -> Self {
        Self { kind, rps, base, candidate: base, breaks_at: 0, anonymous: false }
    }

    /// The part of the requests that reach stable at the end of a release.
    pub(crate) fn holdback(&self) -> f64 {
        match self.kind {
            Kind::OutageInWatchHeldBack if self.rps < 1_000.0 => 0.05,
            Kind::OutageInWatchHeldBack => 0.01,
            _ => 0.0,
        }
    }
}

/// The counts of one version in one tick.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// All requests.
    pub(crate) requests: Units,
    /// Those of clients that had failed, among them.
    pub(crate) repeated: Units,
}

/// The counts of candidate and stable.
pub(crate) type Both = [Counts; 2];

impl Counts {
    fn add(&mut self, requests: Units, repeated: Units) {
        self.requests = self.requests.plus(requests);
        self.repeated = self.repeated.plus(repeated);
    }
}

/// The requests of both versions, as other rules see them.
pub(crate) const fn pair([candidate, stable]: &Both) -> Pair {
    Pair { candidate: candidate.requests, stable: stable.requests }
}

const CLIENTS: usize = 20;

/// The retries of one client.
struct Storm {
    version: usize,
    has_failed: bool,
    left: u64,
}

/// One release in a world.
pub(crate) struct Traffic {
    world: World,
    random: SmallRng,
    hiccups: [f64; 2],
    next_hiccup: f64,
    outage: std::ops::Range<f64>,
    storms: Vec<Storm>,
    /// The bucket of each client that always fails.
    clients: [f64; CLIENTS],
}

impl Traffic {
    /// `length` and `watch` in seconds: of the release, and when the watch begins.
    pub(crate) fn new(world: World, seed: u64, watch: f64, length: f64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let at = match world.kind {
            Kind::Outage => random.random_range(0.0..watch - 20.0),
            Kind::OutageInWatch | Kind::OutageInWatchHeldBack => {
                random.random_range(watch..length - 20.0)
            }
            _ => f64::INFINITY,
        };
        let clients = std::array::from_fn(|_| random.random());
        Self {
            world,
            random,
            hiccups: [1.0; 2],
            next_hiccup: f64::NEG_INFINITY,
            outage: at..at + 20.0,
            storms: Vec::new(),
            clients,
        }
    }

    /// The counts of one tick. `second` is the time, `weight` the candidate's share.
    pub(crate) fn tick(&mut self, second: f64, weight: f64) -> Both {
        self.span(second, 1.0 / f64::from(TICKS), weight)
    }

    /// The counts of the `seconds` before `second`.
    pub(crate) fn span(&mut self, second: f64, seconds: f64, weight: f64) -> Both {
        let World { kind, rps, base, candidate, breaks_at, .. } = self.world;
        let season = match kind {
            Kind::Diurnal => 1.0 + 0.5 * (second / 3600.0 * std::f64::consts::TAU).sin(),
            _ => 1.0,
        };
        if let Some(every) = kind.hiccup_seconds()
            && second - seconds >= self.next_hiccup - 1e-6
        {
            let gamma = Gamma::new(4.0, 0.25).unwrap();
            self.hiccups = std::array::from_fn(|_| gamma.sample(&mut self.random));
            self.next_hiccup = second - seconds + every;
        }
        let candidate = if second < f64::from(breaks_at) { base } else { candidate };
        let shares = [weight, 1.0 - weight];
        let mut counts = Both::default();
        for (version, rate) in [candidate, base].into_iter().enumerate() {
            let all = poisson(&mut self.random, rps * season * shares[version] * seconds);
            let independent = match kind {
                Kind::Mild | Kind::Clumped | Kind::Persistent => rate / 2.0,
                Kind::Diurnal => rate * season,
                Kind::Hiccups | Kind::LongHiccups => rate * self.hiccups[version],
                _ => rate,
            };
            let rate = if self.outage.contains(&second) { 0.3 } else { independent };
            let bad = Binomial::new(all, rate.clamp(0.0, 1.0)).unwrap().sample(&mut self.random);
            counts[version].requests = Units { bad, all };
        }
        match kind {
            Kind::Mild => self.begin_storms(2..=5, seconds, weight),
            Kind::Clumped => self.begin_storms(5..=50, seconds, weight),
            Kind::Persistent => self.failing_clients(seconds, weight, &mut counts),
            _ => {}
        }
        let anonymous = self.world.anonymous;
        self.storms.retain_mut(|storm| {
            // A storm lasts a second.
            let now = (storm.left as f64 * seconds).ceil().min(storm.left as f64).max(1.0) as u64;
            let first = u64::from(!storm.has_failed);
            let repeated = if anonymous { 0 } else { now - first };
            let units = |count| Units { bad: count, all: count };
            counts[storm.version].add(units(now), units(repeated));
            storm.has_failed = true;
            storm.left -= now;
            storm.left > 0
        });
        counts
    }

    fn begin_storms(&mut self, size: std::ops::RangeInclusive<u64>, seconds: f64, weight: f64) {
        let mean = (size.start() + size.end()) as f64 / 2.0;
        let storms = self.world.rps * self.world.base / 2.0 / mean * seconds;
        for _ in 0..poisson(&mut self.random, storms) {
            let version = usize::from(self.random.random::<f64>() >= weight);
            let left = self.random.random_range(size.clone());
            self.storms.push(Storm { version, has_failed: false, left });
        }
    }

    fn failing_clients(&mut self, seconds: f64, weight: f64, counts: &mut Both) {
        let each = self.world.rps * self.world.base / 2.0 / CLIENTS as f64 * seconds;
        for bucket in self.clients {
            let bad = poisson(&mut self.random, each);
            let units = Units { bad, all: bad };
            let repeated = if self.world.anonymous { Units::default() } else { units };
            counts[usize::from(bucket >= weight)].add(units, repeated);
        }
    }
}

fn poisson(random: &mut SmallRng, mean: f64) -> u64 {
    if mean <= 0.0 { 0 } else { Poisson::new(mean).unwrap().sample(random) as u64 }
}
