//! The Rust files with tests of xDS.

use std::fs;
use std::io;
use std::path::Path;

/// Markers above a function that make it a test.
const MARKS: [&str; 3] = ["#[test]", "#[tokio::test", "both! {"];

/// Rust files, each with its path and text.
pub(crate) struct Sources {
    files: Vec<(String, String)>,
}

impl Sources {
    /// Reads all files with tests of xDS.
    pub(crate) fn read() -> io::Result<Self> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut sources = Self { files: Vec::new() };
        sources.add(&tests.join("../xds-server/src/xds"))?;
        sources.add(&tests.join("../xds-server/xds/src"))?;
        sources.add(&tests.join("../xds-server/src/auth"))?;
        sources.add(&tests.join("../xds-server/src/transport"))?;
        sources.add(&tests.join("xds"))?;
        sources.add(&tests.join("tls"))?;
        Ok(sources)
    }

    /// One file.
    pub(crate) fn of(path: &str, text: &str) -> Self {
        Self { files: vec![(path.to_owned(), text.to_owned())] }
    }

    fn add(&mut self, directory: &Path) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                self.add(&path)?;
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                self.files.push((path.to_string_lossy().into_owned(), fs::read_to_string(&path)?));
            }
        }
        Ok(())
    }

    /// Checks that a test of this name exists and is not ignored.
    pub(crate) fn check(&self, test: &str) -> Result<(), String> {
        let (file, name) = test.split_once("::").ok_or(format!("{test} names no file"))?;
        let end = format!("/{file}.rs");
        let (_, text) = self
            .files
            .iter()
            .find(|(path, _)| path.ends_with(&end))
            .ok_or(format!("{test}: there is no {end}"))?;
        let at = [format!("fn {name}("), format!("fn {name}<")]
            .iter()
            .find_map(|declared| text.find(declared))
            .ok_or(format!("{test} does not exist"))?;
        // The lines above the function, from the last empty line.
        let above = text[..at].rsplit("\n\n").next().unwrap_or_default();
        if above.contains("#[ignore") || !MARKS.iter().any(|mark| above.contains(mark)) {
            return Err(format!("{test} is not run as a test"));
        }
        Ok(())
    }
}
