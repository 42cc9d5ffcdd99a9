//! Export as JSON Lines, byte for byte as hashed, or as CSV.

use std::io::{self, Write};

use serde::Serialize;
use tidegate::journal::{Hash, Record};

use super::super::failure::Failure;
use super::super::text;
use super::filter::{Filter, Matcher};
use super::{ExportFormat, Source};

/// A row of the CSV: the kind of the event, and its JSON.
#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    at: String,
    actor: &'a str,
    reason: Option<&'a str>,
    kind: &'static str,
    service: Option<&'a str>,
    release: Option<&'a str>,
    event: &'a str,
    previous: Hash,
    hash: Hash,
}

pub(super) async fn run(
    source: &Source,
    format: ExportFormat,
    filter: &Filter,
) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut matcher = Matcher::new(filter);
    match format {
        ExportFormat::Jsonl => json_lines(source, &mut matcher, &mut out).await?,
        ExportFormat::Csv => rows(source, &mut matcher, &mut out).await?,
    }
    out.flush().map_err(Failure::Output)?;
    matcher.check_service()
}

async fn json_lines(
    source: &Source,
    matcher: &mut Matcher<'_>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut pages = source.pages(0);
    while let Some(page) = pages.next().await? {
        for record in page.iter().filter(|record| matcher.matches(record)) {
            let line = serde_json::to_writer(&mut *out, record).map_err(io::Error::from);
            line.and_then(|()| out.write_all(b"\n")).map_err(Failure::Output)?;
        }
    }
    Ok(())
}

async fn rows(
    source: &Source,
    matcher: &mut Matcher<'_>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut rows = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
    let mut pages = source.pages(0);
    while let Some(page) = pages.next().await? {
        for record in page.iter().filter(|record| matcher.matches(record)) {
            rows.serialize(Line::of(record)).map_err(failed)?;
        }
    }
    rows.flush().map_err(Failure::Output)
}

/// Keeps the I/O error: a closed pipe is not a failure.
fn failed(error: csv::Error) -> Failure {
    Failure::Output(match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    })
}

impl<'a> Line<'a> {
    fn of(record: &'a Record) -> Self {
        let event = record.event.event();
        Self {
            seq: record.seq,
            at: text::time(record.at),
            actor: &record.actor,
            reason: record.reason.as_deref(),
            kind: event.kind(),
            service: event.service(),
            release: event.release().map(AsRef::as_ref),
            event: record.event.json(),
            previous: record.previous,
            hash: record.hash,
        }
    }
}
