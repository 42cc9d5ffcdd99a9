//! Checks the objects that a user has applied to an Istio mesh, from YAML files, against what the configuration needs.
//!
//! It names what is missing, and what would hide errors of a version from the guardrails. All problems are collected, each
//! with its file and position. Files are read as they are: templates and patches have to be rendered first.

mod extension;
mod files;
mod routes;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use self::files::Document;
pub use self::files::ReadError;
use super::tokens::Keys;
use crate::config::{Config, Fault, Span};

/// A problem of an applied object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedProblem {
    /// The file, and the position in it; `None` if an object is missing.
    pub place: Option<(PathBuf, Span)>,
    /// The problem and its fix.
    pub fault: Fault,
}

impl fmt::Display for AppliedProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some((path, Span { line, column, .. })) => {
                write!(f, "{}:{line}:{column}: {}", path.display(), self.fault)
            }
            None => self.fault.fmt(f),
        }
    }
}

/// Collects problems.
#[derive(Default)]
struct Findings(Vec<AppliedProblem>);

impl Findings {
    fn add(&mut self, at: (&Document, Span), message: impl Into<String>, fix: impl Into<String>) {
        let place = Some((at.0.path.clone(), at.1));
        self.0.push(AppliedProblem { place, fault: Fault::new(message, fix) });
    }

    fn missing(&mut self, message: impl Into<String>, fix: impl Into<String>) {
        self.0.push(AppliedProblem { place: None, fault: Fault::new(message, fix) });
    }
}

/// What was checked.
#[derive(Debug)]
pub struct Applied {
    /// The number of objects in the files.
    pub objects: usize,
    /// All problems, in the order of files and positions; missing objects first.
    pub problems: Vec<AppliedProblem>,
}

/// Checks the files of a directory and of those below it. Without `keys`, tokens are not compared.
///
/// # Errors
/// When the directory cannot be read.
pub fn check(dir: &Path, config: &Config, keys: Option<&Keys>) -> Result<Applied, ReadError> {
    let mut findings = Findings::default();
    let documents = files::read(dir, &mut findings)?;
    for fleet in &config.mesh.fleets {
        let Some(mesh) = fleet.istio() else { continue };
        extension::check(fleet, mesh, &documents, &mut findings);
        for service in config.services.iter().filter(|it| fleet.serves(&it.name)) {
            routes::check(service, &documents, keys, &mut findings);
        }
    }
    let mut problems = findings.0;
    problems.sort_by(|a, b| (&a.place, &a.fault.message).cmp(&(&b.place, &b.fault.message)));
    // A service of two fleets has one set of routes.
    problems.dedup();
    Ok(Applied { objects: documents.len(), problems })
}
