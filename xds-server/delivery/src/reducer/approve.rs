//! Approvals: one person's consent to the next step of a release.

use super::verbs::wrong_phase;
use super::{Decision, decision, requirements, unchanged};
use crate::model::command::{CommandContext, Refusal};
use crate::model::event::Event;
use crate::model::outcome::Effect;
use crate::model::refusal::Conflict;
use crate::model::release::Release;
use crate::model::requirements::Approval;
use crate::names::RoleName;

pub(super) fn approve(
    release: &Release,
    command_context: &CommandContext<'_>,
    role: &RoleName,
) -> Result<Decision, Refusal> {
    let id = &release.id;
    let CommandContext { actor, wall: at, .. } = *command_context;
    let refuse = |conflict| Err(wrong_phase(release, "approve", conflict));
    if !release.is_running() {
        return refuse(Conflict::Ended);
    }
    let required: Vec<_> = requirements::approvals_before(release, release.next_step()).collect();
    // The plan and the step can both require approvals of this role; one approval counts for both.
    let of_role = || required.iter().filter(|(_, approvals)| approvals.role == *role);
    let Some((step, _)) = of_role().next() else {
        return refuse(match required.first() {
            Some((_, approvals)) => Conflict::OtherRole { role: approvals.role.clone() },
            None => Conflict::NoApproval,
        });
    };
    if release.started_by == actor {
        return refuse(Conflict::OwnRelease { actor: actor.to_owned() });
    }
    let valid =
        |it: &&Approval| it.by == actor && it.role == *role && it.step == *step && it.until > at;
    let missing = |given: &[Approval]| -> u32 {
        let each = of_role().map(|(step, approvals)| approvals.missing(given, *step, at));
        each.max().unwrap_or_default()
    };
    let effect = |until, missing| Effect::Approved {
        role: role.clone(),
        by: actor.to_owned(),
        until,
        missing,
    };
    let missing_before = missing(&release.approvals);
    if let Some(given) = release.approvals.iter().find(valid) {
        return Ok(unchanged(Some(id), effect(given.until, missing_before)));
    }
    if missing_before == 0 {
        return Ok(unchanged(Some(id), Effect::ApprovalsComplete { role: role.clone() }));
    }
    let expire = of_role().map(|(_, approvals)| approvals.expire).max().unwrap_or_default();
    let approval =
        Approval { by: actor.to_owned(), role: role.clone(), step: *step, until: at.after(expire) };
    let given = [release.approvals.clone(), vec![approval.clone()]].concat();
    let effect = effect(approval.until, missing(&given));
    Ok(decision(Some(id), vec![Event::Approved { id: id.clone(), approval }], effect))
}
