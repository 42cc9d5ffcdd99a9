//! The fold: what an event does to the state. It decides nothing. An event that does not fit
//! is an error, because a journal that cannot be folded must stop the server, not be guessed at.

pub(crate) mod catalogue;
mod dns;
mod groups;
mod hooks;
pub(crate) mod placement;
mod release;

use crate::model::misfit::FoldError;
use crate::model::misfit::Misfit;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::model::configuration::Applied;
use crate::model::event::Event;
use crate::model::freeze::ManualFreeze;
use crate::model::hook::{CallEnd, Moment};
use crate::model::plan::Plan;
use crate::model::release::{Phase, Release, RollbackCause};
use crate::model::signals::ActiveSignal;
use crate::model::state::{ServiceState, State};
use crate::names::{ReleaseId, ServiceName, VersionName};
use crate::units::{Ppm, Timestamp};

impl State {
    /// Takes one event, which happened `at` that time, into the state.
    ///
    /// # Errors
    /// When it does not fit. The state must not be used any more then.
    pub fn apply(&mut self, at: Timestamp, event: &Event) -> Result<(), FoldError> {
        self.fold(at, event).map_err(|misfit| FoldError { event: event.kind(), misfit })
    }

    fn fold(&mut self, at: Timestamp, event: &Event) -> Result<(), Misfit> {
        match event {
            Event::CatalogueApplied { services } => {
                self.declare(services)?;
                self.drop_stale_groups();
            }
            Event::ConfigurationApplied { version } => {
                self.configuration = Some(Applied { version: version.clone(), at });
            }
            Event::VersionRegistered { service, version, spec } => {
                self.service_mut(service)?.place(version, spec)?
            }
            Event::ReleaseStarted { id, service, candidate, stable, plan, by, .. } => {
                let service = self.service_mut(service)?;
                let release = service.start(at, id, candidate, stable, plan)?;
                release.started_by.clone_from(by);
                self.drop_stale_groups();
            }
            Event::HealthChanged { id, health } => {
                self.running_mut(id)?.health = Some(health.clone());
            }
            Event::GroupStarted { id, members } => self.found(id, members)?,
            Event::SmokeTestsPassed { id } => match &mut self.running_mut(id)?.phase {
                Phase::Preparing { tested, .. } => *tested = true,
                _ => return Err(Misfit::Phase(id.clone())),
            },
            Event::StepEntered { id, step, weight, .. } => {
                self.service_of_mut(id)?.enter(at, id, *step, *weight)?
            }
            Event::StepConverged { id, step } => self.running_mut(id)?.converge(at, *step)?,
            Event::Paused { id } => self.running_mut(id)?.pause(at)?,
            Event::Resumed { id } => self.running_mut(id)?.resume(at)?,
            Event::AlertRaised { id, finding } => {
                let alerts = &mut self.running_mut(id)?.alerts;
                alerts.insert(finding.guardrail.clone(), finding.level);
            }
            Event::AlertCleared { id, guardrail } => {
                self.running_mut(id)?.alerts.remove(guardrail);
            }
            Event::Held { id, finding } => self.running_mut(id)?.hold(at, finding)?,
            Event::Approved { id, approval } => self.running_mut(id)?.approve(at, approval)?,
            Event::CheckReported { service, version, check, result } => {
                let service = self.service_mut(service)?;
                let running = service.running().map(|release| release.candidate.clone());
                service.checks.report(at, version, check, result, running.as_ref());
            }
            Event::SignalRaised { service, version, signal, reason } => {
                let reason = reason.clone();
                let objection = ActiveSignal { signal: signal.clone(), since: at, reason };
                self.service_mut(service)?.signals.raise(version, objection);
            }
            Event::SignalCleared { service, version, signal } => {
                self.service_mut(service)?.signals.clear(version, signal);
            }
            Event::VersionQuarantined { service, version, signal, reason } => {
                let reason = reason.clone();
                let objection = ActiveSignal { signal: signal.clone(), since: at, reason };
                self.service_mut(service)?.quarantined.insert(version.clone(), objection);
            }
            Event::QuarantineLifted { service, version } => {
                let lifted = self.service_mut(service)?.quarantined.remove(version);
                lifted.ok_or_else(|| Misfit::NoVersion(version.clone()))?;
            }
            Event::FreezeWindowsApplied { freeze_windows } => {
                self.freeze_windows.clone_from(freeze_windows)
            }
            Event::DeploymentsFrozen { service, by, reason } => {
                let stop = ManualFreeze { since: at, by: by.clone(), reason: reason.clone() };
                *self.freeze_mut(service.as_ref())? = Some(stop);
            }
            Event::DeploymentsUnfrozen { service } => *self.freeze_mut(service.as_ref())? = None,
            Event::RollbackWindowClosed { service, version } => {
                self.service_mut(service)?.close_rollback_window(version)?;
            }
            Event::RolledBack { id, cause } => {
                let phase = Phase::RolledBack { at, cause: cause.clone() };
                self.service_of_mut(id)?.go_back(at, id, phase)?;
            }
            Event::Completed { id, .. } => self.service_of_mut(id)?.complete(at, id)?,
            Event::StableRestored { service, version, cause } => {
                self.service_mut(service)?.restore(at, version, cause)?;
            }
            Event::HookSucceeded { id, hook, attempts } => {
                let end = CallEnd::Succeeded { at, attempts: *attempts };
                self.calling_service_mut(id)?.end_call(id, hook, end)?;
            }
            Event::HookFailed { id, hook, attempts, error } => {
                let end = CallEnd::Failed { at, attempts: *attempts, error: error.clone() };
                self.calling_service_mut(id)?.end_call(id, hook, end)?;
            }
            Event::DnsUpdated { service, records } => {
                self.service_mut(service)?.publish_dns(at, records);
            }
            Event::DnsFailed { service, error } => self.service_mut(service)?.fail_dns(error),
            Event::FlagsReplaced { flags } => {
                let document = flag_document(flags)?;
                self.flags = Arc::new(document.flags.clone().into_iter().collect());
                self.evaluators = Arc::new(document.evaluators.cloned().unwrap_or_default());
            }
            Event::FlagSet { key, definition } => {
                Arc::make_mut(&mut self.flags).insert(key.clone(), definition.clone());
            }
            Event::FlagDeleted { key } => {
                Arc::make_mut(&mut self.flags).remove(key);
            }
        }
        Ok(())
    }

    /// Where it stands that the line of a service, or of all, is stopped.
    fn freeze_mut(
        &mut self,
        service: Option<&ServiceName>,
    ) -> Result<&mut Option<ManualFreeze>, Misfit> {
        Ok(match service {
            Some(name) => &mut self.service_mut(name)?.frozen,
            None => &mut self.frozen,
        })
    }

    fn service_mut(&mut self, name: &ServiceName) -> Result<&mut ServiceState, Misfit> {
        let service = self.services.get_mut(name);
        service.map(Arc::make_mut).ok_or_else(|| Misfit::NoService(name.clone()))
    }

    /// The service that a release was of, be it the newest or not.
    fn calling_service_mut(&mut self, id: &ReleaseId) -> Result<&mut ServiceState, Misfit> {
        let service = self.services.get_mut(id.service());
        service.map(Arc::make_mut).ok_or_else(|| Misfit::NoRelease(id.clone()))
    }

    /// The service whose newest release this is, if it runs.
    fn service_of_mut(&mut self, id: &ReleaseId) -> Result<&mut ServiceState, Misfit> {
        let known = self.service_of(id).ok_or_else(|| Misfit::NoRelease(id.clone()))?;
        if known.running().is_none() {
            return Err(Misfit::Phase(id.clone()));
        }
        let name = known.spec.name.clone();
        self.service_mut(&name)
    }

    fn running_mut(&mut self, id: &ReleaseId) -> Result<&mut Release, Misfit> {
        self.service_of_mut(id)?.release.as_mut().ok_or_else(|| Misfit::NoRelease(id.clone()))
    }
}

impl ServiceState {
    fn start(
        &mut self,
        at: Timestamp,
        id: &ReleaseId,
        candidate: &VersionName,
        stable: &VersionName,
        plan: &Plan,
    ) -> Result<&mut Release, Misfit> {
        if let Some(running) = self.running() {
            return Err(Misfit::Runs(running.id.clone()));
        }
        if !self.spec.versions.contains_key(candidate) {
            return Err(Misfit::NoVersion(candidate.clone()));
        }
        let number = self.releases.saturating_add(1);
        let follows = ReleaseId::of(&self.spec.name, number).is_ok_and(|next| next == *id)
            && *stable == self.stable
            && *candidate != self.stable;
        if !follows {
            return Err(Misfit::Start(id.clone()));
        }
        plan.validate()?;
        self.releases = number;
        self.retain_due_calls();
        let mut release = Release {
            id: id.clone(),
            service: self.spec.name.clone(),
            candidate: candidate.clone(),
            stable: stable.clone(),
            plan: plan.clone(),
            started_at: at,
            started_by: None,
            phase: Phase::Preparing { since: at, tested: plan.smoke_tests.is_empty() },
            paused_at: None,
            converged: false,
            alerts: BTreeMap::new(),
            held: None,
            overruled: BTreeSet::new(),
            approvals: Vec::new(),
            calls: Vec::new(),
            dns: None,
            health: None,
        };
        release.enqueue_calls(&self.spec.hooks, Moment::Started, at);
        Ok(self.release.insert(release))
    }

    fn enter(
        &mut self,
        at: Timestamp,
        id: &ReleaseId,
        step: usize,
        weight: Ppm,
    ) -> Result<(), Misfit> {
        let release = self.release.as_mut().ok_or_else(|| Misfit::NoRelease(id.clone()))?;
        release.enter(at, step, weight)?;
        if weight == Ppm::ALL {
            release.enqueue_calls(&self.spec.hooks, Moment::Switched, at);
            release.expect_dns(self.spec.dns.as_ref());
        }
        Ok(())
    }

    fn go_back(&mut self, at: Timestamp, id: &ReleaseId, phase: Phase) -> Result<(), Misfit> {
        let release = self.release.as_mut().ok_or_else(|| Misfit::NoRelease(id.clone()))?;
        release.end(phase);
        release.enqueue_calls(&self.spec.hooks, Moment::RolledBack, at);
        Ok(())
    }

    fn complete(&mut self, at: Timestamp, id: &ReleaseId) -> Result<(), Misfit> {
        let release = self.release.as_mut();
        let watched = release.filter(|it| matches!(it.phase, Phase::Watching { .. }));
        let release = watched.ok_or_else(|| Misfit::Phase(id.clone()))?;
        release.end(Phase::Completed { at });
        self.previous_until = Some(at.after(release.plan.rollback_window));
        release.enqueue_calls(&self.spec.hooks, Moment::Completed, at);
        let old = std::mem::replace(&mut self.stable, release.candidate.clone());
        self.previous = Some(old);
        Ok(())
    }

    fn close_rollback_window(&mut self, version: &VersionName) -> Result<(), Misfit> {
        let kept = self.previous.take_if(|kept| kept == version);
        self.previous_until = None;
        kept.map(drop).ok_or_else(|| Misfit::NoVersion(version.clone()))
    }

    /// The newest release, complete until now, counts as gone back: late, but gone back.
    fn restore(
        &mut self,
        at: Timestamp,
        version: &VersionName,
        cause: &RollbackCause,
    ) -> Result<(), Misfit> {
        if let Some(running) = self.running() {
            return Err(Misfit::Runs(running.id.clone()));
        }
        if self.previous.as_ref() != Some(version) {
            return Err(Misfit::NoVersion(version.clone()));
        }
        self.previous = None;
        self.previous_until = None;
        self.stable = version.clone();
        if let Some(release) = &mut self.release
            && matches!(release.phase, Phase::Completed { .. })
        {
            let cause = cause.clone();
            release.end(Phase::RolledBack { at, cause });
            release.enqueue_calls(&self.spec.hooks, Moment::RolledBack, at);
        }
        Ok(())
    }
}

/// The two parts of a flag document.
pub(crate) struct FlagDocument<'a> {
    /// By key.
    pub(crate) flags: &'a Map<String, Value>,
    /// Rules that flags share, if there are any.
    pub(crate) evaluators: Option<&'a Map<String, Value>>,
}

/// Takes a flag document apart; what the definitions mean is not the engine's business.
pub(crate) fn flag_document(document: &Value) -> Result<FlagDocument<'_>, Misfit> {
    let flags = document.get("flags").and_then(Value::as_object);
    let flags = flags.ok_or(Misfit::Flags("a flag document needs an object `flags`"))?;
    let evaluators = match document.get("$evaluators") {
        None => None,
        Some(Value::Object(evaluators)) => Some(evaluators),
        Some(_) => return Err(Misfit::Flags("`$evaluators` must be an object")),
    };
    Ok(FlagDocument { flags, evaluators })
}
