//! Findings of guardrails in a dry run: they become events, and decide nothing.

use super::advance::{ReleaseContext, missing_to_clear};
use crate::model::event::Event;

/// The findings that began or changed their level, and those that ended. As with alerts, too few requests end none.
pub(super) fn changes(context: &ReleaseContext<'_>) -> Vec<Event> {
    let ReleaseContext { release, seen, .. } = context;
    let id = &release.id;
    let found =
        seen.dry_run.iter().filter(|it| release.dry_run.get(&it.guardrail) != Some(&it.level));
    let found =
        found.map(|finding| Event::DryRunFound { id: id.clone(), finding: finding.clone() });
    let ended = release.dry_run.keys().filter(|guardrail| {
        missing_to_clear(context) == 0 && seen.dry_run.iter().all(|it| it.guardrail != **guardrail)
    });
    let ended =
        ended.map(|guardrail| Event::DryRunEnded { id: id.clone(), guardrail: guardrail.clone() });
    found.chain(ended).collect()
}
