//! `tidegate-demo-app serve` runs one version of a demo service; `tidegate-demo-app load` generates traffic.

use std::convert::Infallible;
use std::io::{self, Write, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tidegate_demo_app::faults::Faults;
use tidegate_demo_app::load::{Failure, LoadConfig, LoadGenerator};
use tidegate_demo_app::service::{Service, ServiceVersion};
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
    /// Serve one version of a service. GET and PUT /faults read and replace the injected faults; /healthz is the health check; any other path answers with service and version.
    Serve(Serve),
    /// Send requests at a constant rate (open loop), print every failure, and exit with 1 if there was one.
    Load(LoadArgs),
}

#[derive(Args)]
struct Serve {
    /// Service name, sent in x-service.
    #[arg(long)]
    service: String,
    /// Version name, sent in x-version.
    #[arg(long = "version")]
    service_version: String,
    /// Address to listen on; port 0 takes a free port.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Initial faults, as JSON: {"error_share": 0.2, "latency": {"median_ms": 20, "p99_ms": 80}}.
    #[arg(long, value_parser = parse_faults, default_value = "{}")]
    faults: Faults,
}

#[derive(Args)]
struct LoadArgs {
    /// Address to send requests to; repeat it to send to several in turn.
    #[arg(long = "target", required = true)]
    targets: Vec<SocketAddr>,
    /// Host header of every request.
    #[arg(long)]
    host: String,
    /// Path of every request.
    #[arg(long, default_value = "/")]
    path: String,
    /// Requests per second.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Number of users to send requests as, in turn; 0 sends no user header.
    #[arg(long, default_value_t = 1000)]
    users: u64,
    /// Header that carries the user.
    #[arg(long, default_value = "x-user-id")]
    user_header: String,
    /// Header to add to every request, as name=value; may be repeated.
    #[arg(long = "header", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// Request timeout.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "15s")]
    timeout: Duration,
    /// How long to send requests; by default until interrupted.
    #[arg(long, value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Format of the report.
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
    let name = ServiceVersion { service: args.service, version: args.service_version };
    let service = Service::start(name.clone(), args.listen, args.faults).await?;
    writeln!(stdout(), "{} {} listens on {}", name.service, name.version, service.address())?;
    interrupted().await?;
    Ok(ExitCode::SUCCESS)
}

async fn load(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let load = LoadGenerator::start(&LoadConfig {
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
        ended = run_time(args.duration) => ended?,
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

/// Prints failures as they occur, and counts the printed ones in `shown`.
async fn show_failures(load: &LoadGenerator, shown: &mut usize) -> io::Result<Infallible> {
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

/// Waits for the end of the duration, or for an interrupt.
async fn run_time(duration: Option<Duration>) -> anyhow::Result<()> {
    let Some(duration) = duration else {
        return interrupted().await;
    };
    tokio::select! {
        () = tokio::time::sleep(duration) => Ok(()),
        interrupt = interrupted() => interrupt,
    }
}

/// Waits for SIGINT (Ctrl-C) or SIGTERM (a container's stop signal).
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
