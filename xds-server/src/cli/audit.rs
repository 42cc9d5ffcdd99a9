//! `tidegate audit`: the event log of a running server or of a data directory.

mod export;
mod filter;

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use tidegate::api::views::StateView;
use tidegate::journal::{Hash, Head, Reader, Record, digest};

use self::filter::{Filter, Matcher};
use super::client::{Client, Target};
use super::failure::Failure;
use super::output::{self, Format, List};
use super::text::{self, NONE};

/// List, export, verify and replay the event log.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Read the journal in this data directory instead of calling a server; a server may be running on it
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List records, oldest first
    List {
        /// Only records after this number
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// The maximum number of records
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        filter: Filter,
    },
    /// Recompute the hash chain, from the first record to the last
    Verify {
        /// An earlier record, as `SEQ:HASH`, that the journal must contain: the chain alone does not reveal that
        /// its newest records were removed
        #[arg(long)]
        contains: Option<String>,
    },
    /// Write records to standard output
    Export {
        /// The format
        #[arg(long, value_enum, default_value = "jsonl")]
        format: ExportFormat,
        #[command(flatten)]
        filter: Filter,
    },
    /// Fold the journal of `--data-dir` and compare the result with the state of the server
    Replay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// JSON Lines, byte for byte as hashed: a complete export can be verified
    Jsonl,
    /// CSV (RFC 4180), for spreadsheets
    Csv,
}

pub(super) async fn run(args: Args, target: &Target) -> Result<(), Failure> {
    let Args { verb, data_dir } = args;
    let source = || match &data_dir {
        Some(data_dir) => Ok(Source::File(Reader::open(data_dir)?)),
        None => Client::new(target).map(Source::Server),
    };
    match verb {
        Verb::List { after, limit, filter } => {
            list(&source()?, after, limit, &filter, target.output).await
        }
        Verb::Verify { contains } => verify(&source()?, contains.as_deref(), target.output).await,
        Verb::Export { format, filter } => export::run(&source()?, format, &filter).await,
        Verb::Replay => {
            let data_dir = data_dir.as_ref().ok_or_else(|| {
                Failure::Input("replay needs the journal: --data-dir DIR".to_owned())
            })?;
            replay(&Reader::open(data_dir)?, target).await
        }
    }
}

async fn list(
    source: &Source,
    after: u64,
    limit: usize,
    filter: &Filter,
    format: Format,
) -> Result<(), Failure> {
    let mut found: Vec<Record> = Vec::new();
    let mut matcher = Matcher::new(filter);
    let mut pages = source.pages(after);
    while found.len() < limit
        && let Some(page) = pages.next().await?
    {
        found.extend(page.into_iter().filter(|record| matcher.matches(record)));
    }
    if found.is_empty() && after == 0 {
        matcher.check_service()?;
    }
    found.truncate(limit);
    output::list(format, &found, || {
        Ok(List {
            heads: ["SEQ", "AT", "ACTOR", "EVENT", "SUBJECT", "REASON"],
            narrow: 6,
            rows: found.iter().map(|record| (record.seq.to_string(), row(record))).collect(),
            none: "no matching records",
        })
    })
}

/// Recomputes the chain from the records alone.
async fn verify(source: &Source, contains: Option<&str>, format: Format) -> Result<(), Failure> {
    let wanted = contains.map(head).transpose()?;
    let mut found = wanted.is_none_or(|wanted| wanted == Head::genesis());
    let mut head = Head::genesis();
    let mut pages = source.pages(0);
    while let Some(page) = pages.next().await? {
        for record in page {
            head = record.verify(&head).map_err(Failure::Chain)?;
            found |= wanted == Some(head);
        }
    }
    if !found {
        return Err(Failure::Input(format!(
            "the chain is valid: {} records, the last {}; but it does not contain {}: records were cut off, \
             or this is another journal",
            head.seq,
            head.hash,
            contains.unwrap_or(NONE)
        )));
    }
    output::document(format, &json!({"records": head.seq, "hash": head.hash}), || {
        Ok(format!("the chain is valid: {} records, the last {}", head.seq, head.hash))
    })
}

/// Parses `SEQ:HASH`.
fn head(text: &str) -> Result<Head, Failure> {
    let head = text.split_once(':').and_then(|(seq, hash)| {
        Some(Head { seq: seq.parse().ok()?, hash: hash.parse::<Hash>().ok()? })
    });
    head.ok_or_else(|| {
        Failure::Input(format!(
            "`{text}` is not a record: write SEQ:HASH, as `audit verify` prints them"
        ))
    })
}

/// Reads the state of the server before the journal, which then contains at least the records of that state.
async fn replay(reader: &Reader, target: &Target) -> Result<(), Failure> {
    let server: StateView = Client::new(target)?.get_raw(&["state"], &[]).await?;
    let (head, folded) = reader.fold(server.seq)?;
    let digest = digest(&folded.state)?.to_string();
    if (head.seq, &digest) != (server.seq, &server.digest) {
        return Err(Failure::Input(format!(
            "the journal folds to {digest} at record {}, and the server is at {} with record {}: \
             is it the journal of that server?",
            head.seq, server.digest, server.seq
        )));
    }
    output::print(&format!(
        "the journal folds to the server's state: {digest} at record {}",
        server.seq
    ))
}

fn row(record: &Record) -> [String; 6] {
    let event = record.event.event();
    let about = event.release().map(ToString::to_string);
    let about = about.or_else(|| event.service().map(str::to_owned));
    [
        record.seq.to_string(),
        text::time(record.at),
        record.actor.clone(),
        event.kind().replace('_', " "),
        about.or_else(|| event.flag().map(str::to_owned)).unwrap_or_else(|| NONE.to_owned()),
        record.reason.clone().unwrap_or_else(|| NONE.to_owned()),
    ]
}

/// Records per read.
const PAGE: usize = 1000;

/// The origin of records: both are read in pages.
enum Source {
    Server(Client),
    File(Reader),
}

struct Pages<'a> {
    source: &'a Source,
    after: u64,
}

impl Source {
    fn pages(&self, after: u64) -> Pages<'_> {
        Pages { source: self, after }
    }
}

impl Pages<'_> {
    /// The next page; none after the last.
    async fn next(&mut self) -> Result<Option<Vec<Record>>, Failure> {
        let page = match self.source {
            Source::File(reader) => reader.read(self.after, PAGE)?,
            Source::Server(client) => {
                let query = [("after", self.after.to_string()), ("limit", PAGE.to_string())];
                client.get_raw(&["events"], &query).await?
            }
        };
        Ok(page.last().map(|last| last.seq).map(|last| {
            self.after = last;
            page
        }))
    }
}
