//! The versions of services as a list.

use tidegate::api::views::{Service, Version};

use crate::cli::output::List;
use crate::cli::text::{self, NONE};

/// The versions of these services.
pub(in crate::cli) fn versions_of(services: &[Service]) -> List<9> {
    let rows = services
        .iter()
        .flat_map(|service| service.versions.iter().map(move |version| row(service, version)));
    List {
        heads: [
            "VERSION",
            "STATE",
            "WEIGHT",
            "REQUESTS",
            "ERRORS",
            "ENDPOINTS",
            "ENVIRONMENT",
            "4XX",
            "CANCELLED",
        ],
        narrow: 6,
        rows: rows.collect(),
        none: "no versions",
    }
}

fn row(service: &Service, version: &Version) -> (String, [String; 9]) {
    let name = format!("{}/{}", service.name, version.name);
    let totals = version.totals;
    let cells = [
        name.clone(),
        state(service, version),
        text::share(version.weight),
        totals.requests.to_string(),
        totals.errors.to_string(),
        places(version),
        version.environment.map_or_else(|| NONE.to_owned(), |it| it.to_string()),
        totals.client_errors.to_string(),
        totals.cancelled.to_string(),
    ];
    (name, cells)
}

/// What the version is for its service.
fn state(service: &Service, version: &Version) -> String {
    let name = &version.name;
    let running = service.release.as_ref().filter(|release| text::is_running(release));
    let states = [
        (service.stable == *name).then(|| "stable".to_owned()),
        running
            .filter(|release| release.candidate == *name)
            .map(|release| format!("candidate of {}", release.id)),
        (service.previous.as_ref() == Some(name)).then(|| match service.previous_until {
            Some(until) => format!("kept for a rollback until {until}"),
            None => "kept for a rollback".to_owned(),
        }),
        service.quarantined.get(name).map(|it| format!("quarantined by {}", it.signal)),
        version.rolled_back.as_ref().map(|release| format!("rolled back with {release}")),
    ];
    let states: Vec<_> = states.into_iter().flatten().collect();
    if states.is_empty() { NONE.to_owned() } else { states.join("; ") }
}

/// The endpoints, and the target in Istio.
fn places(version: &Version) -> String {
    let istio = version.istio.as_ref().map(|target| format!("Istio {target}"));
    istio.into_iter().chain(version.endpoints.iter().cloned()).collect::<Vec<_>>().join(", ")
}
