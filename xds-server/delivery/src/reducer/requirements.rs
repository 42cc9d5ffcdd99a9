//! What others have to say before a release goes forward. No operator goes past it, and nothing
//! that goes back ever asks for it.

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
    for check in &release.plan.requires.checks {
        let result = service.checks.result(&release.candidate, check);
        missing.extend(not_passed(check, result));
    }
    for (step, gate) in gates(release, to) {
        let more = gate.missing(&release.approvals, step, wall);
        let weight = release.plan.steps.get(step).map_or(Ppm::ZERO, |step| step.weight);
        if more > 0 {
            missing.push(Blocker::Approval { role: gate.role.clone(), missing: more, weight });
        }
    }
    missing
}

/// The gates that stand between where a release is and the step `to`, with the step behind each.
pub(super) fn gates(
    release: &Release,
    to: Option<usize>,
) -> impl Iterator<Item = (usize, &Approvals)> {
    let from = release.next_step();
    let within =
        move |step: usize| from.zip(to).is_some_and(|(from, to)| (from..=to).contains(&step));
    let before_all = release.plan.requires.approvals.iter().map(|gate| (0, gate));
    let steps = release.plan.steps.iter().enumerate();
    let of_steps = steps.filter_map(|(step, planned)| Some((step, planned.approval.as_ref()?)));
    before_all.chain(of_steps).filter(move |(step, _)| within(*step))
}

fn not_passed(check: &CheckName, result: Option<&CheckResult>) -> Option<Blocker> {
    let check = check.clone();
    match result {
        Some(CheckResult { passed: true, .. }) => None,
        Some(CheckResult { reason, url, .. }) => {
            Some(Blocker::CheckFailed { check, reason: reason.clone(), url: url.clone() })
        }
        None => Some(Blocker::CheckMissing { check }),
    }
}
