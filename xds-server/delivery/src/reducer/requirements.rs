//! What others have to say before a release goes forward. No operator goes past it, and nothing
//! that goes back ever asks for it.

use crate::model::checks::CheckResult;
use crate::model::release::Release;
use crate::model::requirements::Approvals;
use crate::model::state::{ServiceState, State};
use crate::model::words::because;
use crate::names::CheckName;
use crate::units::Timestamp;

/// What is missing, in plain words, for a release to enter the step `to`, and with it all before
/// it; or, if there is none, to be complete.
pub(super) fn missing(
    state: &State,
    service: &ServiceState,
    release: &Release,
    now: Timestamp,
    to: Option<usize>,
) -> Vec<String> {
    let mut missing = state.closed(service, now);
    for check in &release.plan.requires.checks {
        let result = service.checks.result(&release.candidate, check);
        missing.extend(not_passed(check, result));
    }
    for (step, gate) in gates(release, to) {
        let more = gate.missing(&release.approvals, step, now);
        let weight =
            release.plan.steps.get(step).map_or_else(String::new, |step| step.weight.to_string());
        match more {
            0 => {}
            1 => missing.push(format!("1 more approval as `{}` to enter {weight}", gate.role)),
            _ => {
                missing.push(format!("{more} more approvals as `{}` to enter {weight}", gate.role))
            }
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

/// A check that failed is named with what it said; one that was not reported is only named.
fn not_passed(check: &CheckName, result: Option<&CheckResult>) -> Option<String> {
    match result {
        Some(CheckResult { passed: true, .. }) => None,
        Some(CheckResult { reason, url, .. }) => {
            let url = url.as_ref().map_or_else(String::new, |url| format!(", see {url}"));
            let why = because(reason.as_deref());
            Some(format!("the check `{check}` to pass, which failed{why}{url}"))
        }
        None => Some(format!("the check `{check}` to be reported")),
    }
}
