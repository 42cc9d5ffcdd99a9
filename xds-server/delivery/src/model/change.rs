//! What a configuration changes for the users of the services, and what of it has to be allowed by name. Losses are
//! journaled; changes are shown only, so their JSON has the form of the API.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tidegate_core::config::{Exclusion, IdentitySource};
use tidegate_core::host::{Host, HostError};

use crate::judge::guardrails::Guardrails;
use crate::model::catalogue::{Endpoint, Environments};
use crate::model::configuration::{ServiceVersion, ServiceVersionError};
use crate::model::mesh::{Listener, Purpose};
use crate::model::plan::Plan;
use crate::names::{FleetName, FreezeName, HookName, NameError, ServiceName, VersionName};
use crate::units::{Timestamp, rfc3339};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What changes.
    #[serde(flatten)]
    pub kind: ChangeKind,
    /// The name that allows it, if it takes away something that serves traffic.
    pub loss: Option<Loss>,
}

/// What changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the fields are what they are called; `from` is before, `to` after the change"
)]
pub enum ChangeKind {
    /// A fleet was added.
    FleetAdded { fleet: FleetName },
    /// A fleet was removed: its sidecars receive no configuration.
    FleetRemoved { fleet: FleetName },
    /// A fleet whose listeners another control plane provides received listeners.
    FleetListeners { fleet: FleetName },
    /// A listener was added.
    ListenerAdded { fleet: FleetName, listener: Listener },
    /// A listener was removed.
    ListenerRemoved { fleet: FleetName, listener: Listener },
    /// A listener has another address.
    ListenerMoved { fleet: FleetName, name: String, from: SocketAddr, to: SocketAddr },
    /// A listener receives other requests.
    ListenerPurpose { fleet: FleetName, name: String, from: Purpose, to: Purpose },
    /// A listener routes to one more of the services.
    RouteAdded(Route),
    /// A listener no longer routes to a service.
    RouteRemoved(Route),
    /// A service was added.
    ServiceAdded { service: ServiceName },
    /// A service was removed.
    ServiceRemoved { service: ServiceName },
    /// A service has one more host.
    HostAdded { service: ServiceName, host: Host },
    /// No service has this host any more.
    HostRemoved { service: ServiceName, host: Host },
    /// Another service has this host.
    HostMoved { host: Host, from: ServiceName, to: ServiceName },
    /// A version was added.
    VersionAdded { version: ServiceVersion, endpoints: Vec<Endpoint> },
    /// A version was removed; a stable one serves until another version is stable.
    VersionRemoved { version: ServiceVersion, role: Option<VersionRole> },
    /// A version has other endpoints.
    EndpointsChanged { version: ServiceVersion, added: Vec<Endpoint>, removed: Vec<Endpoint> },
    /// The declared stable version changed. It has no effect: releases determine the stable version.
    DeclaredStable { service: ServiceName, stable: VersionName, to: VersionName },
    /// Other environments.
    EnvironmentsChanged {
        service: ServiceName,
        from: Option<Environments>,
        to: Option<Environments>,
    },
    /// Another identity of users.
    IdentityChanged { service: ServiceName, from: Vec<IdentitySource>, to: Vec<IdentitySource> },
    /// Another plan: strategy, requirements, smoke tests.
    PlanChanged { service: ServiceName, from: Box<Plan>, to: Box<Plan> },
    /// Other guardrails.
    GuardrailsChanged { service: ServiceName, from: Box<Guardrails>, to: Box<Guardrails> },
    /// Other requests are no evidence.
    ExclusionsChanged { service: ServiceName, from: Vec<Exclusion>, to: Vec<Exclusion> },
    /// Another hook.
    HookChanged { service: ServiceName, hook: HookName, edit: Edit },
    /// Other DNS records.
    DnsChanged { service: ServiceName },
    /// Another freeze window.
    FreezeWindowChanged { name: FreezeName, edit: Edit },
}

/// A change of something whose values are not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are what they are called")]
pub enum Edit {
    Added,
    Removed,
    Changed,
}

/// A service in a listener.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Route {
    /// The fleet.
    pub fleet: FleetName,
    /// Its listener.
    pub listener: String,
    /// The service.
    pub service: ServiceName,
}

/// The use of a removed version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum VersionRole {
    /// It is the stable version.
    Stable,
    /// The rollback window keeps it.
    Previous {
        /// The end of the window.
        #[serde(with = "rfc3339::option")]
        until: Option<Timestamp>,
    },
}

/// The name of something that serves traffic and is taken away: `KIND:NAME`, such as `host:order.local`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Loss {
    /// `fleet:FLEET`: all that it served.
    Fleet(FleetName),
    /// `listener:FLEET/LISTENER`: its address no longer accepts requests of clients.
    Listener(FleetName, String),
    /// `route:FLEET/LISTENER/SERVICE`: the listener no longer routes to the service.
    Route(Route),
    /// `service:SERVICE`
    Service(ServiceName),
    /// `host:HOST`: the service that had it no longer receives its requests.
    Host(Host),
    /// `version:SERVICE/VERSION`: the stable version, or one that the rollback window keeps.
    Version(ServiceVersion),
    /// `endpoints:SERVICE/VERSION`: every endpoint of a stable version.
    Endpoints(ServiceVersion),
}

/// The forms of [`Loss`].
pub const LOSS_FORMS: &str = "fleet:FLEET, listener:FLEET/LISTENER, route:FLEET/LISTENER/SERVICE, service:SERVICE, \
                              host:HOST, version:SERVICE/VERSION or endpoints:SERVICE/VERSION";

/// Text that is not a [`Loss`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LossError {
    /// Another form.
    #[error("`{0}` is not the name of a loss: write {LOSS_FORMS}")]
    Format(String),
    /// An invalid name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An invalid host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// An invalid version.
    #[error(transparent)]
    Version(#[from] ServiceVersionError),
}

impl FromStr for Loss {
    type Err = LossError;

    fn from_str(text: &str) -> Result<Self, LossError> {
        let format = || LossError::Format(text.chars().take(100).collect());
        let (kind, name) = text.split_once(':').ok_or_else(format)?;
        Ok(match kind {
            "fleet" => Self::Fleet(name.parse()?),
            "listener" => {
                let (fleet, listener) = listener(name).ok_or_else(format)?;
                Self::Listener(fleet.parse()?, listener.to_owned())
            }
            "route" => {
                let (at, service) = name.rsplit_once('/').ok_or_else(format)?;
                let (fleet, listener) = listener(at).ok_or_else(format)?;
                let (fleet, listener) = (fleet.parse()?, listener.to_owned());
                Self::Route(Route { fleet, listener, service: service.parse()? })
            }
            "service" => Self::Service(name.parse()?),
            "host" => Self::Host(name.parse()?),
            "version" => Self::Version(name.parse()?),
            "endpoints" => Self::Endpoints(name.parse()?),
            _ => return Err(format()),
        })
    }
}

/// `FLEET/LISTENER`, both with the grammar of names.
fn listener(text: &str) -> Option<(&str, &str)> {
    text.split_once('/').filter(|(_, listener)| listener.parse::<FleetName>().is_ok())
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet(fleet) => write!(f, "fleet:{fleet}"),
            Self::Listener(fleet, listener) => write!(f, "listener:{fleet}/{listener}"),
            Self::Route(Route { fleet, listener, service }) => {
                write!(f, "route:{fleet}/{listener}/{service}")
            }
            Self::Service(service) => write!(f, "service:{service}"),
            Self::Host(host) => write!(f, "host:{host}"),
            Self::Version(version) => write!(f, "version:{version}"),
            Self::Endpoints(version) => write!(f, "endpoints:{version}"),
        }
    }
}

impl TryFrom<String> for Loss {
    type Error = LossError;

    fn try_from(text: String) -> Result<Self, LossError> {
        text.parse()
    }
}

impl From<Loss> for String {
    fn from(loss: Loss) -> Self {
        loss.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_named_as_it_is_printed() {
        for text in [
            "fleet:demo",
            "listener:demo/ingress",
            "route:demo/ingress/order",
            "service:order",
            "host:order.local",
            "host:[::1]",
            "version:order/v1",
            "endpoints:order/v1",
        ] {
            assert_eq!(text.parse::<Loss>().unwrap().to_string(), text);
        }
        // A host is compared in its normal form.
        assert_eq!("host:Order.Local.".parse::<Loss>().unwrap().to_string(), "host:order.local");
    }

    #[test]
    fn another_form_is_an_error_that_lists_the_forms() {
        for text in
            ["order/v1", "listener:demo", "route:demo/ingress", "hosts:a", "listener:a/b/c", ""]
        {
            let error = text.parse::<Loss>().unwrap_err().to_string();
            assert!(error.contains("host:HOST"), "{error}");
        }
        for text in ["version:order", "service:a b", "host:a b", "fleet:"] {
            assert!(text.parse::<Loss>().is_err(), "{text}");
        }
    }
}
