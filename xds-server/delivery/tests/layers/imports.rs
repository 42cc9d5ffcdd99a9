//! Reads the imports between the top-level modules of a crate, and compares them with a table of layers.

use std::fs;
use std::path::{Path, PathBuf};

/// Each top-level module, and the other top-level modules that it may import. A module stands below those that import it.
pub(crate) type Layers = [(&'static str, &'static [&'static str])];

/// A top-level module that imports another one.
#[derive(Debug, PartialEq, Eq)]
struct Import {
    from: String,
    to: String,
    line: usize,
}

/// The imports of one file of the module `from`. `use crate::{a::…, b::…}` and paths in expressions count as well.
fn imports(from: &str, source: &str) -> Vec<Import> {
    let mut imports = Vec::new();
    for (line, text) in (1..).zip(source.lines()) {
        let code = text.trim_start();
        // Unit tests are the last item of a file, and may use everything.
        if code.starts_with("mod tests {") {
            break;
        }
        if code.starts_with("//") {
            continue;
        }
        let paths = code.match_indices("crate::").chain(code.match_indices("tidegate::"));
        for (at, marker) in paths {
            // The binary's modules import the library's as `tidegate::…`.
            let is_path = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let rest = &code[at + marker.len()..];
            if is_path {
                let import = |to: String| Import { from: from.to_owned(), to, line };
                imports.extend(roots(rest).into_iter().map(import));
            }
        }
    }
    imports.retain(|import| import.to != from);
    imports
}

/// The first segments of a path: one, or those of the top level of `{…}`.
fn roots(path: &str) -> Vec<String> {
    let segment = |text: &str| -> String {
        text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(list) = path.strip_prefix('{') else {
        return vec![segment(path)];
    };
    let (mut depth, mut parts) = (0_usize, vec![String::new()]);
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            _ if depth == 0 => parts.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    parts.iter().map(|part| segment(part)).filter(|part| !part.is_empty()).collect()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
}

/// The top-level module of a file: `model` for `model/plan.rs` and for `model.rs`.
fn module(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Asserts that the modules in `source` import only what the table allows, and that the table has no cycle.
pub(crate) fn check(source: &Path, layers: &Layers, is_test: fn(&Path) -> bool) {
    let mut files = Vec::new();
    rust_files(source, &mut files);
    files.sort();
    let mut wrong = Vec::new();
    for file in files {
        let path = file.strip_prefix(source).unwrap();
        if is_test(path) || path == "lib.rs" || path == "main.rs" {
            continue;
        }
        let from = module(path);
        let Some((_, allowed)) = layers.iter().find(|(name, _)| *name == from) else {
            wrong.push(format!("src/{}: module `{from}` is not in LAYERS", path.display()));
            continue;
        };
        for Import { to, line, .. } in imports(&from, &fs::read_to_string(&file).unwrap()) {
            if layers.iter().any(|(name, _)| *name == to) && !allowed.contains(&to.as_str()) {
                wrong.push(format!(
                    "src/{}:{line}: `{from}` imports `{to}`; it may import only: {}",
                    path.display(),
                    allowed.join(", ")
                ));
            }
        }
    }
    for (place, (name, allowed)) in layers.iter().enumerate() {
        let below: Vec<_> = layers.iter().take(place).map(|(below, _)| *below).collect();
        let upwards = allowed.iter().filter(|it| !below.contains(it));
        wrong.extend(
            upwards.map(|it| format!("LAYERS: `{name}` may import `{it}`, which is not below it")),
        );
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_form_of_an_import_is_found() {
    let source = "use crate::fold::State;\n\
                  // use crate::comment;\n\
                  pub use crate::{names::{A, B}, reducer};\n\
                  let a = crate::text::blocker(x);\n\
                  use crate::model::plan::Plan;\n\
                  mod tests {\n    use crate::fixtures::name;\n}\n";
    let found: Vec<_> = imports("model", source).into_iter().map(|it| (it.line, it.to)).collect();
    let expected = [(1, "fold"), (3, "names"), (3, "reducer"), (4, "text")];
    assert_eq!(found, expected.map(|(line, to)| (line, to.to_owned())));
}
