//! How a release is told in few words.

use std::time::Duration;

use tidegate::api::views::{PhaseKind, ProgressView, ReleaseView, Service};
use tidegate_delivery::judge::Verdict;
use tidegate_delivery::units::Ppm;

/// Shown where there is nothing.
pub(super) const NONE: &str = "-";

/// Where it is: `step 2/5`, `watching`, `paused at step 2/5`.
pub(super) fn phase(release: &ReleaseView) -> String {
    let phase = match (release.phase, release.step) {
        (PhaseKind::Stepping, Some(step)) => format!("step {step}/{}", release.steps),
        (phase, _) => phase.as_str().replace('_', " "),
    };
    match (&release.held, release.paused) {
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

/// What it waits for, or why it ended.
pub(super) fn waiting_for(release: &ReleaseView) -> String {
    let failed = release.hooks.iter().filter_map(|hook| {
        let error = hook.error.as_ref()?;
        Some(format!("hook `{}` failed: {error}", hook.name))
    });
    let told: Vec<String> =
        std::iter::once(holds(release)).filter(|it| it != NONE).chain(failed).collect();
    if told.is_empty() { NONE.to_owned() } else { told.join("; ") }
}

fn holds(release: &ReleaseView) -> String {
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

/// `2 of 2 sidecars, p99 84 ms`.
pub(super) fn convergence(release: &ReleaseView) -> String {
    let Some(progress) = &release.progress else {
        return NONE.to_owned();
    };
    let p99 = progress.convergence.p99_ms.map(|ms| format!(", p99 {ms} ms"));
    sidecars(progress) + &p99.unwrap_or_default()
}

/// `2 of 2 sidecars`.
fn sidecars(progress: &ProgressView) -> String {
    let seen = &progress.convergence;
    format!("{} of {} sidecars", seen.acked, seen.connected)
}

/// All of it in one line, without what moves by itself: for logs of a watch.
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
        line += &format!(", {}", sidecars(progress));
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
