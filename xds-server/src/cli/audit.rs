//! `tidegate audit`: the journal, of a running server or of a data directory.

mod export;
mod filter;
mod source;

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use tidegate::api::views::StateView;
use tidegate::journal::{Hash, Head, Reader, Record, digest};

use self::filter::Filter;
use self::source::Source;
use super::client::{Client, Target};
use super::failure::Failure;
use super::output::{self, Format};
use super::times;
use super::words::NONE;

/// Read the journal of everything that was decided.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Read the journal of this data directory instead of asking a server; also beside a running one
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Records, oldest first
    List {
        /// Only those after this number
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        filter: Filter,
    },
    /// Recompute the hash chain, from the first record to the last
    Verify {
        /// A record that was seen earlier, as `SEQ:HASH`: it must still be there. A chain alone cannot
        /// tell that its newest records were cut off
        #[arg(long)]
        contains: Option<String>,
    },
    /// Write records to standard output, for auditors and their tools
    Export {
        /// How
        #[arg(long, value_enum, default_value = "jsonl")]
        format: As,
        #[command(flatten)]
        filter: Filter,
    },
    /// Fold the journal of `--data-dir` and compare the result with the state of the server
    Replay,
}

/// How records are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum As {
    /// JSON Lines, byte for byte as hashed: a complete export can be verified
    Jsonl,
    /// CSV (RFC 4180), for spreadsheets
    Csv,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let Args { verb, data_dir, target } = args;
    let source = || match &data_dir {
        Some(data_dir) => Ok(Source::File(Reader::open(data_dir)?)),
        None => Client::new(&target).map(Source::Server),
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
            replay(&Reader::open(data_dir)?, &target).await
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
    let mut pages = source.pages(after);
    while found.len() < limit
        && let Some(page) = pages.next().await?
    {
        found.extend(page.into_iter().filter(|record| filter.lets(record)));
    }
    found.truncate(limit);
    if format == Format::Json {
        return output::json(&found);
    }
    output::print(&output::table(
        ["SEQ", "AT", "ACTOR", "EVENT", "ABOUT", "REASON"],
        found.iter().map(row).collect(),
        "no such thing was decided yet",
    ))
}

/// Trusts nothing that is said of the journal but the records themselves.
async fn verify(source: &Source, contains: Option<&str>, format: Format) -> Result<(), Failure> {
    let wanted = contains.map(seen).transpose()?;
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
            "the chain holds: {} records, the last {}; but {} is not in it: records were cut off, \
             or it is another journal",
            head.seq,
            head.hash,
            contains.unwrap_or(NONE)
        )));
    }
    match format {
        Format::Json => output::json(&json!({"records": head.seq, "hash": head.hash})),
        Format::Table => {
            output::print(&format!("the chain holds: {} records, the last {}", head.seq, head.hash))
        }
    }
}

/// Reads `SEQ:HASH`.
fn seen(text: &str) -> Result<Head, Failure> {
    let head = text.split_once(':').and_then(|(seq, hash)| {
        Some(Head { seq: seq.parse().ok()?, hash: hash.parse::<Hash>().ok()? })
    });
    head.ok_or_else(|| {
        Failure::Input(format!(
            "`{text}` is no record: write its number, a colon and its hash, as `audit verify` prints them"
        ))
    })
}

/// The server first: whatever it has is in its journal by then.
async fn replay(reader: &Reader, target: &Target) -> Result<(), Failure> {
    let said: StateView = Client::new(target)?.get_exactly(&["state"], &[]).await?;
    let (head, folded) = reader.fold(said.seq)?;
    let digest = digest(&folded.state)?.to_string();
    if (head.seq, &digest) != (said.seq, &said.digest) {
        return Err(Failure::Input(format!(
            "the journal folds to {digest} at record {}, and the server is at {} with record {}: \
             is it the journal of that server?",
            head.seq, said.digest, said.seq
        )));
    }
    output::print(&format!(
        "the journal folds to the server's state: {digest} at record {}",
        said.seq
    ))
}

fn row(record: &Record) -> [String; 6] {
    let event = record.event.event();
    let about = event.release().map(ToString::to_string);
    let about = about.or_else(|| event.service().map(str::to_owned));
    [
        record.seq.to_string(),
        times::shown(record.at),
        record.actor.clone(),
        event.kind().replace('_', " "),
        about.or_else(|| event.flag().map(str::to_owned)).unwrap_or_else(|| NONE.to_owned()),
        record.reason.clone().unwrap_or_else(|| NONE.to_owned()),
    ]
}
