//! Guardrails. Each field is the service's, else the file's default, else the built-in value.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use super::{business, queries};
use crate::config::problem::{Fault, Problems};
use crate::config::span::{Span, Spanned};
use crate::config::{raw, units};
use tidegate_delivery::judge::Guardrail;
use tidegate_delivery::judge::guardrails::{
    ClientErrors, CommonMode, ErrorRate, Guardrails, Inconclusive, Latency, Resources,
    WorseThanStable,
};
use tidegate_delivery::units::Ppm;

/// Most times that an inconclusive step is extended by its own time.
const MAX_EXTENSIONS: u32 = 999;

/// `base`, overridden field by field. Relative paths are resolved against `directory`.
pub(super) fn resolve(
    base: &Guardrails,
    written: Option<&raw::Guardrails>,
    directory: &Path,
    problems: &mut Problems,
) -> Guardrails {
    let mut resolved = base.clone();
    let Some(written) = written else {
        return resolved;
    };
    if let Some(raw) = &written.error_rate {
        resolved.error_rate = error_rate(base.error_rate, raw, problems);
    }
    if let Some(raw) = &written.client_errors {
        resolved.client_errors = client_errors(base.client_errors, raw, problems);
    }
    if let Some(raw) = &written.latency {
        resolved.latency = latency(base.latency, raw, problems);
    }
    if let Some(raw) = &written.resources {
        resolved.resources = resources(base.resources, raw, problems);
    }
    if let Some(at) = &written.business {
        resolved.business = business::resolve(at, problems);
        resolved.dry_run.retain(|it| !matches!(it, Guardrail::Business(_)));
        let in_dry_run = at.get().iter().filter(|it| it.dry_run == Some(true));
        let names = in_dry_run.filter_map(|it| it.name.get().parse().ok());
        resolved.dry_run.extend(names.map(Guardrail::Business));
    }
    if let Some(at) = &written.queries {
        resolved.dry_run.retain(|it| !matches!(it, Guardrail::Query(_)));
        resolved.queries.clear();
        for (query, is_dry_run) in queries::resolve(at, directory, problems) {
            resolved.dry_run.extend(is_dry_run.then(|| Guardrail::Query(query.name.clone())));
            resolved.queries.push(query);
        }
    }
    dry_run(&mut resolved.dry_run, written);
    if let Some(at) = &written.min_requests {
        if *at.get() == 0 {
            problems.add(at.span(), "min_requests is 0", "write at least 1");
        }
        resolved.min_requests = *at.get();
    }
    if let Some(at) = &written.common_mode {
        let choices = [("hold", CommonMode::Hold), ("rollback", CommonMode::Rollback)];
        resolved.common_mode = choice("common_mode", at, choices, base.common_mode, problems);
    }
    if let Some(at) = &written.inconclusive {
        let read = problems.record(at.span(), inconclusive(at.get()));
        resolved.inconclusive = read.unwrap_or(base.inconclusive);
    }
    resolved
}

/// The guardrails in a dry run, beside business metrics and queries.
fn dry_run(resolved: &mut BTreeSet<Guardrail>, written: &raw::Guardrails) {
    let raw::Guardrails { error_rate, client_errors, latency, resources, .. } = written;
    let resources = resources.as_ref().and_then(|it| it.dry_run);
    let all = [
        (Guardrail::ErrorRate, error_rate.as_ref().and_then(|it| it.dry_run)),
        (Guardrail::ClientErrors, client_errors.as_ref().and_then(|it| it.dry_run)),
        (Guardrail::Latency, latency.as_ref().and_then(|it| it.dry_run)),
        (Guardrail::Cpu, resources),
        (Guardrail::Memory, resources),
        (Guardrail::Disk, resources),
    ];
    for (guardrail, dry_run) in all {
        match dry_run {
            Some(true) => {
                resolved.insert(guardrail);
            }
            Some(false) => {
                resolved.remove(&guardrail);
            }
            None => {}
        }
    }
}

/// One of two words.
fn choice<T: Copy>(
    key: &str,
    at: &Spanned<String>,
    choices: [(&str, T); 2],
    base: T,
    problems: &mut Problems,
) -> T {
    if let Some((_, chosen)) = choices.iter().find(|(word, _)| word == at.get()) {
        return *chosen;
    }
    let [(first, _), (second, _)] = choices;
    problems.add(
        at.span(),
        format!("`{}` is not a value of `{key}`", at.get()),
        format!("write `{first}` or `{second}`"),
    );
    base
}

/// `hold`, `proceed` or `extend N`.
fn inconclusive(written: &str) -> Result<Inconclusive, Fault> {
    let times = written.strip_prefix("extend ").and_then(|it| it.trim().parse().ok());
    match (written, times) {
        ("hold", _) => Ok(Inconclusive::Hold),
        ("proceed", _) => Ok(Inconclusive::Proceed),
        (_, Some(times @ 1..=MAX_EXTENSIONS)) => Ok(Inconclusive::Extend(times)),
        _ => Err(Fault::new(
            format!("`{written}` is not a value of `inconclusive`"),
            format!("write `hold`, `proceed`, or `extend N` with N from 1 to {MAX_EXTENSIONS}"),
        )),
    }
}

fn error_rate(base: ErrorRate, raw: &raw::ErrorRate, problems: &mut Problems) -> ErrorRate {
    let mut limits = Limits::new(problems, units::percent);
    let resolved = ErrorRate {
        alert: limits.read("alert", raw.alert.as_ref(), base.alert),
        rollback: limits.read("rollback", raw.rollback.as_ref(), base.rollback),
        worse_than_stable: base.worse_than_stable,
    };
    limits.check_ascending();
    let compared = compared(raw.worse_than_stable.as_ref(), base.worse_than_stable, problems);
    ErrorRate { worse_than_stable: compared, ..resolved }
}

fn client_errors(
    base: ClientErrors,
    raw: &raw::ClientErrors,
    problems: &mut Problems,
) -> ClientErrors {
    let mut limits = Limits::new(problems, units::percent);
    let mut limit = |name, written: Option<&Spanned<String>>, base: Option<Ppm>| {
        (written.is_some() || base.is_some())
            .then(|| limits.read(name, written, base.unwrap_or(Ppm::ALL)))
    };
    let alert = limit("alert", raw.alert.as_ref(), base.alert);
    let rollback = limit("rollback", raw.rollback.as_ref(), base.rollback);
    limits.check_ascending();
    let base = base.worse_than_stable;
    let worse_than_stable = compared(raw.worse_than_stable.as_ref(), base, problems);
    ClientErrors { alert, rollback, worse_than_stable }
}

fn compared(
    written: Option<&Spanned<String>>,
    base: WorseThanStable,
    problems: &mut Problems,
) -> WorseThanStable {
    let choices = [("rollback", WorseThanStable::Rollback), ("hold", WorseThanStable::Hold)];
    written.map_or(base, |at| choice("worse_than_stable", at, choices, base, problems))
}

fn latency(base: Latency, raw: &raw::Latency, problems: &mut Problems) -> Latency {
    let quantile =
        raw.quantile.as_ref().and_then(|at| problems.record(at.span(), units::quantile(at.get())));
    let mut limits = Limits::new(problems, units::duration);
    let resolved = Latency {
        quantile: quantile.unwrap_or(base.quantile),
        warning: limits.read("warning", raw.warning.as_ref(), base.warning),
        critical: limits.read("critical", raw.critical.as_ref(), base.critical),
        rollback: limits.read("rollback", raw.rollback.as_ref(), base.rollback),
        worse_than_stable: base.worse_than_stable,
    };
    limits.check_ascending();
    let compared = compared(raw.worse_than_stable.as_ref(), base.worse_than_stable, problems);
    Latency { worse_than_stable: compared, ..resolved }
}

fn resources(base: Resources, raw: &raw::Resources, problems: &mut Problems) -> Resources {
    let quantile =
        raw.quantile.as_ref().and_then(|at| problems.record(at.span(), units::quantile(at.get())));
    let mut limits = Limits::new(problems, units::percent);
    let resolved = Resources {
        quantile: quantile.unwrap_or(base.quantile),
        warning: limits.read("warning", raw.warning.as_ref(), base.warning),
        critical: limits.read("critical", raw.critical.as_ref(), base.critical),
    };
    limits.check_ascending();
    resolved
}

/// Limits, displayed as they are written.
trait Limit: Copy + PartialOrd {
    fn as_written(self) -> impl Display;
}

impl Limit for Ppm {
    fn as_written(self) -> impl Display {
        self
    }
}

impl Limit for Duration {
    fn as_written(self) -> impl Display {
        humantime::format_duration(self)
    }
}

/// The limits of one guardrail, by ascending severity.
struct Limits<'p, T> {
    problems: &'p mut Problems,
    parse: fn(&str) -> Result<T, Fault>,
    read: Vec<(&'static str, T)>,
    span: Option<Span>,
}

impl<'p, T: Limit> Limits<'p, T> {
    fn new(problems: &'p mut Problems, parse: fn(&str) -> Result<T, Fault>) -> Self {
        Self { problems, parse, read: Vec::new(), span: None }
    }

    fn read(&mut self, name: &'static str, written: Option<&Spanned<String>>, base: T) -> T {
        let value = written.and_then(|at| {
            self.span = self.span.or(Some(at.span()));
            self.problems.record(at.span(), (self.parse)(at.get()))
        });
        let value = value.unwrap_or(base);
        self.read.push((name, value));
        value
    }

    /// A more severe level with a lower limit would make the milder level unreachable.
    fn check_ascending(self) {
        let Some(span) = self.span else { return };
        for ((low, lower), (high, higher)) in self.read.iter().zip(self.read.iter().skip(1)) {
            if lower >= higher {
                let (lower, higher) = (lower.as_written(), higher.as_written());
                self.problems.add(
                    span,
                    format!("{low} at {lower} is not below {high} at {higher}"),
                    format!("lower {low} or raise {high}"),
                );
            }
        }
    }
}
