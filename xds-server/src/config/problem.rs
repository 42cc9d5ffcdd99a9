//! Errors in a configuration, each with its position and a suggested fix.

use std::fmt;
use std::path::{Path, PathBuf};

use super::span::Span;
use crate::files::FileError;

/// Least Jaro-Winkler similarity of a mistyped name and the name that is suggested for it.
const MIN_SIMILARITY: f64 = 0.8;

/// An invalid value, without its position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {fix}")]
pub struct Fault {
    /// What is invalid.
    pub message: String,
    /// What to write instead.
    pub fix: String,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { message: message.into(), fix: fix.into() }
    }

    /// A key that is not in the schema.
    pub(super) fn unknown_key<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(format!("unknown key `{key}`"), suggest(key, known))
    }
}

/// An error in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The invalid part of the document.
    pub span: Span,
    /// The error and its fix.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Span { line, column, .. } = self.span;
        write!(f, "{line}:{column}: {}", self.fault)
    }
}

/// Why a configuration was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The configuration is invalid.
    #[error("{}", list(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: String,
        /// All errors, at least one, in the order of the file.
        problems: Vec<Problem>,
    },
}

fn list(path: &Path, problems: &[Problem]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}:{problem}", path.display())).collect();
    lines.join("\n")
}

/// Collects all errors of a document.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, span: Span, message: impl Into<String>, fix: impl Into<String>) {
        let fault = Fault::new(message, fix);
        self.0.push(Problem { span, fault });
    }

    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// The value, or `None` after its error was recorded.
    pub(super) fn record<T>(&mut self, span: Span, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.0.push(Problem { span, fault })).ok()
    }

    /// The value if there is no error, else all errors in the order of the document.
    pub(super) fn into_result<T>(mut self, value: Option<T>) -> Result<T, Vec<Problem>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => {
                self.0.sort_by_key(|problem| problem.span);
                Err(self.0)
            }
        }
    }
}

/// The fix for an unknown name: the most similar known name, or all of them if none is similar.
pub(super) fn suggest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let unknown = unknown.to_lowercase();
    let best = known
        .iter()
        .map(|name| (strsim::jaro_winkler(&unknown, &name.to_lowercase()), *name))
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match best {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "none is defined".to_owned(),
        None => format!("use one of {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_most_similar_name_or_lists_all() {
        let known = ["strategy", "stable", "services"];
        assert_eq!(suggest("stratgy", known), "did you mean `strategy`?");
        assert_eq!(suggest("Stable", known), "did you mean `stable`?");
        assert_eq!(suggest("zzz", known), "use one of strategy, stable, services");
    }
}
