//! Tells whoever watches how far the story is.

use std::fmt::Display;
use std::future::Future;
use std::time::Instant;

use anyhow::{Context, Result};

use super::Chapter;

/// Prints lines with the time since it was made.
#[derive(Debug)]
pub struct Narrator {
    started: Instant,
}

impl Default for Narrator {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Narrator {
    /// One line.
    #[expect(clippy::print_stdout, reason = "a story is told to the terminal")]
    pub fn say(&self, line: impl Display) {
        println!("{:>6.1}s  {line}", self.started.elapsed().as_secs_f64());
    }

    /// Runs a chapter, and says how it came out.
    ///
    /// # Errors
    /// The chapter's own, with its letter.
    pub async fn chapter(
        &self,
        letter: &str,
        chapter: impl Future<Output = Result<Chapter>>,
    ) -> Result<Chapter> {
        let chapter = chapter.await.with_context(|| format!("chapter ({letter}) failed"))?;
        self.say(format_args!("({letter}) came true: {}\n", chapter.title));
        Ok(chapter)
    }
}
