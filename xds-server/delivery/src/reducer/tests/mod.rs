//! The rules of the reducer, one test each.

mod configure;
mod convergence;
mod deploy;
mod effects;
mod flags;
mod groups;
mod istio;
mod outcomes;
mod requirements;
mod signals;
mod steps;
mod verbs;

use std::time::Duration;

use super::*;
use crate::fixtures::{
    blue_green, canary, command_context, configuration, declared, finding, healthy, name, newest,
    order, product, progress, run_as, start, verb,
};
use crate::model::blocker::Blocker;
use crate::model::catalogue::ServiceSpec;
use crate::model::command::ReleaseCommand::Promote;
use crate::model::plan::Plan;
use crate::model::progress::Observation;
use crate::model::refusal::Conflict;
use crate::units::{Ppm, Timestamp};

pub(super) fn time(seconds: u64) -> Blocker {
    Blocker::Time { remaining: Duration::from_secs(seconds) }
}

pub(super) fn requests(missing: u64) -> Blocker {
    Blocker::Requests { missing }
}

/// A state and the seconds since its start.
pub(super) struct World(pub(super) State, u64);

impl World {
    pub(super) fn new() -> Self {
        Self(declared(), 0)
    }

    /// `order` has this plan.
    pub(super) fn with_plan(plan: Plan) -> Self {
        let mut world = Self::new();
        let order = ServiceSpec { plan, ..order() };
        world.ask(&configuration(vec![order, product()], Vec::new())).unwrap();
        world
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

    /// Advances the clock, evaluates the release on an observation, and returns its blockers. An unconverged step converges
    /// before.
    pub(super) fn see(&mut self, service: &str, seconds: u64, seen: &Observation) -> Vec<Blocker> {
        if newest(&self.0, service).unconverged_step().is_some() {
            self.look(service, 0, &healthy(0));
        }
        self.look(service, seconds, seen)
    }

    /// The same, without convergence before.
    pub(super) fn look(&mut self, service: &str, seconds: u64, seen: &Observation) -> Vec<Blocker> {
        self.1 += seconds;
        let now = self.now();
        let (events, progress) = progress(&self.0, service, now, seen);
        for event in &events {
            self.0.apply(now, event).unwrap();
        }
        progress.blockers.clone()
    }

    /// Why a command is refused in the current phase.
    pub(super) fn conflict(&mut self, actor: &str, command: &Command) -> Conflict {
        match self.ask_as(actor, command) {
            Err(Refusal::WrongPhase { conflict, .. }) => conflict,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn weight(&self, service: &str) -> Ppm {
        newest(&self.0, service).weight()
    }
}
