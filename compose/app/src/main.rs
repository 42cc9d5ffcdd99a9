//! `tidegate-demo-app serve` runs one version of a demo service; `tidegate-demo-app load` generates traffic.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, Write, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tidegate_demo_app::faults::Faults;
use tidegate_demo_app::load::{Failure, LoadConfig, LoadGenerator};
use tidegate_demo_app::service::{Service, ServiceVersion};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

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
    /// HOST:PORT to send requests to; repeat it to send to several in turn. Names are resolved once, at the start.
    #[arg(long = "target", required = true)]
    targets: Vec<String>,
    /// How long to wait at the start until every target accepts connections.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
    wait: Duration,
    /// Host header of the requests; repeat it for one load with its own rate per host.
    #[arg(long = "host", required = true)]
    hosts: Vec<String>,
    /// Path of every request.
    #[arg(long, default_value = "/")]
    path: String,
    /// Requests per second to each host.
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
    let targets = resolve(&args.targets, args.wait).await?;
    let mut loads = Vec::new();
    for host in args.hosts {
        let config = LoadConfig {
            path: args.path.clone(),
            rate: args.rate,
            users: args.users,
            user_header: args.user_header.clone(),
            headers: args.headers.clone(),
            timeout: args.timeout,
            ..LoadConfig::new(targets.clone(), host.clone())
        };
        loads.push(HostLoad { host, load: LoadGenerator::start(&config)?, shown: 0 });
    }
    tokio::select! {
        failed = show_failures(&mut loads), if args.output == Output::Table => match failed? {},
        ended = run_time(args.duration) => ended?,
    }
    let mut failed = 0;
    let mut reports = BTreeMap::new();
    for HostLoad { host, load, shown } in loads {
        let report = load.stop().await;
        failed += report.failed;
        if args.output == Output::Table {
            print_failures(&host, report.failures.get(shown..).unwrap_or_default())?;
            writeln!(stdout(), "{host}\n{report}")?;
        }
        reports.insert(host, report);
    }
    if args.output == Output::Json {
        writeln!(stdout(), "{}", serde_json::to_string(&reports)?)?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The load of one host, and how many of its failures are printed.
struct HostLoad {
    host: String,
    load: LoadGenerator,
    shown: usize,
}

/// The first address of each target, once it accepts connections or `wait` is over.
async fn resolve(targets: &[String], wait: Duration) -> anyhow::Result<Vec<SocketAddr>> {
    let deadline = Instant::now() + wait;
    let mut addresses = Vec::new();
    for target in targets {
        addresses.push(loop {
            match first_address(target, !wait.is_zero()).await {
                Ok(address) => break address,
                Err(error) if Instant::now() >= deadline => {
                    return Err(error).with_context(|| format!("--target {target}"));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        });
    }
    Ok(addresses)
}

async fn first_address(target: &str, connect: bool) -> io::Result<SocketAddr> {
    let mut found = tokio::net::lookup_host(target).await?;
    let address = found.next().ok_or_else(|| io::Error::other("the name has no address"))?;
    if connect {
        tokio::net::TcpStream::connect(address).await?;
    }
    Ok(address)
}

/// Prints failures as they occur.
async fn show_failures(loads: &mut [HostLoad]) -> io::Result<Infallible> {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        for HostLoad { host, load, shown } in &mut *loads {
            let failures = load.failures_from(*shown);
            print_failures(host, &failures)?;
            *shown += failures.len();
        }
    }
}

fn print_failures(host: &str, failures: &[Failure]) -> io::Result<()> {
    let mut out = stdout().lock();
    failures.iter().try_for_each(|failure| writeln!(out, "{host}: {failure}"))
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
