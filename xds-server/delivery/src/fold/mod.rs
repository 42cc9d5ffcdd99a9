//! The fold: applies events to the state. It decides nothing. An event that does not fit the state is an error, and the
//! server does not start on a journal that contains one.

pub(crate) mod catalogue;
mod dns;
mod groups;
mod hooks;
pub(crate) mod placement;
mod release;
mod version_alerts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::model::configuration::Applied;
use crate::model::event::Event;
use crate::model::fold_error::{FlagDocumentError, FoldError, FoldErrorKind};
use crate::model::freeze::ManualFreeze;
use crate::model::hook::{CallState, Moment};
use crate::model::plan::Plan;
use crate::model::release::{Phase, Release, RollbackCause};
use crate::model::signals::ActiveSignal;
use crate::model::state::{CompletedRelease, ServiceState, State};
use crate::names::{ReleaseId, ServiceName, VersionName};
use crate::units::{Ppm, Timestamp};

/// Above this number of rolled-back versions per service, those that are no longer deployed are dropped.
const MAX_ROLLED_BACK: usize = 100;

impl State {
    /// Applies one event, which was decided at the time `at`.
    ///
    /// # Errors
    /// When the event does not fit. The state is unspecified then, and must be dropped.
    pub fn apply(&mut self, at: Timestamp, event: &Event) -> Result<(), FoldError> {
        self.fold(at, event).map_err(|kind| FoldError { event: event.kind(), kind })
    }

    fn fold(&mut self, at: Timestamp, event: &Event) -> Result<(), FoldErrorKind> {
        match event {
            Event::CatalogueApplied { services } => {
                self.redeclare_catalogue(at, services)?;
                self.drop_stale_groups();
            }
            Event::FleetsApplied { fleets } => self.fleets = Arc::new(fleets.clone()),
            Event::ConfigurationApplied { version, withheld, .. } => {
                let (version, withheld) = (version.clone(), withheld.clone());
                self.configuration = Some(Applied { version, at, withheld });
            }
            Event::VersionRegistered { service, version, spec } => {
                self.service_mut(service)?.place(version, spec)?
            }
            Event::VersionRemoved { service, version } => {
                self.service_mut(service)?.remove_version(version)?
            }
            Event::ReleaseStarted { id, service, candidate, stable, plan, by, .. } => {
                let service = self.service_mut(service)?;
                service.start(at, id, (candidate, stable), plan, by)?;
                self.drop_stale_groups();
            }
            Event::HealthChanged { id, health } => {
                self.running_mut(id)?.health = Some(health.clone());
            }
            Event::GroupStarted { id, members } => self.create_group(id, members)?,
            Event::SmokeTestsPassed { id } => match &mut self.running_mut(id)?.phase {
                Phase::Preparing { tested, .. } => *tested = true,
                _ => return Err(FoldErrorKind::Phase(id.clone())),
            },
            Event::StepEntered { id, step, weight, holdback, .. } => {
                self.service_of_mut(id)?.enter(at, id, *step, (*weight, *holdback))?
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
            Event::PausedByGuardrail { id, finding } => {
                self.running_mut(id)?.pause_by_guardrail(at, finding)?
            }
            Event::Approved { id, approval } => self.running_mut(id)?.approve(at, approval)?,
            Event::CheckReported { service, version, check, result } => {
                let service = self.service_mut(service)?;
                let running = service.running().map(|release| release.candidate.clone());
                service.checks.report(at, version, check, result, running.as_ref());
            }
            Event::SignalRaised { service, version, signal, reason } => {
                let reason = reason.clone();
                let active = ActiveSignal { signal: signal.clone(), since: at, reason };
                self.service_mut(service)?.signals.raise(version, active);
            }
            Event::SignalCleared { service, version, signal } => {
                self.service_mut(service)?.signals.clear(version, signal);
            }
            Event::VersionQuarantined { service, version, signal, reason } => {
                let reason = reason.clone();
                let active = ActiveSignal { signal: signal.clone(), since: at, reason };
                self.service_mut(service)?.quarantined.insert(version.clone(), active);
            }
            Event::QuarantineLifted { service, version } => {
                let lifted = self.service_mut(service)?.quarantined.remove(version);
                lifted.ok_or_else(|| FoldErrorKind::UnknownVersion(version.clone()))?;
            }
            Event::FlagsAllowed { service, version } => {
                let allowed = self.service_mut(service)?.rolled_back.remove(version);
                allowed.ok_or_else(|| FoldErrorKind::UnknownVersion(version.clone()))?;
            }
            Event::FreezeWindowsApplied { freeze_windows } => {
                self.freeze_windows.clone_from(freeze_windows)
            }
            Event::DeploymentsFrozen { service, by, reason } => {
                let freeze = ManualFreeze { since: at, by: by.clone(), reason: reason.clone() };
                *self.freeze_mut(service.as_ref())? = Some(freeze);
            }
            Event::DeploymentsUnfrozen { service } => *self.freeze_mut(service.as_ref())? = None,
            Event::RollbackWindowClosed { service, version } => {
                self.service_mut(service)?.close_rollback_window(version)?;
            }
            Event::VersionAlertRaised { service, version, finding } => {
                self.service_mut(service)?.raise_alert(version, finding)?
            }
            Event::VersionAlertCleared { service, version, guardrail } => {
                self.service_mut(service)?.clear_alert(version, guardrail);
            }
            Event::RolledBack { id, cause, .. } => {
                let phase = Phase::RolledBack { at, cause: cause.clone() };
                self.service_of_mut(id)?.roll_back(at, id, phase)?;
            }
            Event::Completed { id, .. } => self.service_of_mut(id)?.complete(at, id)?,
            Event::StableRestored { service, version, cause } => {
                self.service_mut(service)?.restore(at, version, cause)?;
            }
            Event::HookSucceeded { id, hook, on, attempts } => {
                let end = CallState::Succeeded { at, attempts: *attempts };
                self.calling_service_mut(id)?.end_call(id, hook, *on, end)?;
            }
            Event::HookFailed { id, hook, on, attempts, error } => {
                let end = CallState::Failed { at, attempts: *attempts, error: error.clone() };
                self.calling_service_mut(id)?.end_call(id, hook, *on, end)?;
            }
            Event::DnsUpdated { service, records } => {
                self.service_mut(service)?.publish_dns(at, records);
            }
            Event::DnsFailed { service, error } => self.service_mut(service)?.fail_dns(error),
            Event::FlagsReplaced { flags } => {
                self.count_flag_change();
                let document = flag_document(flags)?;
                self.flags = Arc::new(document.flags.clone().into_iter().collect());
                self.evaluators = Arc::new(document.evaluators.cloned().unwrap_or_default());
            }
            Event::FlagSet { key, definition } => {
                self.count_flag_change();
                Arc::make_mut(&mut self.flags).insert(key.clone(), definition.clone());
            }
            Event::FlagDeleted { key } => {
                self.count_flag_change();
                Arc::make_mut(&mut self.flags).remove(key);
            }
        }
        Ok(())
    }

    const fn count_flag_change(&mut self) {
        self.flag_revision = self.flag_revision.saturating_add(1);
    }

    /// The freeze by hand of one or all services.
    fn freeze_mut(
        &mut self,
        service: Option<&ServiceName>,
    ) -> Result<&mut Option<ManualFreeze>, FoldErrorKind> {
        Ok(match service {
            Some(name) => &mut self.service_mut(name)?.frozen,
            None => &mut self.frozen,
        })
    }

    fn service_mut(&mut self, name: &ServiceName) -> Result<&mut ServiceState, FoldErrorKind> {
        let service = self.services.get_mut(name);
        service.map(Arc::make_mut).ok_or_else(|| FoldErrorKind::UnknownService(name.clone()))
    }

    /// The service of a release, which may be an earlier one.
    fn calling_service_mut(&mut self, id: &ReleaseId) -> Result<&mut ServiceState, FoldErrorKind> {
        let service = self.services.get_mut(id.service());
        service.map(Arc::make_mut).ok_or_else(|| FoldErrorKind::UnknownRelease(id.clone()))
    }

    /// The service of a running release.
    fn service_of_mut(&mut self, id: &ReleaseId) -> Result<&mut ServiceState, FoldErrorKind> {
        let known = self.service_of(id).ok_or_else(|| FoldErrorKind::UnknownRelease(id.clone()))?;
        if known.running().is_none() {
            return Err(FoldErrorKind::Phase(id.clone()));
        }
        let name = known.spec.name.clone();
        self.service_mut(&name)
    }

    fn running_mut(&mut self, id: &ReleaseId) -> Result<&mut Release, FoldErrorKind> {
        self.service_of_mut(id)?
            .release
            .as_mut()
            .ok_or_else(|| FoldErrorKind::UnknownRelease(id.clone()))
    }
}

impl ServiceState {
    fn start(
        &mut self,
        at: Timestamp,
        id: &ReleaseId,
        (candidate, stable): (&VersionName, &VersionName),
        plan: &Plan,
        started_by: &str,
    ) -> Result<(), FoldErrorKind> {
        if let Some(running) = self.running() {
            return Err(FoldErrorKind::ReleaseRunning(running.id.clone()));
        }
        if !self.spec.versions.contains_key(candidate) {
            return Err(FoldErrorKind::UnknownVersion(candidate.clone()));
        }
        let number = self.releases.saturating_add(1);
        let follows = ReleaseId::of(&self.spec.name, number).is_ok_and(|next| next == *id)
            && *stable == self.stable
            && *candidate != self.stable;
        if !follows {
            return Err(FoldErrorKind::Start(id.clone()));
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
            started_by: started_by.to_owned(),
            phase: Phase::Preparing { since: at, tested: plan.smoke_tests.is_empty() },
            paused_at: None,
            converged: false,
            alerts: BTreeMap::new(),
            paused_by_guardrail: None,
            overridden: BTreeSet::new(),
            approvals: Vec::new(),
            calls: Vec::new(),
            dns: None,
            health: None,
        };
        release.enqueue_calls(&self.spec.hooks, Moment::Started, at);
        self.release = Some(release);
        Ok(())
    }

    fn enter(
        &mut self,
        at: Timestamp,
        id: &ReleaseId,
        step: usize,
        weight: (Ppm, Ppm),
    ) -> Result<(), FoldErrorKind> {
        let release =
            self.release.as_mut().ok_or_else(|| FoldErrorKind::UnknownRelease(id.clone()))?;
        release.enter(at, step, weight)?;
        if matches!(release.phase, Phase::Watching { .. }) {
            release.enqueue_calls(&self.spec.hooks, Moment::Switched, at);
            release.expect_dns(self.spec.dns.as_ref());
        }
        Ok(())
    }

    fn roll_back(
        &mut self,
        at: Timestamp,
        id: &ReleaseId,
        phase: Phase,
    ) -> Result<(), FoldErrorKind> {
        let release =
            self.release.as_mut().ok_or_else(|| FoldErrorKind::UnknownRelease(id.clone()))?;
        release.end(phase);
        release.enqueue_calls(&self.spec.hooks, Moment::RolledBack, at);
        let candidate = release.candidate.clone();
        self.block_flags(candidate, id.clone());
        Ok(())
    }

    fn complete(&mut self, at: Timestamp, id: &ReleaseId) -> Result<(), FoldErrorKind> {
        let release = self.release.as_mut();
        let watched = release.filter(|it| matches!(it.phase, Phase::Watching { .. }));
        let release = watched.ok_or_else(|| FoldErrorKind::Phase(id.clone()))?;
        release.end(Phase::Completed { at });
        self.previous_until = Some(at.after(release.plan.rollback_window));
        release.enqueue_calls(&self.spec.hooks, Moment::Completed, at);
        let old = std::mem::replace(&mut self.stable, release.candidate.clone());
        self.previous = Some(old);
        self.rolled_back.remove(&self.stable);
        self.last_completed = Some(CompletedRelease { id: id.clone(), rolled_back: false });
        Ok(())
    }

    fn close_rollback_window(&mut self, version: &VersionName) -> Result<(), FoldErrorKind> {
        let kept = self.previous.take_if(|kept| kept == version);
        self.previous_until = None;
        kept.map(drop).ok_or_else(|| FoldErrorKind::UnknownVersion(version.clone()))
    }

    /// No flag selects a version that was rolled back.
    fn block_flags(&mut self, version: VersionName, release: ReleaseId) {
        if self.rolled_back.len() >= MAX_ROLLED_BACK {
            let versions = &self.spec.versions;
            self.rolled_back.retain(|version, _| versions.contains_key(version));
        }
        self.rolled_back.insert(version, release);
    }

    /// Restores the previous version after a complete release, which is then rolled back.
    fn restore(
        &mut self,
        at: Timestamp,
        version: &VersionName,
        cause: &RollbackCause,
    ) -> Result<(), FoldErrorKind> {
        if let Some(running) = self.running() {
            return Err(FoldErrorKind::ReleaseRunning(running.id.clone()));
        }
        if self.previous.as_ref() != Some(version) {
            return Err(FoldErrorKind::UnknownVersion(version.clone()));
        }
        self.previous = None;
        self.previous_until = None;
        let replaced = std::mem::replace(&mut self.stable, version.clone());
        self.rolled_back.remove(version);
        if let Some(completed) = &mut self.last_completed {
            completed.rolled_back = true;
            let id = completed.id.clone();
            self.block_flags(replaced, id);
        }
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
    /// `$evaluators`: rules that flags share.
    pub(crate) evaluators: Option<&'a Map<String, Value>>,
}

/// Splits a flag document. The definitions are not interpreted.
pub(crate) fn flag_document(document: &Value) -> Result<FlagDocument<'_>, FlagDocumentError> {
    let flags = document.get("flags").and_then(Value::as_object);
    let flags = flags.ok_or(FlagDocumentError::NoFlags)?;
    let evaluators = match document.get("$evaluators") {
        None => None,
        Some(Value::Object(evaluators)) => Some(evaluators),
        Some(_) => return Err(FlagDocumentError::Evaluators),
    };
    Ok(FlagDocument { flags, evaluators })
}
