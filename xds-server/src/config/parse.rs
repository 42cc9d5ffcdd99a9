//! Parses YAML into the raw tree. Errors of the parser are translated into [`Fault`]s.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, Options};

use super::problem::suggest;
use super::problem::{Fault, Problem};
use super::span::Span;
use super::unknown_keys;

/// Limit of YAML nodes, far above any configuration.
const MAX_NODES: usize = 100_000;
/// Limit of events that aliases replay: aliases of aliases grow exponentially.
const MAX_REPLAYED: usize = 100_000;
/// Limit of nested maps and lists.
const MAX_DEPTH: usize = 32;

/// Reads one document.
///
/// # Errors
/// With every unknown key, and the first other mistake in the document's shape.
pub(super) fn parse<T: DeserializeOwned + JsonSchema>(text: &str) -> Result<T, Vec<Problem>> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let first = problem(&error, text);
        let mut problems = unknown_keys::find::<T>(text, options());
        // The parser may report an unknown key at an alias, `unknown_keys` where it is defined.
        let is_unknown_key = matches!(error.without_snippet(), Error::SerdeUnknownField { .. });
        let found = is_unknown_key && !problems.is_empty();
        if !found && problems.iter().all(|unknown| unknown.span != first.span) {
            problems.push(first);
        }
        problems.sort_by_key(|problem| problem.span);
        problems
    })
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    }
}

fn problem(error: &Error, text: &str) -> Problem {
    let error = error.without_snippet();
    let span = error.location().map_or(Span::START, Span::from).within(text);
    let fault = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            Fault::unknown_key(field, expected.iter().copied())
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => Fault::new(
            format!("`{variant}` is not a valid value"),
            suggest(variant, expected.iter().copied()),
        ),
        Error::SerdeMissingField { field, .. } => Fault::new(
            format!("`{field}` is missing"),
            format!("add `{field}:`; `tidegate schema` describes its value"),
        ),
        Error::InvalidScalar { ty, .. } if ty.starts_with('u') => Fault::new(
            "not a whole number",
            "write digits only, without sign, decimal point or unit, such as 200",
        ),
        Error::DuplicateMappingKey { key, .. } => Fault::new(
            format!("key `{}` is repeated", key.as_deref().unwrap_or("?")),
            "remove one of the two",
        ),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => Fault::new(
            format!("the document exceeds a limit: {}", message(error)),
            "reduce its size, nesting and aliases",
        ),
        _ => Fault::new(
            message(error),
            "compare with envoy/tidegate.yaml or the JSON Schema: tidegate schema",
        ),
    };
    Problem { span, fault }
}

/// The message of the parser without the position, which [`Problem`] has.
fn message(error: &Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}
