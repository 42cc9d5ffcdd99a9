//! Events of one release.

use crate::judge::{Finding, Level};
use crate::model::fold_error::FoldErrorKind;
use crate::model::release::{Phase, Release};
use crate::model::requirements::Approval;
use crate::units::{Ppm, Timestamp};

impl Release {
    pub(super) fn enter(
        &mut self,
        at: Timestamp,
        step: usize,
        (weight, holdback): (Ppm, Ppm),
    ) -> Result<(), FoldErrorKind> {
        let planned = self.plan.steps.get(step).map(|step| step.weight);
        let advances = self.step().is_none_or(|now| now < step) && weight >= self.weight();
        let is_last = planned == Some(Ppm::ALL);
        let of_plan = match is_last {
            true => weight == holdback.complement(),
            false => planned == Some(weight) && holdback.is_zero(),
        };
        if !of_plan || !advances {
            return Err(FoldErrorKind::Step { release: self.id.clone(), step, weight });
        }
        self.phase = if is_last {
            Phase::Watching { since: at, holdback }
        } else {
            Phase::Stepping { step, since: at }
        };
        self.converged = false;
        self.paused_by_guardrail = None;
        self.overridden.clear();
        self.approvals.clear();
        // A paused release stays paused; the pause counts from the new step.
        self.paused_at = self.paused_at.map(|_| at);
        Ok(())
    }

    /// The time of the step begins now, and so does a pause.
    pub(super) fn converge(&mut self, at: Timestamp, entered: usize) -> Result<(), FoldErrorKind> {
        if self.converged || self.step() != Some(entered) {
            return Err(FoldErrorKind::Phase(self.id.clone()));
        }
        let watch_begins_at = self.watch_begins_at(at);
        match &mut self.phase {
            Phase::Stepping { since, .. } => *since = at,
            Phase::Watching { since, .. } => *since = watch_begins_at,
            _ => {}
        }
        self.converged = true;
        self.paused_at = self.paused_at.map(|_| at);
        Ok(())
    }

    pub(super) fn pause(&mut self, at: Timestamp) -> Result<(), FoldErrorKind> {
        match self.paused_at.replace(at) {
            None => Ok(()),
            Some(_) => Err(FoldErrorKind::Phase(self.id.clone())),
        }
    }

    /// Moves the start of the phase by the length of the pause.
    pub(super) fn resume(&mut self, at: Timestamp) -> Result<(), FoldErrorKind> {
        let Some(paused_at) = self.paused_at.take() else {
            return Err(FoldErrorKind::Phase(self.id.clone()));
        };
        // A resume overrides the guardrail that paused the release, for this step.
        self.overridden.extend(self.paused_by_guardrail.take().map(|finding| finding.guardrail));
        match &mut self.phase {
            Phase::Preparing { since, .. }
            | Phase::Stepping { since, .. }
            | Phase::Watching { since, .. } => *since = since.after(at.since(paused_at)),
            Phase::Completed { .. } | Phase::RolledBack { .. } => {}
        }
        Ok(())
    }

    /// Pauses the release, and raises a critical alert of the guardrail.
    pub(super) fn pause_by_guardrail(
        &mut self,
        at: Timestamp,
        finding: &Finding,
    ) -> Result<(), FoldErrorKind> {
        if self.paused_by_guardrail.is_some() {
            return Err(FoldErrorKind::Phase(self.id.clone()));
        }
        self.paused_by_guardrail = Some(finding.clone());
        self.alerts.insert(finding.guardrail.clone(), Level::Critical);
        self.paused_at.get_or_insert(at);
        Ok(())
    }

    /// Adds an approval, and drops expired ones.
    pub(super) fn approve(
        &mut self,
        at: Timestamp,
        approval: &Approval,
    ) -> Result<(), FoldErrorKind> {
        if self.next_step() != Some(approval.step) {
            return Err(FoldErrorKind::Phase(self.id.clone()));
        }
        self.approvals.retain(|it| it.until > at);
        self.approvals.push(approval.clone());
        Ok(())
    }

    pub(super) fn end(&mut self, phase: Phase) {
        self.phase = phase;
        self.paused_at = None;
        self.alerts.clear();
        self.paused_by_guardrail = None;
        self.overridden.clear();
        self.approvals.clear();
    }
}
