//! `tidegate release list` and `release history`.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tidegate::api::history::{PastRelease, ReleaseHistory};
use tidegate::api::views::ReleaseView;

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Format, List};
use crate::cli::text::{self, NONE};

/// The newest release of each service, or of one.
pub(super) async fn newest(
    client: &Client,
    service: Option<&str>,
    format: Format,
) -> Result<(), Failure> {
    let path: Vec<_> = std::iter::once("services").chain(service).collect();
    let services = match client.get(&path).await? {
        Value::Array(services) => services,
        service => vec![service],
    };
    let newest = services.iter().filter_map(|service| service.get("release"));
    let newest: Vec<&Value> = newest.filter(|release| !release.is_null()).collect();
    output::list(format, &newest, || {
        let read = newest.iter().map(|release| client.read(release));
        let read: Vec<ReleaseView> = read.collect::<Result<_, _>>()?;
        Ok(releases(
            &read,
            "no releases yet; start one with `tidegate release start SERVICE VERSION`",
        ))
    })
}

/// Releases with what blocks them.
pub(in crate::cli) fn releases(releases: &[ReleaseView], none: &'static str) -> List<8> {
    let row = |release: &ReleaseView| {
        let cells = [
            release.id.to_string(),
            release.candidate.to_string(),
            text::phase(release),
            text::share(release.weight),
            text::details(release),
            release.since.to_string(),
            release.stable.to_string(),
            release.started_by.clone(),
        ];
        (release.id.to_string(), cells)
    };
    List {
        heads: [
            "RELEASE",
            "CANDIDATE",
            "PHASE",
            "WEIGHT",
            "DETAILS",
            "SINCE",
            "FROM",
            "STARTED BY",
        ],
        narrow: 5,
        rows: releases.iter().map(row).collect(),
        none,
    }
}

/// The releases of a service, newest first.
pub(super) async fn history(
    client: &Client,
    service: &str,
    limit: usize,
    format: Format,
) -> Result<(), Failure> {
    let path = ["services", service, "releases"];
    let query = [("limit", limit.to_string())];
    let answer = client.call(Method::GET, &path, &query, None).await?;
    let ReleaseHistory { releases, complete } = client.read(&answer)?;
    output::list(format, &answer, || {
        Ok(List {
            heads: [
                "RELEASE",
                "CANDIDATE",
                "RESULT",
                "STARTED",
                "TOOK",
                "CAUSE",
                "FROM",
                "BY",
                "COMMIT",
            ],
            narrow: 6,
            rows: releases.iter().map(past).collect(),
            none: "no releases yet",
        })
    })?;
    if !complete && !releases.is_empty() && matches!(format, Format::Table | Format::Wide) {
        let older = "older releases: --limit N, or tidegate audit list --kind release_started";
        output::print(&format!("\n{older} --service {service}"))?;
    }
    Ok(())
}

fn past(release: &PastRelease) -> (String, [String; 9]) {
    let none = || NONE.to_owned();
    let took = release.ended_at.map(|ended| {
        let took = Duration::from_secs(ended.since(release.started_at).as_secs());
        humantime::format_duration(took).to_string()
    });
    let cells = [
        release.id.to_string(),
        release.candidate.to_string(),
        release.phase.as_str().replace('_', " "),
        release.started_at.to_string(),
        took.unwrap_or_else(none),
        release.cause.as_ref().map_or_else(none, ToString::to_string),
        release.stable.to_string(),
        release.started_by.clone(),
        release.commit.clone().unwrap_or_else(none),
    ];
    (release.id.to_string(), cells)
}
