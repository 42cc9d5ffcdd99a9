//! `tidegate status --watch`: on a terminal the status is refreshed in place, on a pipe each change is a line.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::Snapshot;
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Format};
use crate::cli::terminal::Screen;
use crate::cli::text;

/// Time between two requests.
const PERIOD: Duration = Duration::from_secs(1);
/// Shows the alternate screen without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Shows what was on the terminal before.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

pub(super) async fn run(
    client: &Client,
    service: Option<&str>,
    format: Format,
) -> Result<(), Failure> {
    if !io::stdout().is_terminal() || !matches!(format, Format::Table | Format::Wide) {
        return tokio::select! {
            ended = lines(client, service, format) => ended,
            ended = interrupted() => ended,
        };
    }
    write(ENTER)?;
    let mut shown = String::new();
    let ended = tokio::select! {
        ended = refresh(client, service, format, &mut shown) => ended,
        ended = interrupted() => ended,
    };
    write(LEAVE)?;
    // The last status stays on the terminal.
    ended.and_then(|()| output::print(&shown))
}

/// Waits for the end by Ctrl-C or SIGTERM, which leave the terminal as it was.
async fn interrupted() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Draws the status again and again.
async fn refresh(
    client: &Client,
    service: Option<&str>,
    format: Format,
    shown: &mut String,
) -> Result<(), Failure> {
    loop {
        *shown = match Snapshot::fetch(client, service).await {
            // The watch continues across a restart of the server.
            Err(failure @ Failure::Unreachable { .. }) => failure.to_string(),
            seen => seen?.text(format),
        };
        write(&frame(shown, Screen::of_stdout().rows))?;
        tokio::time::sleep(PERIOD).await;
    }
}

/// Overwrites the screen line by line, so that it does not flicker.
fn frame(text: &str, rows: Option<usize>) -> String {
    let lines: Vec<_> = text.lines().collect();
    let room = rows.unwrap_or(usize::MAX);
    let mut shown = lines.clone();
    let more;
    if lines.len() > room {
        shown.truncate(room.saturating_sub(1));
        more = format!("{} more lines: tidegate status", lines.len() - shown.len());
        shown.push(&more);
    }
    // Each line erases the rest of what it overwrites; the last one also erases what is below.
    format!("\x1b[H{}\x1b[K\x1b[J", shown.join("\x1b[K\n"))
}

/// Prints a line for each change.
async fn lines(client: &Client, service: Option<&str>, format: Format) -> Result<(), Failure> {
    let mut before: Vec<String> = Vec::new();
    loop {
        let now = match Snapshot::fetch(client, service).await {
            Err(failure @ Failure::Unreachable { .. }) => vec![failure.to_string()],
            seen => seen?.lines(format)?,
        };
        for line in now.iter().filter(|line| !before.contains(line)) {
            output::print(line)?;
        }
        before = now;
        tokio::time::sleep(PERIOD).await;
    }
}

impl Snapshot {
    fn lines(&self, format: Format) -> Result<Vec<String>, Failure> {
        Ok(match format {
            Format::Table | Format::Wide => {
                self.services.iter().map(text::line).chain(self.file.clone()).collect()
            }
            Format::Json => vec![self.answer.to_string()],
            Format::Yaml => {
                vec![format!("---\n{}", output::yaml_text(&self.answer)?.trim_end())]
            }
            Format::Name => self.names().map(str::to_owned).collect(),
        })
    }
}

fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_overwrites_the_screen_and_fits_it() {
        assert_eq!(frame("a\nb", None), "\x1b[Ha\x1b[K\nb\x1b[K\x1b[J");
        assert_eq!(frame("a\nb", Some(2)), frame("a\nb", None));
        let cut = frame("a\nb\nc\nd", Some(3));
        assert_eq!(cut, "\x1b[Ha\x1b[K\nb\x1b[K\n2 more lines: tidegate status\x1b[K\x1b[J");
    }
}
