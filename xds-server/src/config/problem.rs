//! What can be wrong with a configuration, said so that it can be put right.

use std::fmt;
use std::path::PathBuf;

use super::file::FileError;
use super::place::Place;
use super::suggest::suggest;

/// A value that cannot be, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {way_out}")]
pub struct Fault {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub way_out: String,
}

impl Fault {
    /// A fault in its two halves.
    pub(crate) fn new(what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { what: what.into(), way_out: way_out.into() }
    }

    /// A key that is not in the schema.
    pub(super) fn unknown_key<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(format!("unknown key `{key}`"), suggest(key, known))
    }
}

/// A fault and its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, and the way out.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column, .. } = self.place;
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
        /// Its text, to quote from.
        text: String,
        /// At least one.
        problems: Vec<Problem>,
    },
}

fn list(path: &std::path::Path, problems: &[Problem]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}:{problem}", path.display())).collect();
    lines.join("\n")
}

/// Collects problems while resolving goes on, so that all are told at once.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Notes one.
    pub(super) fn add(
        &mut self,
        place: Place,
        what: impl Into<String>,
        way_out: impl Into<String>,
    ) {
        let fault = Fault::new(what, way_out);
        self.0.push(Problem { place, fault });
    }

    /// How many were noted so far.
    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// Takes the value, or notes why there is none.
    pub(super) fn take<T>(&mut self, place: Place, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.0.push(Problem { place, fault })).ok()
    }

    /// `value`, if nothing was noted; else all problems, in the order of the file.
    pub(super) fn or<T>(mut self, value: Option<T>) -> Result<T, Vec<Problem>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => {
                self.0.sort_by_key(|problem| problem.place);
                Err(self.0)
            }
        }
    }
}
