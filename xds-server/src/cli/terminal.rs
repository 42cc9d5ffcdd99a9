//! What the terminal can show: its size, characters for bars, colours.

use std::io::{self, IsTerminal};

/// Columns of a terminal that does not tell its size.
const DEFAULT_COLUMNS: usize = 80;

/// The output as a screen. A pipe has no size, and neither bars nor colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Screen {
    /// Absent: lines may be of any length.
    pub(super) columns: Option<usize>,
    pub(super) rows: Option<usize>,
    pub(super) bars: Bars,
    pub(super) colours: bool,
}

/// The characters of bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bars {
    None,
    /// `####....`
    Ascii,
    /// `███▌`, with eighths.
    Blocks,
}

/// The meaning of a text, as a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    /// Headings.
    Bold,
    /// Secondary.
    Dim,
    Good,
    Warning,
    Bad,
    /// The bar of the stable version.
    Stable,
    /// The bar of the candidate.
    Candidate,
}

impl Screen {
    /// Without limits: for pipes and `-o wide`.
    pub(super) const UNLIMITED: Self =
        Self { columns: None, rows: None, bars: Bars::None, colours: false };

    /// The screen of standard output.
    pub(super) fn of_stdout() -> Self {
        let out = io::stdout();
        let size = terminal_size::terminal_size_of(&out)
            .map(|(width, height)| (usize::from(width.0), usize::from(height.0)));
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::of(out.is_terminal(), size, variable)
    }

    fn of(
        is_terminal: bool,
        size: Option<(usize, usize)>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        if !is_terminal {
            return Self::UNLIMITED;
        }
        // The first of them decides, as for the C library.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| variable(name));
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let is_utf8 = locale.ends_with("utf-8") || locale.ends_with("utf8");
        let is_dumb = variable("TERM").is_none_or(|terminal| terminal == "dumb");
        Self {
            columns: Some(size.map_or(DEFAULT_COLUMNS, |(columns, _)| columns)),
            rows: size.map(|(_, rows)| rows),
            bars: if is_utf8 { Bars::Blocks } else { Bars::Ascii },
            colours: !is_dumb && variable("NO_COLOR").is_none(),
        }
    }

    /// Colours a text.
    pub(super) fn paint(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Plain => return text.to_owned(),
            _ if !self.colours || text.trim().is_empty() => return text.to_owned(),
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Warning => "33",
            Style::Bad => "31",
            Style::Stable => "34",
            Style::Candidate => "36",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A bar of `width` characters, filled up to `fraction`.
    pub(super) fn bar(self, fraction: f64, width: usize) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "from 0 to the width of a terminal, in eighths"
        )]
        let eighths = (fraction.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
        // A small share is not none.
        let eighths = if fraction > 0.0 { eighths.max(1) } else { eighths };
        match self.bars {
            Bars::None => String::new(),
            Bars::Ascii => {
                let full = eighths.div_ceil(8).min(width);
                "#".repeat(full) + &".".repeat(width - full)
            }
            Bars::Blocks => {
                const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
                "█".repeat(eighths / 8) + PARTS.get(eighths % 8).copied().unwrap_or_default()
            }
        }
    }

    /// A text of at most `width` characters.
    pub(super) fn clip(self, text: &str, width: usize) -> String {
        if text.chars().count() <= width {
            return text.to_owned();
        }
        let end = if self.bars == Bars::Blocks { "…" } else { "~" };
        text.chars().take(width.saturating_sub(1)).collect::<String>() + end
    }

    /// The lines of a text, the first after `indent`, the others further in. Words that are longer than a line are cut.
    pub(super) fn wrap(self, text: &str, indent: usize) -> Vec<String> {
        let Some(columns) = self.columns else {
            return vec![" ".repeat(indent) + text];
        };
        let (mut lines, mut line, mut is_empty) = (Vec::new(), " ".repeat(indent), true);
        let next = || " ".repeat(indent + 2);
        for word in text.split_whitespace() {
            let mut word: Vec<char> = word.chars().collect();
            loop {
                let gap = if is_empty { "" } else { " " };
                let room = columns.saturating_sub(line.chars().count() + gap.len());
                if word.len() <= room {
                    line += gap;
                    line.extend(word);
                    is_empty = false;
                    break;
                }
                if is_empty {
                    let rest = word.split_off(room.clamp(1, word.len()));
                    line.extend(std::mem::replace(&mut word, rest));
                }
                lines.push(std::mem::replace(&mut line, next()));
                is_empty = true;
            }
        }
        lines.push(line);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(is_terminal: bool, variables: &[(&str, &str)]) -> Screen {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Screen::of(is_terminal, Some((120, 40)), variable)
    }

    #[test]
    fn bars_and_colours_depend_on_the_terminal() {
        let utf8 = [("LANG", "de_DE.UTF-8"), ("TERM", "xterm-256color")];
        let seen = screen(true, &utf8);
        assert_eq!((seen.columns, seen.bars, seen.colours), (Some(120), Bars::Blocks, true));
        assert_eq!(screen(false, &utf8), Screen::UNLIMITED);
        let plain = [("NO_COLOR", "1"), ("LC_ALL", "C"), ("LANG", "C.UTF-8"), ("TERM", "xterm")];
        let seen = screen(true, &plain);
        assert_eq!((seen.bars, seen.colours), (Bars::Ascii, false));
        assert!(!screen(true, &[("LANG", "C.utf8"), ("TERM", "dumb")]).colours);
        let unsized_one = Screen::of(true, None, |_| None);
        assert_eq!((unsized_one.columns, unsized_one.rows), (Some(80), None));
    }

    #[test]
    fn a_bar_shows_its_share() {
        let (ascii, blocks) = (screen(true, &[]), screen(true, &[("LANG", "C.UTF-8")]));
        assert_eq!(ascii.bar(0.5, 10), "#####.....");
        assert_eq!(ascii.bar(0.001, 10), "#.........");
        assert_eq!(ascii.bar(0.0, 4), "....");
        assert_eq!(blocks.bar(0.55, 10), "█████▌");
        assert_eq!(blocks.bar(1.0, 4), "████");
        assert_eq!(blocks.bar(0.000_1, 10), "▏");
        assert_eq!(Screen::UNLIMITED.bar(0.5, 10), "");
    }

    #[test]
    fn lines_fit_and_lose_no_word() {
        let text = "waits for sidecar `edge-2` to accept the route configuration it rejected: averyveryveryverylongword";
        for columns in [12, 20, 40, 80, 200] {
            let screen = Screen { columns: Some(columns), ..Screen::UNLIMITED };
            let lines = screen.wrap(text, 2);
            assert!(lines.iter().all(|line| line.chars().count() <= columns), "{lines:?}");
            let joined: String = lines.concat().split_whitespace().collect();
            assert_eq!(joined, text.split_whitespace().collect::<String>());
        }
        assert_eq!(Screen::UNLIMITED.wrap(text, 2), [format!("  {text}")]);
        assert_eq!(screen(true, &[]).clip("averylongname", 5), "aver~");
    }
}
