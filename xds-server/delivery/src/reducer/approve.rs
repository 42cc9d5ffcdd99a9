//! Approvals: each is one person's word for the step that comes next.

use super::verbs::wrong;
use super::{Decision, done, requirements, unchanged};
use crate::model::command::{CommandContext, Refusal};
use crate::model::event::Event;
use crate::model::release::Release;
use crate::model::requirements::Approval;
use crate::names::RoleName;

pub(super) fn approve(
    release: &Release,
    command_context: &CommandContext<'_>,
    role: &RoleName,
) -> Result<Decision, Refusal> {
    let id = &release.id;
    if !release.is_running() {
        return Err(wrong(release, "approve", "it has ended"));
    }
    let before_next: Vec<_> = requirements::gates(release, release.next_step()).collect();
    // Two gates can stand before the same step, and one approval is good for both.
    let gates = || before_next.iter().filter(|(_, gate)| gate.role == *role);
    let Some((step, _)) = gates().next() else {
        let why = match before_next.first() {
            Some((_, gate)) => format!("what comes next is approved as `{}`", gate.role),
            None => "what comes next needs no approval".to_owned(),
        };
        return Err(wrong(release, "approve", &why));
    };
    if release.started_by.as_deref() == Some(command_context.actor) {
        let why = format!("{} started it, and another has to approve it", command_context.actor);
        return Err(wrong(release, "approve", &why));
    }
    let is_theirs = |it: &&Approval| {
        it.by == command_context.actor
            && it.role == *role
            && it.step == *step
            && it.until > command_context.wall
    };
    if let Some(given) = release.approvals.iter().find(is_theirs) {
        let until = given.until;
        let message =
            format!("release `{id}` has the approval of {} until {until}", command_context.actor);
        return Ok(unchanged(Some(id), message));
    }
    let missing = |given: &[Approval]| -> u32 {
        gates()
            .map(|(step, gate)| gate.missing(given, *step, command_context.wall))
            .max()
            .unwrap_or_default()
    };
    if missing(&release.approvals) == 0 {
        let message = format!("release `{id}` has all approvals as `{role}` for what comes next");
        return Ok(unchanged(Some(id), message));
    }
    let expire = gates().map(|(_, gate)| gate.expire).max().unwrap_or_default();
    let until = command_context.wall.after(expire);
    let approval =
        Approval { by: command_context.actor.to_owned(), role: role.clone(), step: *step, until };
    let given = [release.approvals.clone(), vec![approval.clone()]].concat();
    let message = match missing(&given) {
        0 => format!("release `{id}` has the approvals as `{role}` for what comes next"),
        left => {
            format!("release `{id}` is approved by {}; {left} more to come", command_context.actor)
        }
    };
    Ok(done(Some(id), vec![Event::Approved { id: id.clone(), approval }], message))
}
