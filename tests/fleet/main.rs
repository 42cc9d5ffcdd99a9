//! `make fleet`: thousands of sidecars on one machine, and how fast, and at what cost, a change reaches the last of
//! them; beside it, in the same run, what a raw tonic broadcast of the same bytes takes.
#![expect(clippy::print_stdout, reason = "the table is what one runs it for")]

mod gate;
mod measure;
mod mutual;
mod raw;
mod reports;
mod secured;
mod sidecar;
mod subject;
mod table;
mod usage;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;

use crate::measure::{Size, Transport, measure};

/// Files that a run opens beside its connections.
const OTHER_FILES: u64 = 200;
/// Sidecars of the runs that show how things grow with the number of services.
const GROWTH_SIDECARS: usize = 1000;
/// Filter instances of a sidecar: one for each of its workers.
const WORKERS: u64 = 2;
/// A push of a thousand services is large: there are fewer of them.
const GROWTH_SHARE: usize = 4;

/// Measures what a fleet of sidecars costs, beside a raw tonic server.
#[derive(Debug, Parser)]
struct Options {
    /// Sizes of the fleet.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,3000,9000")]
    sidecars: Vec<usize>,
    /// Services of the runs that show how things grow with them.
    #[arg(long, value_delimiter = ',', default_value = "100,1000")]
    services: Vec<usize>,
    /// Weight changes for each size.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..99))]
    pushes: u8,
    /// Streams that share a connection. Real sidecars do not share.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=250))]
    per_connection: u8,
    /// How they speak. With mutual TLS each sidecar has a certificate of its own.
    #[arg(long, value_delimiter = ',', default_value = "plain,mtls")]
    transports: Vec<Transport>,
    /// Where the document goes.
    #[arg(long, default_value = "docs/fleet.md")]
    document: PathBuf,
    /// Be the raw server.
    #[arg(long, requires = "messages", hide = true)]
    raw: Option<SocketAddr>,
    /// What the raw server sends.
    #[arg(long, hide = true)]
    messages: Option<PathBuf>,
    /// Where the raw server's certificates are, if it is to show one.
    #[arg(long, hide = true)]
    certificates: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let files = usage::open_files()?;
    if let (Some(address), Some(messages)) = (options.raw, &options.messages) {
        return raw::serve(address, messages, options.certificates.as_deref()).await;
    }
    let per_connection = usize::from(options.per_connection);
    let most = options.sidecars.iter().copied().max().unwrap_or_default().max(GROWTH_SIDECARS);
    // One end of each connection to each server is ours.
    let needed = 2 * most.div_ceil(per_connection) as u64 + OTHER_FILES;
    ensure!(
        needed <= files,
        "{most} sidecars with {per_connection} on a connection need {needed} open files, and the hard limit is \
         {files}: raise it (ulimit -Hn), take fewer --sidecars, or more --per-connection"
    );
    let pushes = usize::from(options.pushes);
    let size = |sidecars, services, pushes, transport| Size {
        sidecars,
        services,
        pushes,
        per_connection,
        transport,
    };
    let by_sidecars = options.sidecars.iter().flat_map(|&count| {
        options.transports.iter().map(move |&transport| size(count, 10, pushes, transport))
    });
    let growth_pushes = pushes.div_ceil(GROWTH_SHARE);
    let by_services = options
        .services
        .iter()
        .map(|&count| size(GROWTH_SIDECARS, count, growth_pushes, Transport::Plain));
    let mut tables = table::head().to_owned();
    print!("{tables}");
    for size in by_sidecars.chain(by_services) {
        let rows = table::rows(&measure(size).await?)?;
        print!("{rows}");
        tables += &rows;
    }
    let intake = reports::measure().await?;
    let mut paced = Vec::new();
    for &sidecars in &options.sidecars {
        paced.push(reports::measure_paced(sidecars as u64 * WORKERS).await?);
    }
    let how = match per_connection {
        1 => "each on a connection of its own, as real ones are".to_owned(),
        many => format!("{many} share a connection"),
    };
    let how = format!(
        "{how}. There are {pushes} pushes for each size, {growth_pushes} for those with more services"
    );
    let document = table::document(&tables, &intake, &paced, &how)?;
    if let Some((_, rest)) = document.split_once("\n## ") {
        println!("\n{rest}");
    }
    if let Some(parent) = options.document.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&options.document, document)?;
    println!("written to {}", options.document.display());
    Ok(())
}
