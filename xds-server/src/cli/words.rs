//! How a release is told in few words.

use std::time::Duration;

use tidegate::api::views::{PhaseName, ReleaseView};
use tidegate::delivery::release::RollbackCause;
use tidegate::delivery::units::Ppm;
use tidegate::judge::{Finding, Verdict};

/// Shown where there is nothing.
pub(super) const NONE: &str = "-";

/// Where it is: `step 2/5`, `watching`, `paused at step 2/5`.
pub(super) fn phase(release: &ReleaseView) -> String {
    let phase = match (release.phase, release.step) {
        (PhaseName::Stepping, Some(step)) => format!("step {step}/{}", release.steps),
        (phase, _) => phase.as_str().replace('_', " "),
    };
    if release.paused { format!("{phase}, paused") } else { phase }
}

/// A share, with at most two digits after the point.
pub(super) fn share(share: Ppm) -> String {
    if share.parts() % 100 == 0 {
        share.to_string()
    } else {
        format!("{:.2}%", share.fraction() * 100.0)
    }
}

/// The judge's word.
pub(super) fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Healthy => "healthy".to_owned(),
        Verdict::InsufficientData { missing } => format!("needs {missing} more requests"),
        Verdict::Alert { findings } => {
            let alerts: Vec<String> = findings.iter().map(finding).collect();
            alerts.join("; ")
        }
        Verdict::RollBack { finding: why } => format!("rolls back: {}", finding(why)),
    }
}

/// A limit that was crossed, with the numbers.
fn finding(finding: &Finding) -> String {
    let Finding { guardrail, level, limit, bad, requests, .. } = finding;
    format!("{guardrail} {level}: {bad} of {requests} beyond {limit}")
}

/// Why it went back.
pub(super) fn cause(cause: &RollbackCause) -> String {
    match cause {
        RollbackCause::Guardrail { finding: why } => finding(why),
        RollbackCause::SmokeTest { failure } => format!("smoke test: {failure}"),
        RollbackCause::Operator => "by an operator".to_owned(),
    }
}

/// What it waits for, or why it ended.
pub(super) fn waiting_for(release: &ReleaseView) -> String {
    if let Some(why) = &release.cause {
        return cause(why);
    }
    let Some(progress) = &release.progress else {
        return NONE.to_owned();
    };
    if !progress.waiting_for.is_empty() {
        return progress.waiting_for.join("; ");
    }
    if progress.time_left_ms > 0 {
        let left = Duration::from_secs(progress.time_left_ms.div_ceil(1000));
        return format!("{} more", humantime::format_duration(left));
    }
    NONE.to_owned()
}

/// `2 of 2 sidecars`.
pub(super) fn convergence(release: &ReleaseView) -> String {
    release.progress.as_ref().map_or_else(
        || NONE.to_owned(),
        |progress| {
            let seen = progress.convergence;
            format!("{} of {} sidecars", seen.acked, seen.connected)
        },
    )
}
