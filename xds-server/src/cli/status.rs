//! `tidegate status`.

mod layout;
mod overview;
mod watch;

use serde_json::Value;
use tidegate::api::configuration::Configuration;
use tidegate::api::views::Service;
use tidegate::clock::Clock;
use tidegate_delivery::units::Timestamp;

use super::client::{Client, Target};
use super::failure::Failure;
use super::output::{self, Format};
use super::terminal::Screen;
use super::version::versions_of;

/// Show services, their releases and what blocks them, and why the server's file is not in force.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this service, with its versions
    service: Option<String>,
    /// Refresh every second until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

pub(super) async fn run(args: Args, target: &Target) -> Result<(), Failure> {
    let client = Client::new(target)?;
    if args.watch {
        return watch::run(&client, args.service.as_deref(), target.output).await;
    }
    let seen = Snapshot::fetch(&client, args.service.as_deref()).await?;
    match target.output {
        Format::Name => seen.names().try_for_each(output::print),
        format => output::document(format, &seen.answer, || Ok(seen.text(format))),
    }
}

struct Snapshot {
    answer: Value,
    services: Vec<Service>,
    /// A service was named on the command line: the table of its versions follows.
    is_one: bool,
    /// Why the server's file is not in force.
    file: Option<String>,
    at: Timestamp,
}

impl Snapshot {
    async fn fetch(client: &Client, service: Option<&str>) -> Result<Self, Failure> {
        let path = std::iter::once("services").chain(service).collect::<Vec<_>>();
        let answer = client.get(&path).await?;
        let services = match service {
            Some(_) => vec![client.read(&answer)?],
            None => client.read(&answer)?,
        };
        let (file, at) = (file(client).await?, Clock::system().now());
        Ok(Self { answer, services, is_one: service.is_some(), file, at })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(|service| service.name.as_str())
    }

    fn text(&self, format: Format) -> String {
        let screen = if format == Format::Wide { Screen::UNLIMITED } else { Screen::of_stdout() };
        let mut parts = vec![overview::text(&self.services, self.at, screen)];
        if self.is_one || format == Format::Wide {
            let list = versions_of(&self.services);
            let is_wide = format == Format::Wide;
            parts.push(if is_wide { list.wide() } else { list.table(screen.columns) });
        }
        if format == Format::Wide {
            let powers = self.services.iter().filter_map(|it| it.release.as_ref()?.power.as_ref());
            parts.extend(powers.map(|power| format!("At today's traffic, {power}.")));
        }
        parts.extend(self.file.as_ref().map(|file| screen.wrap(file, 0).join("\n")));
        parts.join("\n\n")
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
