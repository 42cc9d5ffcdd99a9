//! `make fleet`: thousands of simulated sidecars on one machine; the time until the last has ACKed a change, and its cost;
//! beside it, in the same run, a raw tonic broadcast of the same bytes.
#![expect(clippy::print_stdout, reason = "it prints its tables")]

mod ack_rounds;
mod certificates;
mod measure;
mod raw;
mod reports;
mod servers;
mod sidecar;
mod table;
mod tls;
mod usage;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;

use crate::measure::{Size, Transport, measure};

/// Open files of a run other than its connections.
const OTHER_FILES: u64 = 200;
/// Sidecars of the runs with more services.
const GROWTH_SIDECARS: usize = 1000;
/// Filter instances of a sidecar, one for each Envoy worker.
const WORKERS: u64 = 2;
/// Runs with more services divide the number of pushes by this, because each push is large.
const GROWTH_SHARE: usize = 4;

/// Measures what a fleet of sidecars costs, beside a raw tonic server.
#[derive(Debug, Parser)]
struct Options {
    /// Sizes of the fleet.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,3000,9000")]
    sidecars: Vec<usize>,
    /// Services of the runs with more services.
    #[arg(long, value_delimiter = ',', default_value = "100,1000")]
    services: Vec<usize>,
    /// Weight changes of each run.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..99))]
    pushes: u8,
    /// Streams on one connection. Real sidecars have a connection each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=250))]
    per_connection: u8,
    /// Transports of the runs. With mTLS each sidecar has a certificate of its own.
    #[arg(long, value_delimiter = ',', default_value = "plain,mtls")]
    transports: Vec<Transport>,
    /// The file to write.
    #[arg(long, default_value = "docs/fleet.md")]
    document: PathBuf,
    /// Run the raw server at this address.
    #[arg(long, requires = "messages", hide = true)]
    raw: Option<SocketAddr>,
    /// The raw server's messages.
    #[arg(long, hide = true)]
    messages: Option<PathBuf>,
    /// The raw server's certificates; plaintext without.
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
    // The client end of each connection, to both servers.
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
