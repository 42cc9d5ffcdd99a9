//! What events do to one release.

use crate::judge::{Finding, Level};
use crate::model::misfit::Misfit;
use crate::model::release::{Phase, Release};
use crate::model::requirements::Approval;
use crate::units::{Ppm, Timestamp};

impl Release {
    pub(super) fn enter(&mut self, at: Timestamp, step: usize, weight: Ppm) -> Result<(), Misfit> {
        let planned = self.plan.steps.get(step).map(|step| step.weight);
        let onwards = self.step().is_none_or(|now| now < step);
        if planned != Some(weight) || !onwards {
            return Err(Misfit::Step { release: self.id.clone(), step, weight });
        }
        self.phase = if weight == Ppm::ALL {
            Phase::Watching { since: at }
        } else {
            Phase::Stepping { step, since: at }
        };
        self.converged = false;
        self.held = None;
        self.overruled.clear();
        self.approvals.clear();
        // What is held stays held, but the new step's time begins with the step.
        self.paused_at = self.paused_at.map(|_| at);
        Ok(())
    }

    /// The step's time begins now, and so does the time that it is held.
    pub(super) fn converge(&mut self, at: Timestamp, entered: usize) -> Result<(), Misfit> {
        if self.converged || self.step() != Some(entered) {
            return Err(Misfit::Phase(self.id.clone()));
        }
        let watch_begins_at = self.watch_begins_at(at);
        match &mut self.phase {
            Phase::Stepping { since, .. } => *since = at,
            Phase::Watching { since } => *since = watch_begins_at,
            _ => {}
        }
        self.converged = true;
        self.paused_at = self.paused_at.map(|_| at);
        Ok(())
    }

    pub(super) fn pause(&mut self, at: Timestamp) -> Result<(), Misfit> {
        match self.paused_at.replace(at) {
            None => Ok(()),
            Some(_) => Err(Misfit::Phase(self.id.clone())),
        }
    }

    /// Moves the phase's beginning by as long as it was held, so that only the rest counts.
    pub(super) fn resume(&mut self, at: Timestamp) -> Result<(), Misfit> {
        let Some(paused_at) = self.paused_at.take() else {
            return Err(Misfit::Phase(self.id.clone()));
        };
        // Who lets it go on says that what broke is not reason enough to hold this step.
        self.overruled.extend(self.held.take().map(|finding| finding.guardrail));
        match &mut self.phase {
            Phase::Preparing { since, .. }
            | Phase::Stepping { since, .. }
            | Phase::Watching { since } => *since = since.after(at.since(paused_at)),
            Phase::Completed { .. } | Phase::RolledBack { .. } => {}
        }
        Ok(())
    }

    /// What broke counts as a critical alert, and holds it as an operator does.
    pub(super) fn hold(&mut self, at: Timestamp, finding: &Finding) -> Result<(), Misfit> {
        if self.held.is_some() {
            return Err(Misfit::Phase(self.id.clone()));
        }
        self.held = Some(finding.clone());
        self.alerts.insert(finding.guardrail.clone(), Level::Critical);
        self.paused_at.get_or_insert(at);
        Ok(())
    }

    /// What expired goes: so only as many are kept as the gate needs.
    pub(super) fn approve(&mut self, at: Timestamp, approval: &Approval) -> Result<(), Misfit> {
        if self.next_step() != Some(approval.step) {
            return Err(Misfit::Phase(self.id.clone()));
        }
        self.approvals.retain(|it| it.until > at);
        self.approvals.push(approval.clone());
        Ok(())
    }

    pub(super) fn end(&mut self, phase: Phase) {
        self.phase = phase;
        self.paused_at = None;
        self.alerts.clear();
        self.held = None;
        self.overruled.clear();
        self.approvals.clear();
    }
}
