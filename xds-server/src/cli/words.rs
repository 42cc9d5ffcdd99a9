//! How a release is told in few words.

use std::time::Duration;

use tidegate::api::views::{PhaseName, ProgressView, ReleaseView, Service};
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
    if share.parts().is_multiple_of(100) {
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
            let alerts: Vec<String> = findings.iter().map(alert).collect();
            alerts.join("; ")
        }
        Verdict::RollBack { finding: why } => format!("rolls back: {}", finding(why)),
    }
}

/// A limit that was crossed, with the numbers: `latency above p99 2s: 8 of 90 requests in 5s`.
fn finding(finding: &Finding) -> String {
    let Finding { guardrail, level: _, limit, bad, requests, window_ms } = finding;
    let told = format!("{guardrail} above {limit}: {bad} of {requests} requests");
    window_ms
        .map(Duration::from_millis)
        .map_or(told.clone(), |window| format!("{told} in {}", humantime::format_duration(window)))
}

/// An alert, with how bad it is.
fn alert(alert: &Finding) -> String {
    format!("{}: {}", alert.level, finding(alert))
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
            verdict => line += &format!(", {}", self::verdict(verdict)),
        }
    }
    if let Some(why) = &release.cause {
        line += &format!(", {}", cause(why));
    }
    line
}
