//! Short texts for releases in tables and log lines.

use std::time::Duration;

use tidegate::api::views::{PhaseKind, ProgressView, ReleaseView, Service};
use tidegate_delivery::judge::Verdict;
use tidegate_delivery::units::Ppm;

pub(super) const NONE: &str = "-";

/// `step 2/5`, `watching`, `step 2/5, paused`.
pub(super) fn phase(release: &ReleaseView) -> String {
    let phase = match (release.phase, release.step) {
        (PhaseKind::Stepping, Some(step)) => format!("step {step}/{}", release.steps),
        (phase, _) => phase.as_str().replace('_', " "),
    };
    match (&release.paused_by_guardrail, release.paused) {
        (Some(_), _) => format!("{phase}, paused by a guardrail"),
        (None, true) => format!("{phase}, paused"),
        (None, false) => phase,
    }
}

/// A share, with at most two digits after the point.
pub(super) fn share(share: Ppm) -> String {
    if share.parts().is_multiple_of(100) {
        share.to_string()
    } else {
        format!("{:.2}%", share.fraction() * 100.0)
    }
}

/// Its blockers, failed hooks, or the cause of its rollback.
pub(super) fn waiting_for(release: &ReleaseView) -> String {
    let failed = release.hooks.iter().filter_map(|hook| {
        let error = hook.error.as_ref()?;
        Some(format!("hook `{}` failed: {error}", hook.name))
    });
    let texts: Vec<String> =
        std::iter::once(blocked_by(release)).filter(|it| it != NONE).chain(failed).collect();
    if texts.is_empty() { NONE.to_owned() } else { texts.join("; ") }
}

fn blocked_by(release: &ReleaseView) -> String {
    if let Some(why) = &release.cause {
        return why.to_string();
    }
    let Some(progress) = &release.progress else {
        return NONE.to_owned();
    };
    if !progress.blockers.is_empty() {
        let each: Vec<_> = progress.blockers.iter().map(|it| it.detail.as_str()).collect();
        return each.join("; ");
    }
    if progress.time_left_ms > 0 {
        let left = Duration::from_secs(progress.time_left_ms.div_ceil(1000));
        return format!("{} more", humantime::format_duration(left));
    }
    NONE.to_owned()
}

/// Sidecars that acknowledged the release's configuration, and how long that took: `2/2, p99 84 ms`.
pub(super) fn synced(release: &ReleaseView) -> String {
    let Some(progress) = &release.progress else {
        return NONE.to_owned();
    };
    let p99 = progress.convergence.p99_ms.map(|ms| format!(", p99 {ms} ms"));
    acked(progress) + &p99.unwrap_or_default()
}

fn acked(progress: &ProgressView) -> String {
    let seen = &progress.convergence;
    format!("{}/{}", seen.acked, seen.connected)
}

/// One line for `status --watch` on a pipe. Leaves out times and counts that change on every poll.
pub(super) fn line(service: &Service) -> String {
    let Service { name, stable, release, .. } = service;
    let Some(release) = release else {
        return format!("{name}: {stable}");
    };
    let mut line = format!(
        "{name}: {stable}, release {} to {}: {}, {}",
        release.id,
        release.candidate,
        phase(release),
        share(release.weight)
    );
    if let Some(progress) = &release.progress {
        line += &format!(", synced {}", acked(progress));
        match &progress.verdict {
            Verdict::InsufficientData { .. } => line += ", needs more requests",
            verdict => line += &format!(", {verdict}"),
        }
    }
    if let Some(why) = &release.cause {
        line += &format!(", {why}");
    }
    line
}
