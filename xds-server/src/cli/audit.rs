//! `tidegate audit`: the journal.

use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;
use tidegate::delivery::units::Timestamp;
use tidegate::journal::{Head, Record};

use super::client::{Client, Target};
use super::failure::Failure;
use super::output::{self, Format};
use super::words::NONE;

/// Records that are verified at a time.
const PAGE: usize = 1000;

/// Read the journal of everything that was decided.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
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
        /// At most so many, up to 1000
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Recompute the hash chain, from the first record to the last
    Verify,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    match args.verb {
        Verb::List { after, limit } => list(&client, after, limit, args.target.output).await,
        Verb::Verify => verify(&client).await,
    }
}

async fn list(client: &Client, after: u64, limit: usize, format: Format) -> Result<(), Failure> {
    let query = [("after", after.to_string()), ("limit", limit.to_string())];
    let answer = client.ask(Method::GET, &["events"], &query, None).await?;
    if format == Format::Json {
        return output::json(&answer);
    }
    let rows = answer.as_array().into_iter().flatten().map(row);
    output::print(&output::table(
        ["SEQ", "AT", "ACTOR", "EVENT", "ABOUT", "REASON"],
        rows.collect(),
        "nothing was decided yet",
    ))
}

/// Trusts nothing that the server says of its journal but the records themselves.
async fn verify(client: &Client) -> Result<(), Failure> {
    let mut head = Head::genesis();
    loop {
        let query = [("after", head.seq.to_string()), ("limit", PAGE.to_string())];
        // Not by way of a generic value: the chain covers each event's JSON byte for byte.
        let page: Vec<Record> = client.get_exactly(&["events"], &query).await?;
        if page.is_empty() {
            break;
        }
        for record in page {
            head = record.verify(&head).map_err(Failure::Chain)?;
        }
    }
    output::print(&format!("the chain holds: {} records, the last {}", head.seq, head.hash))
}

fn row(record: &Value) -> [String; 6] {
    let text = |path: &str| record.pointer(path).and_then(Value::as_str).unwrap_or(NONE);
    let number = |path: &str| record.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let about = ["/event/id", "/event/service", "/event/key"].map(text);
    let about = about.into_iter().find(|it| *it != NONE).unwrap_or(NONE);
    [
        number("/seq").to_string(),
        time(Timestamp(number("/at"))),
        text("/actor").to_owned(),
        text("/event/event").replace('_', " "),
        about.to_owned(),
        text("/reason").to_owned(),
    ]
}

/// In the words of RFC 3339, to the millisecond.
fn time(at: Timestamp) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| NONE.to_owned(), |time| format!("{time:.3}"))
}
