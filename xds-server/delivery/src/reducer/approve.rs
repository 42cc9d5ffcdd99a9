//! Approvals: each is one person's word for the step that comes next.

use super::verbs::wrong;
use super::{Decision, done, permits, so_already};
use crate::model::command::{Asker, Refusal};
use crate::model::event::Event;
use crate::model::release::Release;
use crate::model::requires::Approval;
use crate::names::RoleName;

pub(super) fn approve(
    release: &Release,
    asker: &Asker<'_>,
    role: &RoleName,
) -> Result<Decision, Refusal> {
    let id = &release.id;
    if !release.is_running() {
        return Err(wrong(release, "approve", "it has ended"));
    }
    let before_next: Vec<_> = permits::gates(release, release.next_step()).collect();
    // Two gates can stand before the same step, and one approval is good for both.
    let gates = || before_next.iter().filter(|(_, gate)| gate.role == *role);
    let Some((step, _)) = gates().next() else {
        let why = match before_next.first() {
            Some((_, gate)) => format!("what comes next is approved as `{}`", gate.role),
            None => "what comes next needs no approval".to_owned(),
        };
        return Err(wrong(release, "approve", &why));
    };
    if release.started_by.as_deref() == Some(asker.actor) {
        let why = format!("{} started it, and another has to approve it", asker.actor);
        return Err(wrong(release, "approve", &why));
    }
    let is_theirs = |it: &&Approval| {
        it.by == asker.actor && it.role == *role && it.step == *step && it.until > asker.at
    };
    if let Some(given) = release.approvals.iter().find(is_theirs) {
        let until = given.until;
        let message = format!("release `{id}` has the approval of {} until {until}", asker.actor);
        return Ok(so_already(Some(id), message));
    }
    let missing = |given: &[Approval]| -> u32 {
        gates().map(|(step, gate)| gate.missing(given, *step, asker.at)).max().unwrap_or_default()
    };
    if missing(&release.approvals) == 0 {
        let message = format!("release `{id}` has all approvals as `{role}` for what comes next");
        return Ok(so_already(Some(id), message));
    }
    let expire = gates().map(|(_, gate)| gate.expire).max().unwrap_or_default();
    let until = asker.at.after(expire);
    let approval = Approval { by: asker.actor.to_owned(), role: role.clone(), step: *step, until };
    let given = [release.approvals.clone(), vec![approval.clone()]].concat();
    let message = match missing(&given) {
        0 => format!("release `{id}` has the approvals as `{role}` for what comes next"),
        left => format!("release `{id}` is approved by {}; {left} more to come", asker.actor),
    };
    Ok(done(Some(id), vec![Event::Approved { id: id.clone(), approval }], message))
}
