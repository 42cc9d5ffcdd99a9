//! The overview of services: a line for stable and one for the candidate, with their share and their requests of the last
//! half minute, then the release and what it waits for. It fits the screen.

use tidegate::api::views::{PhaseKind, RecentView, ReleaseView, Service, Version};
use tidegate_delivery::judge::{Level, Verdict};
use tidegate_delivery::model::plan::Strategy;
use tidegate_delivery::units::{Ppm, Timestamp};

use super::layout::{Layout, Row};
use crate::cli::output::printable;
use crate::cli::terminal::{Screen, Style};
use crate::cli::text::{self, NONE};

/// A line of the overview.
enum Line {
    Version(Row),
    /// Of the release, or of the service.
    Note(Style, String),
}

/// The services, as text.
pub(super) fn text(services: &[Service], at: Timestamp, screen: Screen) -> String {
    if services.is_empty() {
        return "no services; declare one in the configuration, or write one with `tidegate init`"
            .to_owned();
    }
    let lines: Vec<_> = services.iter().flat_map(|service| lines(service, at)).collect();
    let rows = lines.iter().filter_map(|line| match line {
        Line::Version(row) => Some(row),
        Line::Note(..) => None,
    });
    let layout = Layout::of(&rows.collect::<Vec<_>>(), screen);
    let mut text = vec![layout.heads()];
    for line in &lines {
        match line {
            Line::Version(row) => text.push(layout.row(row)),
            Line::Note(style, note) => {
                let lines = screen.wrap(&printable(note), 2);
                text.extend(lines.iter().map(|line| screen.paint(*style, line)));
            }
        }
    }
    text.join("\n")
}

fn lines(service: &Service, at: Timestamp) -> Vec<Line> {
    let running = service.release.as_ref().filter(|release| text::is_running(release));
    let candidate = running.map(|release| &release.candidate);
    // A version without a share that has requests was selected by a flag.
    let is_shown = |version: &&Version| {
        version.name == service.stable
            || candidate == Some(&version.name)
            || version.recent.requests > 0
    };
    let mut versions: Vec<_> = service.versions.iter().filter(is_shown).collect();
    versions
        .sort_by_key(|version| (version.name != service.stable, candidate != Some(&version.name)));
    let mut lines: Vec<_> = versions
        .iter()
        .enumerate()
        .map(|(number, version)| Line::Version(row(service, running, version, number == 0)))
        .collect();
    lines.extend(service.release.iter().flat_map(|release| notes(service, release, at)));
    lines.extend(service.versions.iter().flat_map(alerts));
    lines.extend(frozen(service));
    lines.extend(unresolved(service));
    lines
}

/// The alerts about a version that no release judges.
fn alerts(version: &Version) -> impl Iterator<Item = Line> {
    version.alerts.iter().map(|(guardrail, level)| {
        let style = if *level == Level::Warning { Style::Warning } else { Style::Bad };
        Line::Note(style, format!("{level} alert of {}: {guardrail} above its limit", version.name))
    })
}

fn row(service: &Service, running: Option<&ReleaseView>, version: &Version, is_first: bool) -> Row {
    let is_candidate = running.is_some_and(|release| release.candidate == version.name);
    let role = match () {
        () if version.name == service.stable => " stable",
        () if is_candidate => " candidate",
        () => "",
    };
    let recent = &version.recent;
    Row {
        service: if is_first { service.name.to_string() } else { String::new() },
        version: version.name.to_string(),
        role,
        weight: version.weight,
        bar: if is_candidate { Style::Candidate } else { Style::Stable },
        actual: running.filter(|_| is_candidate).and_then(|release| release.actual),
        rate: rate(recent),
        errors: errors(service, recent),
        p50: recent.p50_ms.map_or_else(|| NONE.to_owned(), milliseconds),
        p99: p99(service, recent),
    }
}

fn rate(recent: &RecentView) -> String {
    match recent.requests_per_second {
        rate if rate < 99.95 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

/// The error rate, by the limits of the service.
fn errors(service: &Service, recent: &RecentView) -> (Style, String) {
    let limits = &service.guardrails.error_rate;
    match recent.error_rate {
        None => (Style::Plain, NONE.to_owned()),
        Some(Ppm::ZERO) => (Style::Plain, "0%".to_owned()),
        Some(share) => {
            let style = match share {
                share if share >= limits.rollback => Style::Bad,
                share if share >= limits.alert => Style::Warning,
                _ => Style::Plain,
            };
            (style, format!("{:.2}%", share.fraction() * 100.0))
        }
    }
}

/// The 99th percentile of the response time, by the limits of the service if they are of this percentile.
fn p99(service: &Service, recent: &RecentView) -> (Style, String) {
    let Some(ms) = recent.p99_ms else {
        return (Style::Plain, NONE.to_owned());
    };
    let limits = &service.guardrails.latency;
    let is_above = |limit: std::time::Duration| {
        limits.percentile == Ppm::percent(99) && ms >= limit.as_secs_f64() * 1e3
    };
    let style = match () {
        () if is_above(limits.critical) => Style::Bad,
        () if is_above(limits.warning) => Style::Warning,
        () => Style::Plain,
    };
    (style, milliseconds(ms))
}

/// `0.42ms`, `8.2ms`, `84ms`, `1.25s`.
fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 0.995 => format!("{ms:.2}ms"),
        ms if ms < 9.95 => format!("{ms:.1}ms"),
        ms if ms < 999.5 => format!("{ms:.0}ms"),
        ms => format!("{:.2}s", ms / 1e3),
    }
}

fn notes(service: &Service, release: &ReleaseView, at: Timestamp) -> Vec<Line> {
    let ReleaseView { id, candidate, .. } = release;
    let phase = text::phase(release);
    if !text::is_running(release) {
        return vec![ended(service, release)];
    }
    let Some(progress) = &release.progress else {
        let note = format!("{id} to {candidate}: {phase}, not evaluated yet");
        return vec![Line::Note(Style::Dim, note)];
    };
    let strategy = match service.strategy {
        Strategy::Canary => "canary",
        Strategy::BlueGreen => "blue/green",
    };
    let weight = text::share(release.weight);
    let state = format!(
        "{id}, {strategy} to {candidate}: {phase} at {weight}, {}; synced {}",
        progress.verdict,
        text::synced(release),
    );
    let style = match &progress.verdict {
        Verdict::RollBack { .. } => Style::Bad,
        Verdict::Alert { .. } => Style::Warning,
        _ if release.paused => Style::Warning,
        Verdict::Healthy => Style::Good,
        Verdict::Inconclusive { .. } => Style::Plain,
    };
    let mut lines = vec![Line::Note(style, state)];
    if progress.blockers.is_empty() {
        let next = "waits for nothing; the next evaluation decides";
        lines.push(Line::Note(Style::Dim, next.to_owned()));
    } else {
        let blockers: Vec<_> = progress.blockers.iter().map(|it| it.detail.as_str()).collect();
        let blockers = blockers.join("; ");
        let until = text::earliest(progress, at).map(|until| text::clock(until, at));
        // A freeze window names its end.
        let until = until.filter(|until| !blockers.contains(until));
        let until = until.map(|until| format!(" (not before {until})")).unwrap_or_default();
        lines.push(Line::Note(Style::Plain, format!("waits for {blockers}{until}")));
    }
    let ratio = &progress.convergence.sample_ratio;
    if !ratio.is_empty() {
        lines.push(Line::Note(Style::Warning, format!("far from its weight: {ratio}")));
    }
    lines.extend(text::failed_hooks(release).map(|hook| Line::Note(Style::Bad, hook)));
    lines
}

/// The end of a release.
fn ended(service: &Service, release: &ReleaseView) -> Line {
    let ReleaseView { id, candidate, phase, since, cause, .. } = release;
    let hooks: String = text::failed_hooks(release).map(|hook| format!("; {hook}")).collect();
    if *phase == PhaseKind::RolledBack {
        let cause = cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
        let note = format!("{id} to {candidate} was rolled back at {since}{cause}{hooks}");
        return Line::Note(Style::Warning, note);
    }
    let kept = service.previous.as_ref().zip(service.previous_until);
    let kept = kept.map_or_else(String::new, |(previous, until)| {
        format!("; {previous} is kept for a rollback until {until}")
    });
    let note = format!("{id} to {candidate} completed at {since}{kept}{hooks}");
    Line::Note(Style::Dim, note)
}

fn frozen(service: &Service) -> Option<Line> {
    let freeze = service.frozen.as_ref()?;
    let reason = freeze.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let note = format!("deployments are frozen by {}, since {}{reason}", freeze.by, freeze.since);
    Some(Line::Note(Style::Warning, note))
}

/// Versions with names that do not resolve.
fn unresolved(service: &Service) -> impl Iterator<Item = Line> {
    let versions = service.versions.iter().filter(|version| !version.unresolved.is_empty());
    versions.map(|version| {
        let names = version.unresolved.join(", ");
        Line::Note(Style::Bad, format!("{}: {names} does not resolve", version.name))
    })
}

#[cfg(test)]
#[path = "overview_tests.rs"]
mod tests;
