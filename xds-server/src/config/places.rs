//! The place of each change in the text of a configuration.

use super::span::{Span, Spanned};
use super::{parse, raw};
use tidegate_delivery::model::catalogue::Environment;
use tidegate_delivery::model::change::{Change, ChangeKind, Route};
use tidegate_delivery::model::configuration::ServiceVersion;
use tidegate_delivery::names::{FleetName, ServiceName, VersionName};

/// A change and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The change.
    pub change: Change,
    /// Its place, or that of what contained it. `None` if the text has neither.
    pub place: Option<Span>,
}

/// Finds the changes in a text. It is valid, else no change has a place.
#[must_use]
pub fn locate(text: &str, changes: Vec<Change>) -> Vec<Located> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root = parse::parse::<raw::Root>(text).ok();
    let place = |change: &Change| Some(Places(root.as_ref()?).of(&change.kind)?.first_line(text));
    changes.into_iter().map(|change| Located { place: place(&change), change }).collect()
}

struct Places<'a>(&'a raw::Root);

impl<'a> Places<'a> {
    fn of(&self, kind: &ChangeKind) -> Option<Span> {
        match kind {
            ChangeKind::FleetAdded { fleet }
            | ChangeKind::FleetListeners { fleet }
            | ChangeKind::ListenerRemoved { fleet, .. } => Some(self.fleet(fleet)?.name.span()),
            ChangeKind::ListenerAdded { fleet, listener } => {
                Some(self.listener(fleet, &listener.name)?.name.span())
            }
            ChangeKind::ListenerMoved { fleet, name, .. } => {
                Some(self.listener(fleet, name)?.address.span())
            }
            ChangeKind::ListenerPurpose { fleet, name, .. } => {
                Some(self.listener(fleet, name)?.name.span())
            }
            ChangeKind::RouteAdded(Route { fleet, listener, .. })
            | ChangeKind::RouteRemoved(Route { fleet, listener, .. }) => {
                let listener = self.listener(fleet, listener).map(|it| it.services.span());
                listener.or_else(|| Some(self.fleet(fleet)?.name.span()))
            }
            ChangeKind::HostAdded { service, host }
            | ChangeKind::HostMoved { host, to: service, .. } => {
                let hosts = &self.service(service)?.hosts;
                let parsed = |at: &&Spanned<String>| at.get().parse().as_ref() == Ok(host);
                let hosts = hosts.as_ref()?;
                Some(hosts.get().iter().find(parsed).map_or(hosts.span(), Spanned::span))
            }
            ChangeKind::HostRemoved { service, .. } => {
                Some(self.service(service)?.hosts.as_ref()?.span())
            }
            ChangeKind::VersionAdded { version, .. } => self.version(version),
            ChangeKind::EndpointsChanged { version, .. } => self.endpoints(version),
            ChangeKind::DeclaredStable { service, .. } => {
                let raw = self.service(service)?;
                let active = raw.active.as_ref().map(Spanned::span);
                raw.stable.as_ref().map(Spanned::span).or(active)
            }
            ChangeKind::ExclusionsChanged { service, .. } => {
                let raw = self.service(service)?;
                Some(raw.evidence.as_ref().map_or(raw.name.span(), |it| it.exclude.span()))
            }
            ChangeKind::PlanChanged { service, .. } => Some(self.service(service)?.strategy.span()),
            ChangeKind::DnsChanged { service } => {
                let raw = self.service(service)?;
                Some(raw.dns.as_ref().map_or(raw.name.span(), Spanned::span))
            }
            ChangeKind::ServiceAdded { service }
            | ChangeKind::VersionRemoved { version: ServiceVersion { service, .. }, .. }
            | ChangeKind::EnvironmentsChanged { service, .. }
            | ChangeKind::IdentityChanged { service, .. }
            | ChangeKind::GuardrailsChanged { service, .. }
            | ChangeKind::HookChanged { service, .. } => Some(self.service(service)?.name.span()),
            ChangeKind::FreezeWindowChanged { name, .. } => {
                let named = |it: &&raw::FreezeWindow| it.name.get() == name.as_str();
                Some(self.0.freeze.iter().find(named)?.name.span())
            }
            ChangeKind::FleetRemoved { .. } | ChangeKind::ServiceRemoved { .. } => None,
        }
    }

    fn fleet(&self, name: &FleetName) -> Option<&'a raw::Fleet> {
        self.0.fleets.get().iter().find(|it| it.name.get() == name.as_str())
    }

    fn listener(&self, fleet: &FleetName, name: &str) -> Option<&'a raw::Listener> {
        self.fleet(fleet)?.listeners.iter().find(|it| it.name.get() == name)
    }

    fn service(&self, name: &ServiceName) -> Option<&'a raw::Service> {
        self.0.services.get().iter().find(|it| it.name.get() == name.as_str())
    }

    /// The name of a version, else of its service.
    fn version(&self, ServiceVersion { service, version }: &ServiceVersion) -> Option<Span> {
        let raw = self.service(service)?;
        let versions = raw.versions.iter().flat_map(|it| it.get());
        let mut names = versions.map(|it| &it.name);
        let named = names.find(|at| at.get() == version.as_str());
        let deployed = environment(raw, version).and_then(|it| it.version.as_ref());
        Some(named.or(deployed).unwrap_or(&raw.name).span())
    }

    /// The endpoints of a version, else the name of its service.
    fn endpoints(&self, ServiceVersion { service, version }: &ServiceVersion) -> Option<Span> {
        let raw = self.service(service)?;
        let mut versions = raw.versions.iter().flat_map(|it| it.get());
        let named = versions.find(|it| it.name.get() == version.as_str());
        let deployed = environment(raw, version).and_then(|it| Some(it.endpoints.as_ref()?.span()));
        let named = named.and_then(|it| Some(it.endpoints.as_ref()?.span()));
        Some(named.or(deployed).unwrap_or_else(|| raw.name.span()))
    }
}

/// The environment to which a version is declared.
fn environment<'a>(raw: &'a raw::Service, version: &VersionName) -> Option<&'a raw::Deployed> {
    let environments = raw.environments.as_ref()?.get();
    let both = [(Environment::Blue, &environments.blue), (Environment::Green, &environments.green)];
    let is_it = |(environment, deployed): &(Environment, &raw::Deployed)| match &deployed.version {
        Some(name) => name.get() == version.as_str(),
        None => environment.to_string() == version.as_str(),
    };
    both.into_iter().find(is_it).map(|(_, deployed)| deployed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_delivery::fixtures::{at, name};

    const TEXT: &str = r#"
filter: {wasm: filter.wasm}
fleets: [{name: demo, listeners: [{name: in, address: "127.0.0.1:1", services: ["*"]}]}]
services:
  - name: order
    hosts: ["Order.Local"]
    strategy: {canary: {}}
    stable: v1
    versions:
      - name: v1
        endpoints: ["127.0.0.1:9101"]
  - name: product
    hosts: ["product.local"]
    strategy: {blue_green: {}}
    environments: {blue: {endpoints: ["127.0.0.1:9201"]}, green: {endpoints: ["127.0.0.1:9202"]}}
    active: blue
"#;

    #[test]
    fn a_change_is_where_its_value_is_written() {
        let (order, fleet) = (name::<ServiceName>("order"), name("demo"));
        let host = name("order.local");
        let endpoints = |version: &str| {
            let (version, added, removed) = (name(version), at(1), Vec::new());
            ChangeKind::EndpointsChanged { version, added, removed }
        };
        let (from, to) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:1".parse().unwrap());
        for (kind, expected) in [
            (ChangeKind::HostAdded { service: order.clone(), host }, Some("\"Order.Local\"")),
            (endpoints("order/v1"), Some("[")),
            (endpoints("product/blue"), Some("[")),
            (
                ChangeKind::ListenerMoved { fleet, name: "in".to_owned(), from, to },
                Some("\"127.0.0.1:1\""),
            ),
            (ChangeKind::ServiceAdded { service: order }, Some("order")),
            (ChangeKind::ServiceRemoved { service: name("search") }, None),
        ] {
            let located = locate(TEXT, vec![Change { kind, loss: None }]).remove(0);
            let written = located.place.map(|it| &TEXT[it.offset..it.offset + it.length]);
            assert_eq!(written, expected, "{located:?}");
        }
    }
}
