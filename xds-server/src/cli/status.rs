//! `tidegate status`.

use std::io::{self, IsTerminal};
use std::time::Duration;

use serde_json::Value;
use tidegate::api::views::{Service, Version};
use tidegate::delivery::plan::Strategy;

use super::client::{Client, Target};
use super::failure::Failure;
use super::output::{self, Format};
use super::words::{self, NONE};

/// How often a watch looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Cursor home, and erase what is below.
const REDRAW: &str = "\x1b[H\x1b[J";

/// Show the services, their releases and what they wait for.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this one, with its versions
    service: Option<String>,
    /// Look again every second, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    if !args.watch {
        return output::print(&show(&client, &args).await?);
    }
    tokio::select! {
        ended = watch(&client, &args) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// On a terminal redraws; elsewhere prints what changed, so that a log of it can be kept.
async fn watch(client: &Client, args: &Args) -> Result<(), Failure> {
    let redraw = io::stdout().is_terminal() && args.target.output == Format::Table;
    let mut before = String::new();
    loop {
        // A server that restarts is no reason to stop looking.
        let now = match show(client, args).await {
            Err(failure @ (Failure::Unreachable { .. } | Failure::Strange { .. })) => {
                failure.to_string()
            }
            other => other?,
        };
        if redraw {
            output::print(&format!("{REDRAW}{now}"))?;
        } else if now != before {
            let changed = now.lines().filter(|line| !before.lines().any(|was| was == *line));
            output::print(&changed.collect::<Vec<_>>().join("\n"))?;
        }
        before = now;
        tokio::time::sleep(PERIOD).await;
    }
}

async fn show(client: &Client, args: &Args) -> Result<String, Failure> {
    let answer = match &args.service {
        Some(service) => client.get(&["services", service]).await?,
        None => client.get(&["services"]).await?,
    };
    if args.target.output == Format::Json {
        return Ok(if args.watch { answer.to_string() } else { format!("{answer:#}") });
    }
    match answer {
        Value::Array(_) => Ok(list(&client.read::<Vec<Service>>(&answer)?)),
        _ => Ok(one(client.read(&answer)?)),
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
            "EXPOSURE",
            "VERDICT",
            "CONVERGENCE",
            "WAITING FOR",
        ],
        services.iter().map(row).collect(),
        "there are no services",
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
        release.map_or_else(none, words::phase),
        release.map_or_else(none, |it| words::share(it.weight)),
        release.and_then(|it| it.exposure).map_or_else(none, words::share),
        seen.map_or_else(none, |it| words::verdict(&it.verdict)),
        release.map_or_else(none, words::convergence),
        release.map_or_else(none, words::waiting_for),
    ]
}

const fn strategy(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Canary => "canary",
        Strategy::BlueGreen => "blue/green",
    }
}

fn one(service: Service) -> String {
    let versions = output::table(
        ["VERSION", "WEIGHT", "ENVIRONMENT", "REQUESTS", "ERRORS", "4XX", "CANCELLED", "ENDPOINTS"],
        service.versions.iter().map(version).collect(),
        "there are no versions",
    );
    format!("{}\n\n{versions}", list(&[service]))
}

fn version(version: &Version) -> [String; 8] {
    let totals = version.totals;
    [
        version.name.to_string(),
        words::share(version.weight),
        version.environment.map_or_else(|| NONE.to_owned(), |it| it.to_string()),
        totals.requests.to_string(),
        totals.errors.to_string(),
        totals.client_errors.to_string(),
        totals.cancelled.to_string(),
        version.endpoints.join(", "),
    ]
}
