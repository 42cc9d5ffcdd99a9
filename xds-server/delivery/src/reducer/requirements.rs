//! The requirements of a step: freezes, checks and approvals. A promotion does not skip them; no rollback depends on them.

use crate::model::blocker::Blocker;
use crate::model::checks::CheckResult;
use crate::model::release::Release;
use crate::model::requirements::Approvals;
use crate::model::state::{ServiceState, State};
use crate::names::CheckName;
use crate::units::{Ppm, Timestamp};

/// What blocks a release from entering the step `to` and all before it, or, without `to`, from its completion.
pub(super) fn missing(
    state: &State,
    service: &ServiceState,
    release: &Release,
    wall: Timestamp,
    to: Option<usize>,
) -> Vec<Blocker> {
    let mut missing = state.active_freezes(service, wall);
    for check in &release.plan.requirements.checks {
        let result = service.checks.result(&release.candidate, check);
        missing.extend(check_blocker(check, result));
    }
    for (step, approvals) in approvals_before(release, to) {
        let more = approvals.missing(&release.approvals, step, wall);
        let weight = release.plan.steps.get(step).map_or(Ppm::ZERO, |step| step.weight);
        if more > 0 {
            missing.push(Blocker::Approval { role: approvals.role.clone(), missing: more, weight });
        }
    }
    missing
}

/// The approvals that are required from the next step of a release to the step `to`, each with its step.
pub(super) fn approvals_before(
    release: &Release,
    to: Option<usize>,
) -> impl Iterator<Item = (usize, &Approvals)> {
    let from = release.next_step();
    let within =
        move |step: usize| from.zip(to).is_some_and(|(from, to)| (from..=to).contains(&step));
    let of_plan = release.plan.requirements.approvals.iter().map(|approvals| (0, approvals));
    let steps = release.plan.steps.iter().enumerate();
    let of_steps = steps.filter_map(|(step, planned)| Some((step, planned.approval.as_ref()?)));
    of_plan.chain(of_steps).filter(move |(step, _)| within(*step))
}

fn check_blocker(check: &CheckName, result: Option<&CheckResult>) -> Option<Blocker> {
    let check = check.clone();
    match result {
        Some(CheckResult { passed: true, .. }) => None,
        Some(CheckResult { reason, url, .. }) => {
            Some(Blocker::CheckFailed { check, reason: reason.clone(), url: url.clone() })
        }
        None => Some(Blocker::CheckMissing { check }),
    }
}
