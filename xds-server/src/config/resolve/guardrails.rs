//! Guardrails. Each field is the service's, else the file's default, else the built-in value.

use std::fmt::Display;
use std::time::Duration;

use super::business;
use crate::config::problem::{Fault, Problems};
use crate::config::span::{Span, Spanned};
use crate::config::{raw, units};
use tidegate_delivery::judge::guardrails::{ErrorRate, Guardrails, Latency, Resources};
use tidegate_delivery::units::Ppm;

/// `base`, overridden field by field.
pub(super) fn resolve(
    base: &Guardrails,
    written: Option<&raw::Guardrails>,
    problems: &mut Problems,
) -> Guardrails {
    let mut resolved = base.clone();
    let Some(written) = written else {
        return resolved;
    };
    if let Some(raw) = &written.error_rate {
        resolved.error_rate = error_rate(base.error_rate, raw, problems);
    }
    if let Some(raw) = &written.latency {
        resolved.latency = latency(base.latency, raw, problems);
    }
    if let Some(raw) = &written.resources {
        resolved.resources = resources(base.resources, raw, problems);
    }
    if let Some(at) = &written.business {
        resolved.business = business::resolve(at, problems);
    }
    if let Some(at) = &written.min_requests {
        if *at.get() == 0 {
            problems.add(at.span(), "min_requests is 0", "write at least 1");
        }
        resolved.min_requests = *at.get();
    }
    resolved
}

fn error_rate(base: ErrorRate, raw: &raw::ErrorRate, problems: &mut Problems) -> ErrorRate {
    let mut limits = Limits::new(problems, units::percent);
    let resolved = ErrorRate {
        alert: limits.read("alert", raw.alert.as_ref(), base.alert),
        rollback: limits.read("rollback", raw.rollback.as_ref(), base.rollback),
    };
    limits.check_ascending();
    resolved
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
    };
    limits.check_ascending();
    resolved
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
