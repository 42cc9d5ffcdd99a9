//! `tidegate status`.

use std::io::{self, IsTerminal};
use std::time::Duration;

use serde_json::Value;
use tidegate::api::configuration::Configuration;
use tidegate::api::views::{Service, Version};
use tidegate_delivery::model::plan::Strategy;

use super::client::{Client, Target};
use super::failure::Failure;
use super::output::{self, Format};
use super::text::{self, NONE};

/// Poll interval of `--watch`.
const PERIOD: Duration = Duration::from_secs(1);
/// Cursor home, then erase to the end of the screen.
const REDRAW: &str = "\x1b[H\x1b[J";

/// Show services, their releases and what blocks them, and why the server's file is not in force.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this service, with its versions
    service: Option<String>,
    /// Refresh every second until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    if !args.watch {
        let seen = fetch(&client, &args).await?;
        return match args.target.output {
            Format::Table => output::print(&seen.table()),
            Format::Json => output::json(&seen.answer),
        };
    }
    tokio::select! {
        ended = watch(&client, &args) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Redraws on a terminal; on a pipe prints one line per change.
async fn watch(client: &Client, args: &Args) -> Result<(), Failure> {
    let format = args.target.output;
    let redraw = io::stdout().is_terminal() && format == Format::Table;
    let mut before: Vec<String> = Vec::new();
    loop {
        let seen = match fetch(client, args).await {
            // The watch continues across a restart of the server.
            Err(failure @ Failure::Unreachable { .. }) => Err(failure.to_string()),
            seen => Ok(seen?),
        };
        if redraw {
            let shown = seen.map_or_else(|why| why, |seen| seen.table());
            output::print(&format!("{REDRAW}{shown}"))?;
        } else {
            let now = seen.map_or_else(|why| vec![why], |seen| seen.lines(format));
            for line in now.iter().filter(|line| !before.contains(line)) {
                output::print(line)?;
            }
            before = now;
        }
        tokio::time::sleep(PERIOD).await;
    }
}

struct Snapshot {
    answer: Value,
    services: Vec<Service>,
    /// A service was named on the command line: the table of its versions follows.
    is_one: bool,
    /// Why the server's file is not in force.
    file: Option<String>,
}

async fn fetch(client: &Client, args: &Args) -> Result<Snapshot, Failure> {
    match &args.service {
        Some(service) => {
            let answer = client.get(&["services", service]).await?;
            let file = file(client).await?;
            Ok(Snapshot { services: vec![client.read(&answer)?], answer, is_one: true, file })
        }
        None => {
            let answer = client.get(&["services"]).await?;
            let file = file(client).await?;
            Ok(Snapshot { services: client.read(&answer)?, answer, is_one: false, file })
        }
    }
}

/// Why the server's file is not in force.
async fn file(client: &Client) -> Result<Option<String>, Failure> {
    let Configuration { file, .. } = client.read(&client.get(&["config"]).await?)?;
    let path = file.path.display();
    Ok(file
        .error
        .map(|it| format!("configuration file {path}, since {}: {}", it.since, it.message)))
}

impl Snapshot {
    fn table(&self) -> String {
        let mut shown = list(&self.services);
        if self.is_one {
            let versions = self.services.iter().flat_map(|service| &service.versions);
            shown += &format!("\n\n{}", versions_of(versions.map(version).collect()));
        }
        if let Some(file) = &self.file {
            shown += &format!("\n\n{file}");
        }
        shown
    }

    fn lines(&self, format: Format) -> Vec<String> {
        match format {
            Format::Table => {
                self.services.iter().map(text::line).chain(self.file.clone()).collect()
            }
            Format::Json => vec![self.answer.to_string()],
        }
    }
}

fn list(services: &[Service]) -> String {
    output::table(
        [
            "SERVICE",
            "STRATEGY",
            "STABLE",
            "RELEASE",
            "CANDIDATE",
            "PHASE",
            "WEIGHT",
            "ACTUAL %",
            "VERDICT",
            "SYNCED",
            "DETAILS",
        ],
        services.iter().map(row).collect(),
        "no services",
    )
}

fn row(service: &Service) -> [String; 11] {
    let none = || NONE.to_owned();
    let release = service.release.as_ref();
    let seen = release.and_then(|release| release.progress.as_ref());
    [
        service.name.to_string(),
        strategy(service.strategy).to_owned(),
        service.stable.to_string(),
        release.map_or_else(none, |it| it.id.to_string()),
        release.map_or_else(none, |it| it.candidate.to_string()),
        release.map_or_else(none, text::phase),
        release.map_or_else(none, |it| text::share(it.weight)),
        release.and_then(|it| it.actual).map_or_else(none, text::share),
        seen.map_or_else(none, |it| it.verdict.to_string()),
        release.map_or_else(none, text::synced),
        details(service),
    ]
}

/// Those of the release, and the versions with names that do not resolve.
fn details(service: &Service) -> String {
    let release = service.release.as_ref().map(text::details).filter(|it| it != NONE);
    let unresolved = service.versions.iter().filter(|version| !version.unresolved.is_empty());
    let unresolved = unresolved.map(|version| {
        format!("{}: {} does not resolve", version.name, version.unresolved.join(", "))
    });
    let texts: Vec<_> = release.into_iter().chain(unresolved).collect();
    if texts.is_empty() { NONE.to_owned() } else { texts.join("; ") }
}

const fn strategy(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Canary => "canary",
        Strategy::BlueGreen => "blue/green",
    }
}

fn versions_of(rows: Vec<[String; 9]>) -> String {
    let heads = [
        "VERSION",
        "WEIGHT",
        "ENVIRONMENT",
        "REQUESTS",
        "ERRORS",
        "4XX",
        "CANCELLED",
        "ROLLED BACK",
        "ENDPOINTS",
    ];
    output::table(heads, rows, "no versions")
}

/// The endpoints, and the target in Istio.
fn places(version: &Version) -> String {
    let istio = version.istio.as_ref().map(|target| format!("Istio {target}"));
    istio.into_iter().chain(version.endpoints.iter().cloned()).collect::<Vec<_>>().join(", ")
}

fn version(version: &Version) -> [String; 9] {
    let totals = version.totals;
    [
        version.name.to_string(),
        text::share(version.weight),
        version.environment.map_or_else(|| NONE.to_owned(), |it| it.to_string()),
        totals.requests.to_string(),
        totals.errors.to_string(),
        totals.client_errors.to_string(),
        totals.cancelled.to_string(),
        version.rolled_back.as_ref().map_or_else(|| NONE.to_owned(), ToString::to_string),
        places(version),
    ]
}
