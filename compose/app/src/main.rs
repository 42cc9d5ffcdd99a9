//! `tidegate-demo-app serve` is one version of a demo service; `tidegate-demo-app load` is the traffic.

use std::convert::Infallible;
use std::io::{self, Write, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tidegate_demo_app::faults::Faults;
use tidegate_demo_app::load::{Failure, Load, LoadConfig, LoadHandle};
use tidegate_demo_app::service::{Identity, Service};
use tokio::signal::unix::{SignalKind, signal};

/// The demo's service and its load generator.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve: any path says who answered; GET and PUT /faults read and set what is wrong; /healthz says all is well.
    Serve(Serve),
    /// Ask at a constant rate, whatever the answers do; show every failure; exit 1 if there was one.
    Load(LoadArgs),
}

#[derive(Args)]
struct Serve {
    /// What callers ask for.
    #[arg(long)]
    service: String,
    /// Which version of it this is.
    #[arg(long = "version")]
    release: String,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Faults from the start, as JSON: {"error_share": 0.2, "latency": {"median_ms": 20, "p99_ms": 80}}.
    #[arg(long, value_parser = parse_faults, default_value = "{}")]
    faults: Faults,
}

#[derive(Args)]
struct LoadArgs {
    /// Whom to ask; give it several times to take turns.
    #[arg(long = "target", required = true)]
    targets: Vec<SocketAddr>,
    /// The host to ask for.
    #[arg(long)]
    host: String,
    /// The path to ask for.
    #[arg(long, default_value = "/")]
    path: String,
    /// Requests per second.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// How many users take turns; 0 sends no user header.
    #[arg(long, default_value_t = 1000)]
    users: u64,
    /// The header that carries the user.
    #[arg(long, default_value = "x-user-id")]
    user_header: String,
    /// A header on every request, as name=value; give it several times for several.
    #[arg(long = "header", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// How long a request may take.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "15s")]
    timeout: Duration,
    /// How long to go on; without it, until interrupted.
    #[arg(long, value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// How to print the report.
    #[arg(short, long, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Serve(args) => serve(args).await,
        Command::Load(args) => load(args).await,
    }
}

async fn serve(args: Serve) -> anyhow::Result<ExitCode> {
    let identity = Identity { service: args.service, version: args.release };
    let service = Service::start(identity.clone(), args.listen, args.faults).await?;
    writeln!(
        stdout(),
        "{} {} listens on {}",
        identity.service,
        identity.version,
        service.address()
    )?;
    interrupted().await?;
    Ok(ExitCode::SUCCESS)
}

async fn load(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let load = Load::start(&LoadConfig {
        path: args.path,
        rate: args.rate,
        users: args.users,
        user_header: args.user_header,
        headers: args.headers,
        timeout: args.timeout,
        ..LoadConfig::new(args.targets, args.host)
    })?;
    let mut shown = 0;
    tokio::select! {
        failed = show_failures(&load, &mut shown), if args.output == Output::Table => match failed? {},
        ended = ending(args.duration) => ended?,
    }
    let report = load.stop().await;
    match args.output {
        Output::Table => {
            print_lines(report.failures.get(shown..).unwrap_or_default())?;
            writeln!(stdout(), "{report}")?;
        }
        Output::Json => writeln!(stdout(), "{}", serde_json::to_string_pretty(&report)?)?,
    }
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows failures as they come, and counts them in `shown`.
async fn show_failures(load: &LoadHandle, shown: &mut usize) -> io::Result<Infallible> {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let failures = load.failures_from(*shown);
        print_lines(&failures)?;
        *shown += failures.len();
    }
}

fn print_lines(failures: &[Failure]) -> io::Result<()> {
    let mut out = stdout().lock();
    failures.iter().try_for_each(|failure| writeln!(out, "{failure}"))
}

/// Waits until the time is up, or somebody has had enough.
async fn ending(duration: Option<Duration>) -> anyhow::Result<()> {
    let Some(duration) = duration else {
        return interrupted().await;
    };
    tokio::select! {
        () = tokio::time::sleep(duration) => Ok(()),
        interrupt = interrupted() => interrupt,
    }
}

/// Waits for Ctrl-C, or for the stop signal of a container.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn parse_faults(text: &str) -> Result<Faults, serde_json::Error> {
    serde_json::from_str(text)
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is not name=value"))?;
    Ok((name.to_owned(), value.to_owned()))
}
