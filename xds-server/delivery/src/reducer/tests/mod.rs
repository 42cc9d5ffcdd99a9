//! The rules, one by one.

mod convergence;
mod deploy;
mod effects;
mod gates;
mod groups;
mod requirements;
mod signals;
mod verbs;

use super::*;
use crate::fixtures::*;
use crate::model::command::ReleaseCommand::Promote;
use crate::model::progress::Observation;
use crate::units::{Ppm, Timestamp};

/// A state and the seconds since it began.
pub(super) struct World(pub(super) State, u64);

impl World {
    pub(super) fn new() -> Self {
        Self(declared(), 0)
    }

    /// `order` on its first step.
    pub(super) fn stepping() -> Self {
        let mut world = Self::new();
        world.ask(&start("order", "v2")).unwrap();
        world.see("order", 0, &healthy(0));
        assert_eq!(world.weight("order"), Ppm::percent(5));
        world.look("order", 0, &healthy(0));
        assert!(newest(&world.0, "order").converged);
        world
    }

    /// `order` at 100 %.
    pub(super) fn watching() -> Self {
        let mut world = Self::stepping();
        world.ask(&verb("order.1", Promote { all: true })).unwrap();
        world
    }

    /// `order` released: v2 is stable.
    pub(super) fn complete() -> Self {
        let mut world = Self::watching();
        world.see("order", 60, &healthy(10));
        assert_eq!(world.0.services["order"].stable, name("v2"));
        world
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(self.1 * 1000)
    }

    pub(super) fn ask(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        self.ask_as("anne", command)
    }

    pub(super) fn ask_as(&mut self, actor: &str, command: &Command) -> Result<Outcome, Refusal> {
        let now = self.now();
        run_as(&mut self.0, &command_context(actor, now), command)
    }

    /// Lets time pass, and what is then seen decide. Says what it waits for. A step that is new
    /// to the sidecars they have at once.
    pub(super) fn see(&mut self, service: &str, seconds: u64, seen: &Observation) -> Vec<String> {
        if newest(&self.0, service).step().is_some() && !newest(&self.0, service).converged {
            self.look(service, 0, &healthy(0));
        }
        self.look(service, seconds, seen)
    }

    /// The same, but the sidecars have only what is seen.
    pub(super) fn look(&mut self, service: &str, seconds: u64, seen: &Observation) -> Vec<String> {
        self.1 += seconds;
        let now = self.now();
        let (events, progress) = progress(&self.0, service, now, seen);
        for event in &events {
            self.0.apply(now, event).unwrap();
        }
        progress.blockers.iter().map(crate::text::blocker).collect()
    }

    pub(super) fn weight(&self, service: &str) -> Ppm {
        newest(&self.0, service).weight()
    }
}
