//! Business metrics: which requests each is about, and how they end well.

use tidegate_core::config::{HeaderMatch, MAX_BUSINESS_RULES, RequestMatch, ResponseMatch};

use super::name;
use super::once::Once;
use crate::config::place::At;
use crate::config::problem::{Fault, Problems};
use crate::config::{raw, units};
use tidegate_delivery::judge::guardrails::BusinessMetric;
use tidegate_delivery::names::MetricName;

/// Longest path or header value, in bytes.
const MAX_TEXT: usize = 256;
/// Good, unless somebody says otherwise: answered, and not with a failure.
const GOOD: (u16, u16) = (200, 399);

pub(super) fn resolve(
    written: &At<Vec<raw::BusinessMetric>>,
    problems: &mut Problems,
) -> Vec<BusinessMetric> {
    let count = written.get().len();
    if count > MAX_BUSINESS_RULES {
        problems.add(
            written.place(),
            format!("{count} business metrics, and each costs every request a look"),
            format!("keep the {MAX_BUSINESS_RULES} that matter most"),
        );
    }
    let mut once = Once::default();
    let mut metrics = Vec::new();
    for raw in written.get() {
        once.check("business metric", raw.name.get(), "", raw.name.place(), problems);
        let name = problems.take(raw.name.place(), name::<MetricName>(&raw.name));
        let at_least = problems.take(raw.at_least.place(), units::percent(raw.at_least.get()));
        let of = RequestMatch {
            method: take(raw.of.method.as_ref(), method, problems),
            path: take(raw.of.path.as_ref(), path, problems),
        };
        let good = ResponseMatch {
            status: take(raw.good.status.as_ref(), status, problems).unwrap_or(GOOD),
            header: raw.good.header.as_ref().and_then(|raw| header(raw, problems)),
        };
        let metric = name.zip(at_least);
        metrics.extend(metric.map(|(name, at_least)| BusinessMetric { name, of, good, at_least }));
    }
    metrics
}

fn take<T>(
    written: Option<&At<String>>,
    read: fn(&str) -> Result<T, Fault>,
    problems: &mut Problems,
) -> Option<T> {
    written.and_then(|at| problems.take(at.place(), read(at.get())))
}

fn header(raw: &raw::BusinessHeader, problems: &mut Problems) -> Option<HeaderMatch> {
    let name = problems.take(raw.name.place(), header_name(raw.name.get()));
    let value = problems.take(raw.value.place(), text(raw.value.get()));
    name.zip(value).map(|(name, value)| HeaderMatch { name, value })
}

/// Methods are compared as they are, and clients send them in capitals.
fn method(text: &str) -> Result<String, Fault> {
    let good = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase());
    good.then(|| text.to_owned()).ok_or_else(|| {
        Fault::new(format!("`{text}` is no method"), "write it in capitals, such as POST")
    })
}

fn path(path: &str) -> Result<String, Fault> {
    if path.starts_with('/') && !path.contains(['?', '#']) {
        return text(path);
    }
    Err(Fault::new(
        format!("`{path}` is no path"),
        "begin it with `/`, leave out the query, and end it with `*` if longer ones count too",
    ))
}

fn text(text: &str) -> Result<String, Fault> {
    let visible = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if visible && (1..=MAX_TEXT).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(
        format!(
            "`{}` is not 1 to {MAX_TEXT} visible characters",
            text.chars().take(40).collect::<String>()
        ),
        "write what the header or path is made of, in ASCII",
    ))
}

fn header_name(name: &str) -> Result<String, Fault> {
    if units::is_token(name) {
        return Ok(name.to_ascii_lowercase());
    }
    Err(Fault::new(
        format!("`{name}` is not the name of a header"),
        "use letters, digits and `-`, such as x-order-outcome",
    ))
}

fn status(text: &str) -> Result<(u16, u16), Fault> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let read = |part: &str| part.trim().parse().ok().filter(|status| (100..=599).contains(status));
    match (read(first), read(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(Fault::new(
            format!("`{text}` is no status"),
            "write one from 100 to 599, or two with a dash between: 201, 200-299",
        )),
    }
}
