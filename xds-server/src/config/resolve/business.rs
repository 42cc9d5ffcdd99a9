//! Business metrics: the requests that each counts, and the responses that are good.

use tidegate_core::config::{HeaderMatch, MAX_BUSINESS_RULES, RequestMatch, ResponseMatch};

use super::{UniqueNames, name};
use crate::config::problem::{Fault, Problems};
use crate::config::span::Spanned;
use crate::config::{raw, units};
use tidegate_delivery::judge::guardrails::BusinessMetric;
use tidegate_delivery::names::MetricName;

/// Limit of a path or header value, in bytes.
const MAX_TEXT: usize = 256;
/// Default of `good.status`.
const GOOD: (u16, u16) = (200, 399);

pub(super) fn resolve(
    written: &Spanned<Vec<raw::BusinessMetric>>,
    problems: &mut Problems,
) -> Vec<BusinessMetric> {
    let count = written.get().len();
    if count > MAX_BUSINESS_RULES {
        problems.add(
            written.span(),
            format!("{count} business metrics exceed the limit"),
            format!("keep at most {MAX_BUSINESS_RULES}: every request evaluates all of them"),
        );
    }
    let mut names = UniqueNames::default();
    let mut metrics = Vec::new();
    for raw in written.get() {
        names.check("business metric", raw.name.get(), "", raw.name.span(), problems);
        let name = problems.record(raw.name.span(), name::<MetricName>(&raw.name));
        let at_least = problems.record(raw.at_least.span(), units::percent(raw.at_least.get()));
        let of = RequestMatch {
            method: parse(raw.of.method.as_ref(), method, problems),
            path: parse(raw.of.path.as_ref(), path, problems),
        };
        let good = ResponseMatch {
            status: parse(raw.good.status.as_ref(), status, problems).unwrap_or(GOOD),
            header: raw.good.header.as_ref().and_then(|raw| header(raw, problems)),
        };
        let metric = name.zip(at_least);
        metrics.extend(metric.map(|(name, at_least)| BusinessMetric { name, of, good, at_least }));
    }
    metrics
}

fn parse<T>(
    written: Option<&Spanned<String>>,
    read: fn(&str) -> Result<T, Fault>,
    problems: &mut Problems,
) -> Option<T> {
    written.and_then(|at| problems.record(at.span(), read(at.get())))
}

pub(super) fn header(raw: &raw::BusinessHeader, problems: &mut Problems) -> Option<HeaderMatch> {
    let name = problems.record(raw.name.span(), header_name(raw.name.get()));
    let value = problems.record(raw.value.span(), text(raw.value.get()));
    name.zip(value).map(|(name, value)| HeaderMatch { name, value })
}

/// Methods are case-sensitive.
fn method(text: &str) -> Result<String, Fault> {
    let good = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase());
    good.then(|| text.to_owned()).ok_or_else(|| {
        Fault::new(format!("`{text}` is not a method"), "write it in upper case, such as POST")
    })
}

fn path(path: &str) -> Result<String, Fault> {
    if path.starts_with('/') && !path.contains(['?', '#']) {
        return text(path);
    }
    Err(Fault::new(
        format!("`{path}` is not a path"),
        "start it with `/` and omit the query; a `*` at the end matches any suffix",
    ))
}

pub(super) fn text(text: &str) -> Result<String, Fault> {
    let visible = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if visible && (1..=MAX_TEXT).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(
        format!(
            "`{}` is not 1 to {MAX_TEXT} visible characters",
            text.chars().take(40).collect::<String>()
        ),
        "write visible ASCII",
    ))
}

fn header_name(name: &str) -> Result<String, Fault> {
    if units::is_token(name) {
        return Ok(name.to_ascii_lowercase());
    }
    Err(Fault::new(
        format!("`{name}` is not a valid header name"),
        "use letters, digits and `-`, such as x-order-outcome",
    ))
}

fn status(text: &str) -> Result<(u16, u16), Fault> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let read = |part: &str| part.trim().parse().ok().filter(|status| (100..=599).contains(status));
    match (read(first), read(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(Fault::new(
            format!("`{text}` is not a status or a range"),
            "write one from 100 to 599, or two with a dash between: 201, 200-299",
        )),
    }
}
