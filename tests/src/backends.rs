//! The six services of the demo with two versions each, in the test process.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tidegate_demo_app::faults::Faults;
use tidegate_demo_app::service::{Service, ServiceVersion};

/// Services with blue/green releases.
pub const BLUE_GREEN: [&str; 3] = ["user", "product", "notification"];
/// Services with canary releases, and their steps.
pub const CANARY: [(&str, &str); 3] = [
    ("order", "5%, 10%, 25%, 50%, 100%"),
    ("payment", "1%, 5%, 10%, 25%, 50%, 100%"),
    ("inventory", "10%, 25%, 50%, 100%"),
];
/// Versions of each service; of blue/green services in blue and green.
pub const VERSIONS: [&str; 2] = ["v1", "v2"];

/// All backends.
#[derive(Debug)]
pub struct Backends {
    /// By `SERVICE/VERSION`, the name of the Envoy cluster.
    services: BTreeMap<String, Service>,
}

impl Backends {
    /// Starts them on free ports without faults.
    ///
    /// # Errors
    /// If a port cannot be bound.
    pub async fn start() -> Result<Self> {
        let mut services = BTreeMap::new();
        for service in names() {
            for version in VERSIONS {
                let identity =
                    ServiceVersion { service: service.to_owned(), version: version.to_owned() };
                let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                services.insert(
                    format!("{service}/{version}"),
                    Service::start(identity, anywhere, Faults::default()).await?,
                );
            }
        }
        Ok(Self { services })
    }

    /// One version of one service.
    ///
    /// # Errors
    /// If there is no such service or version.
    pub fn get(&self, service: &str, version: &str) -> Result<&Service> {
        let name = format!("{service}/{version}");
        self.services.get(&name).with_context(|| format!("there is no backend {name}"))
    }
}

/// Names of the services.
pub fn names() -> impl Iterator<Item = &'static str> {
    BLUE_GREEN.into_iter().chain(CANARY.map(|(name, _)| name))
}
