//! Guardrails on queries.

use std::path::Path;
use std::time::Duration;

use super::{UniqueNames, hooks, name};
use crate::config::problem::{Fault, Problems};
use crate::config::span::Spanned;
use crate::config::{raw, units};
use tidegate_delivery::judge::queries::{Beyond, MAX_QUERIES, QueryGuardrail, QuerySource};
use tidegate_delivery::names::MetricName;

const INTERVAL: Duration = Duration::from_secs(15);
const INTERVALS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3600)];
const TIMEOUT: Duration = Duration::from_secs(5);
const CONSECUTIVE: u32 = 3;
const MAX_CONSECUTIVE: u32 = 100;
/// Longest expression, in bytes.
const MAX_QUERY: usize = 4096;

/// The queries, with those in a dry run.
pub(super) fn resolve(
    written: &Spanned<Vec<raw::Query>>,
    base: &Path,
    problems: &mut Problems,
) -> Vec<(QueryGuardrail, bool)> {
    let count = written.get().len();
    if count > MAX_QUERIES {
        problems.add(
            written.span(),
            format!("{count} queries exceed the limit"),
            format!("keep at most {MAX_QUERIES}"),
        );
    }
    let mut names = UniqueNames::default();
    let queries = written.get().iter().filter_map(|raw| {
        names.check("query", raw.name.get(), "", raw.name.span(), problems);
        Some((query(raw, base, problems)?, raw.dry_run))
    });
    queries.collect()
}

fn query(raw: &raw::Query, base: &Path, problems: &mut Problems) -> Option<QueryGuardrail> {
    let span = raw.name.span();
    let name = problems.record(span, name::<MetricName>(&raw.name));
    let source = source(raw, problems);
    let interval = duration(raw.interval.as_ref(), INTERVAL, problems);
    let [least, most] = INTERVALS;
    if let Some(at) = raw.interval.as_ref().filter(|_| !(least..=most).contains(&interval)) {
        problems.add(
            at.span(),
            format!("interval `{}` is out of range", at.get()),
            "write 1s to 1h",
        );
    }
    let timeout = duration(raw.timeout.as_ref(), TIMEOUT.min(interval), problems);
    if let Some(at) = raw.timeout.as_ref().filter(|_| timeout.is_zero() || timeout > interval) {
        let what = format!("timeout `{}` is out of range", at.get());
        problems.add(at.span(), what, "write more than 0, and at most `interval`");
    }
    let mut limit = |written: Option<&Spanned<String>>| {
        let at = written?;
        let limit = at.get().parse::<Beyond>();
        let limit = limit.map_err(|error| Fault::new(error.to_string(), "see `tidegate schema`"));
        let limit = problems.record(at.span(), limit)?;
        if limit.needs_stable() && source.as_ref().is_some_and(|it| !it.has_stable()) {
            let what = format!("`{}` compares with stable, which is not queried", at.get());
            problems.add(at.span(), what, "add `stable` to the query");
        }
        Some(limit)
    };
    let (alert, rollback) = (limit(raw.alert.as_ref()), limit(raw.rollback.as_ref()));
    if raw.alert.is_none() && raw.rollback.is_none() {
        let what = format!("query `{}` has no limit, so it has no effect", raw.name.get());
        problems.add(span, what, "add `alert` or `rollback`");
    }
    let consecutive = raw.consecutive.as_ref().map_or(CONSECUTIVE, |at| *at.get());
    if let Some(at) =
        raw.consecutive.as_ref().filter(|_| !(1..=MAX_CONSECUTIVE).contains(&consecutive))
    {
        let fix = format!("write 1 to {MAX_CONSECUTIVE}");
        problems.add(at.span(), format!("consecutive {consecutive} is out of range"), fix);
    }
    if raw.required && raw.dry_run {
        let what = format!("query `{}` is required and in a dry run", raw.name.get());
        problems.add(span, what, "remove `required` or `dry_run`: a dry run blocks nothing");
    }
    let token_file = raw.token_file.as_ref().and_then(|at| {
        if source.as_ref().is_some_and(|it| !is_https(it)) {
            problems.add(at.span(), "a token would be sent in the clear", "write https URLs");
        }
        let path = base.join(at.get());
        let text = path.to_str().map(str::to_owned);
        let text = text.ok_or_else(|| Fault::new("the path is not UTF-8", "rename the file"));
        problems.record(at.span(), text)
    });
    let (name, source) = name.zip(source)?;
    let required = raw.required;
    Some(QueryGuardrail {
        name,
        source,
        interval,
        timeout,
        alert,
        rollback,
        consecutive,
        required,
        token_file,
    })
}

fn source(raw: &raw::Query, problems: &mut Problems) -> Option<QuerySource> {
    let mut url = |at: &Spanned<String>| problems.record(at.span(), hooks::url(at.get()));
    match (&raw.prometheus, &raw.http) {
        (Some(raw), None) => {
            let url = url(&raw.url);
            let mut expression =
                |at: &Spanned<String>| problems.record(at.span(), expression(at.get()));
            let (query, stable) = (expression(&raw.query), raw.stable.as_ref().map(expression));
            let (url, query) = url.zip(query)?;
            Some(QuerySource::Prometheus { url, query, stable: transposed(stable)? })
        }
        (None, Some(raw)) => {
            let (of_candidate, stable) = (url(&raw.url), raw.stable.as_ref().map(url));
            Some(QuerySource::Http { url: of_candidate?, stable: transposed(stable)? })
        }
        _ => {
            let what = format!("query `{}` needs one source", raw.name.get());
            problems.add(raw.name.span(), what, "write either `prometheus` or `http`");
            None
        }
    }
}

/// None if the value was refused.
#[expect(clippy::option_option, reason = "absent, or refused")]
fn transposed<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
        None => Some(None),
    }
}

fn expression(text: &str) -> Result<String, Fault> {
    if text.trim().is_empty() || text.len() > MAX_QUERY {
        let what = format!("an expression has 1 to {MAX_QUERY} bytes");
        return Err(Fault::new(
            what,
            "write one such as sum(rate(errors{version=\"$candidate\"}[1m]))",
        ));
    }
    Ok(text.to_owned())
}

fn is_https(source: &QuerySource) -> bool {
    let is_https = |url: &String| url.starts_with("https://");
    match source {
        QuerySource::Prometheus { url, .. } => is_https(url),
        QuerySource::Http { url, stable } => is_https(url) && stable.as_ref().is_none_or(is_https),
    }
}

fn duration(
    written: Option<&Spanned<String>>,
    default: Duration,
    problems: &mut Problems,
) -> Duration {
    let read = written.and_then(|at| problems.record(at.span(), units::duration(at.get())));
    read.unwrap_or(default)
}
