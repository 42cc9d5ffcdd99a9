//! Questions before what cannot be undone. They are asked on a terminal only: a script is never asked.

use std::io::{self, BufRead, IsTerminal, Write};

use super::failure::Failure;

/// Answers the question before the command acts.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Confirmation {
    /// Do not ask; without a terminal nothing is asked anyway
    #[arg(short, long)]
    yes: bool,
}

impl Confirmation {
    /// Asks whether to do what cannot be undone.
    ///
    /// # Errors
    /// When the answer is not yes.
    pub(super) fn ask(self, what: &str) -> Result<(), Failure> {
        let (input, output) = (io::stdin(), io::stderr());
        if self.yes || !input.is_terminal() || !output.is_terminal() {
            return Ok(());
        }
        match answer(&mut input.lock(), &mut output.lock(), what) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Declined),
            Err(error) => Err(Failure::Input(format!("cannot ask: {error}; pass --yes"))),
        }
    }
}

fn answer(input: &mut impl BufRead, output: &mut impl Write, what: &str) -> io::Result<bool> {
    write!(output, "{what}. Continue? [y/N] ")?;
    output.flush()?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (text, expected) in [
            ("y\n", true),
            ("Yes\n", true),
            ("\n", false),
            ("", false),
            ("no\n", false),
            ("yesterday\n", false),
        ] {
            let mut asked = Vec::new();
            let is_yes =
                answer(&mut text.as_bytes(), &mut asked, "flag `beta` is deleted").unwrap();
            assert_eq!(is_yes, expected, "{text:?}");
            assert_eq!(asked, b"flag `beta` is deleted. Continue? [y/N] ");
        }
    }
}
