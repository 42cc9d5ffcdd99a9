//! The YAML files of a directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_saphyr::options::DuplicateKeyPolicy;

use super::Findings;
use crate::config::Span;
use crate::config::tree::{Node, Tree};
use crate::files::{FileError, MAX_BYTES, read_text};

/// Most files that are read.
const MAX_FILES: usize = 2000;
/// Limit of YAML nodes of a file.
const MAX_NODES: usize = 200_000;
/// Limit of nested maps and lists.
const MAX_DEPTH: usize = 64;

/// Why a directory was not checked.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The directory cannot be read.
    #[error("cannot read {path}: {error}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Too many files.
    #[error("{0} contains more than {MAX_FILES} YAML files; pass a directory with fewer")]
    TooMany(PathBuf),
}

/// An object, and the file that contains it.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) path: PathBuf,
    pub(super) tree: Tree,
}

impl Document {
    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        let version = self.tree.text(&["apiVersion"]).unwrap_or_default();
        let its_group = version.split_once('/').map_or("", |(group, _)| group);
        its_group == group && self.tree.text(&["kind"]) == Some(kind)
    }

    pub(super) fn name(&self) -> &str {
        self.tree.text(&["metadata", "name"]).unwrap_or_default()
    }

    /// Its namespace; without one, that in which `kubectl` applies it by default.
    pub(super) fn namespace(&self) -> &str {
        self.tree.text(&["metadata", "namespace"]).unwrap_or("default")
    }

    /// The position of a value, or of the object without it.
    pub(super) fn span(&self, path: &[&str]) -> Span {
        self.tree.at(path).map_or(self.tree.span, |it| it.span)
    }
}

/// Every object in the files below a directory. A file that is not YAML is a problem.
pub(super) fn read(dir: &Path, findings: &mut Findings) -> Result<Vec<Document>, ReadError> {
    let mut files = Vec::new();
    find(dir, dir, &mut files)?;
    files.sort();
    let mut documents = Vec::new();
    for path in files {
        let text = read_text(&path, MAX_BYTES)?;
        match serde_saphyr::from_multiple_with_options::<Tree>(&text, options()) {
            Ok(trees) => {
                for tree in trees {
                    expand(&path, tree, &mut documents);
                }
            }
            Err(error) => {
                let error = error.without_snippet();
                let span = error.location().map_or(Span::START, Span::from);
                let tree = Tree { span, node: Node::Seq(Vec::new()) };
                let document = Document { path, tree };
                let fix =
                    "render templates first, such as with `helm template` or `kubectl kustomize`";
                findings.add((&document, span), format!("not YAML: {error}"), fix);
            }
        }
    }
    Ok(documents)
}

/// The objects of a `List`, or the object itself.
fn expand(path: &Path, tree: Tree, documents: &mut Vec<Document>) {
    let is_list = tree.text(&["kind"]).is_some_and(|kind| kind.ends_with("List"));
    let items = if is_list { tree.items(&["items"]).to_vec() } else { vec![tree] };
    let object = |tree: &Tree| tree.at(&["kind"]).is_some();
    let items = items.into_iter().filter(object);
    documents.extend(items.map(|tree| Document { path: path.to_owned(), tree }));
}

fn find(root: &Path, dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), ReadError> {
    let error = |error| ReadError::Directory { path: dir.to_owned(), error };
    for entry in fs::read_dir(dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(error)?);
        if kind.is_dir() {
            find(root, &path, files)?;
        } else if path.extension().is_some_and(|it| it == "yaml" || it == "yml" || it == "json") {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(ReadError::TooMany(root.to_owned()));
        }
    }
    Ok(())
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        with_snippet: false,
    }
}
