//! Texts in tables and log lines, and times on the command line.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate::api::views::{BlockerView, PhaseKind, ProgressView, ReleaseView, Service};
use tidegate::clock::Clock;
use tidegate_delivery::judge::Verdict;
use tidegate_delivery::model::blocker::Blocker;
use tidegate_delivery::units::{Ppm, Timestamp, rfc3339};

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

/// Whether a release has not ended.
pub(super) const fn is_running(release: &ReleaseView) -> bool {
    !matches!(release.phase, PhaseKind::Completed | PhaseKind::RolledBack)
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
pub(super) fn details(release: &ReleaseView) -> String {
    let blockers = std::iter::once(blockers(release)).filter(|it| it != NONE);
    let texts: Vec<String> = blockers.chain(failed_hooks(release)).collect();
    if texts.is_empty() { NONE.to_owned() } else { texts.join("; ") }
}

/// A line for each hook that failed for good.
pub(super) fn failed_hooks(release: &ReleaseView) -> impl Iterator<Item = String> {
    release.hooks.iter().filter_map(|hook| {
        let error = hook.error.as_ref()?;
        Some(format!("hook `{}` failed: {error}", hook.name))
    })
}

/// The earliest end of what a release waits for; none if only something else than time ends it.
pub(super) fn earliest(progress: &ProgressView, now: Timestamp) -> Option<Timestamp> {
    let end = |BlockerView { blocker, .. }: &BlockerView| match blocker {
        Blocker::Time { remaining }
        | Blocker::ReportCoverage { remaining }
        | Blocker::DnsCaches { remaining, .. } => Some(now.after(*remaining)),
        Blocker::FreezeWindow { until, .. } => Some(*until),
        _ => None,
    };
    progress.blockers.iter().filter_map(end).max()
}

/// The time of day within a day from `now`, else also the day: `09:30:00Z`.
pub(super) fn clock(at: Timestamp, now: Timestamp) -> String {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let text = at.to_string();
    match text.split_once('T') {
        Some((_, clock)) if at.since(now) < DAY => clock.to_owned(),
        _ => text,
    }
}

fn blockers(release: &ReleaseView) -> String {
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

/// The sidecars that ACKed the release's configuration, the time to ACK, and NACKs by type: `1/2, p99 84 ms, NACK (route)`.
pub(super) fn synced(release: &ReleaseView) -> String {
    let Some(progress) = &release.progress else {
        return NONE.to_owned();
    };
    let p99 = progress.convergence.p99_ms.map(|ms| format!(", p99 {ms} ms"));
    acked(progress) + &p99.unwrap_or_default() + &nacks(progress)
}

fn acked(progress: &ProgressView) -> String {
    let seen = &progress.convergence;
    format!("{}/{}", seen.acked, seen.connected)
}

fn nacks(progress: &ProgressView) -> String {
    let types: BTreeSet<_> =
        progress.convergence.nacks.iter().map(|nack| nack.r#type.as_str()).collect();
    if types.is_empty() {
        return String::new();
    }
    format!(", NACK ({})", types.into_iter().collect::<Vec<_>>().join(", "))
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
        line += &format!(", synced {}{}", acked(progress), nacks(progress));
        match &progress.verdict {
            Verdict::Inconclusive { .. } => line += ", inconclusive",
            verdict => line += &format!(", {verdict}"),
        }
    }
    if let Some(why) = &release.cause {
        line += &format!(", {why}");
    }
    line
}

/// RFC 3339, with milliseconds.
pub(super) fn time(at: Timestamp) -> String {
    rfc3339::format(at)
}

/// Reads a time with its offset, a day in UTC, or a duration before now.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let now = Clock::system().now();
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        return Ok(Timestamp(now.0.saturating_sub(ago)));
    }
    let time = rfc3339::parse(text).or_else(|_| rfc3339::parse(&format!("{text}T00:00:00Z")));
    time.map_err(|_| {
        "write a time since 1970 as 2026-11-23T09:00:00Z, a day as 2026-11-23, or a duration before now as 7d"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_parsed() {
        let at = Timestamp(1_700_000_000_123);
        assert_eq!(parse_time(&time(at)), Ok(at));
        assert_eq!(parse_time("2023-11-14T23:13:20+01:00"), Ok(Timestamp(1_700_000_000_000)));
        assert_eq!(parse_time("2023-11-14"), Ok(Timestamp(1_699_920_000_000)));
        let now = Clock::system().now();
        let (earlier, later) = (parse_time("7d").unwrap(), parse_time("6days").unwrap());
        assert!(earlier < later && later < now, "{earlier:?} {later:?} {now:?}");
        for bad in ["", "yesterday", "2023-13-01", "1969-12-31"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
