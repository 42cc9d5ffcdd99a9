//! The declared services: their versions, endpoints, plans and guardrails.
//!
//! This is the resolved form, with every default filled in; `config` makes it from the YAML.

use crate::judge::guardrails::Guardrails;
use crate::model::commit::Commit;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use tidegate_core::config::{Exclusion, IdentitySource};
use tidegate_core::host::Host;

use crate::model::dns::Dns;
use crate::model::hook::{Hook, MAX_HOOKS};
use crate::model::istio::{IstioEnvironments, IstioService, IstioTarget};
use crate::model::plan::{Plan, PlanError};
use crate::names::{ServiceName, VersionName};

/// Most endpoints of a version.
pub const MAX_ENDPOINTS: usize = 1000;
/// Most versions of a service: each is a cluster in every sidecar.
pub const MAX_VERSIONS: usize = 200;

/// One service as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Its name.
    pub name: ServiceName,
    /// The hosts whose requests it receives.
    pub hosts: Vec<Host>,
    /// The sources of the identity of a user; the first that is present counts.
    pub identity: Vec<IdentitySource>,
    /// Its host in Istio's registry, if fleets of an Istio mesh call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub istio: Option<IstioService>,
    /// The versions that are deployed now. For blue/green: at most one in each environment.
    pub versions: BTreeMap<VersionName, VersionSpec>,
    /// The stable version before the first release.
    pub stable: VersionName,
    /// Blue/green services: the two places where a version can be deployed.
    pub environments: Option<Environments>,
    /// The plan of its releases, unless the start command has one.
    pub plan: Plan,
    /// The guardrails of its releases.
    pub guardrails: Guardrails,
    /// Requests that are no evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<Exclusion>,
    /// The hooks of its releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// The DNS name that follows its active environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
}

/// Where a version is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionSpec {
    /// At least one, or none if Istio has its endpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// Its subset or host in Istio: present if its service has one. For blue/green that of its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub istio: Option<IstioTarget>,
    /// Its environment, for blue/green services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The commit that it was built from: that of its releases, unless they name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
}

impl VersionSpec {
    /// The hosts of its endpoints, each once.
    pub fn hosts(&self) -> impl Iterator<Item = &String> {
        let hosts: BTreeSet<_> = self.endpoints.iter().map(|it| &it.host).collect();
        hosts.into_iter()
    }
}

/// `host:port`. An IP address is served by EDS; a DNS name is resolved by Envoy itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// IP address or DNS name.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

/// One of the two environments of a blue/green service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Blue.
    Blue,
    /// Green.
    Green,
}

impl Environment {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Blue, Self::Green];

    /// The opposite environment.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blue => "blue",
            Self::Green => "green",
        })
    }
}

/// The endpoints of both environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environments {
    /// Blue's.
    pub blue: Vec<Endpoint>,
    /// Green's.
    pub green: Vec<Endpoint>,
    /// Their targets in Istio, if the service has a host there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub istio: Option<IstioEnvironments>,
}

impl Environments {
    /// The endpoints of one environment.
    #[must_use]
    pub fn endpoints(&self, environment: Environment) -> &[Endpoint] {
        match environment {
            Environment::Blue => &self.blue,
            Environment::Green => &self.green,
        }
    }

    /// The target of one environment in Istio.
    #[must_use]
    pub fn istio(&self, environment: Environment) -> Option<&IstioTarget> {
        self.istio.as_ref().map(|istio| match environment {
            Environment::Blue => &istio.blue,
            Environment::Green => &istio.green,
        })
    }
}

/// Why a service or a version is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The stable version is not declared.
    #[error("its stable version `{0}` is not among its versions")]
    UnknownStable(VersionName),
    /// Two versions in one environment.
    #[error("its versions `{first}` and `{second}` are both in {environment}")]
    SharedEnvironment {
        /// The environment.
        environment: Environment,
        /// One version in it.
        first: VersionName,
        /// The other.
        second: VersionName,
    },
    /// Too many versions.
    #[error(
        "a service may have at most {MAX_VERSIONS} versions: deploy over the name of one that no longer serves"
    )]
    TooManyVersions,
    /// No endpoints, or too many.
    #[error("version `{0}` needs 1 to {MAX_ENDPOINTS} endpoints")]
    Endpoints(VersionName),
    /// Probes of a version whose instances are known to Istio alone.
    #[error(
        "version `{0}` has no endpoints, so its smoke tests and health checks cannot be sent; list them, or remove the tests"
    )]
    Unprobeable(VersionName),
    /// A version of a service with a host in Istio that has no target there, or the other way round.
    #[error(
        "version `{0}` needs `istio: {{subset: …}}` or `istio: {{host: …}}` exactly if its service has `istio`"
    )]
    IstioTarget(VersionName),
    /// Environments of a service with a host in Istio that have no targets there, or the other way round.
    #[error("its environments need `istio` exactly if the service has it")]
    IstioEnvironments,
    /// Two versions with one target.
    #[error(
        "its versions `{first}` and `{second}` have one target in Istio: subsets differ in name and labels, hosts in name"
    )]
    SharedTarget {
        /// One version.
        first: VersionName,
        /// The other.
        second: VersionName,
    },
    /// Two environments with one target.
    #[error(
        "its environments have one target in Istio: subsets differ in name and labels, hosts in name"
    )]
    SharedEnvironmentTarget,
    /// An invalid endpoint.
    #[error(
        "`{host}:{port}` is not an endpoint: it must be an IP address or a DNS name, and a port from 1 to 65535"
    )]
    BadEndpoint {
        /// The host, clipped.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A version of a blue/green service without an environment.
    #[error("version `{0}` needs an environment, blue or green, because its service has both")]
    NoEnvironment(VersionName),
    /// An environment of a service without environments.
    #[error("version `{0}` is in an environment, but its service has none")]
    StrayEnvironment(VersionName),
    /// Too many hooks.
    #[error("a service may have at most {MAX_HOOKS} hooks")]
    TooManyHooks,
    /// DNS records of a service without environments.
    #[error("only a service with environments has DNS records that follow the active one")]
    StrayDns,
    /// The plan is invalid.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl ServiceSpec {
    /// Checks the declaration.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn validate(&self) -> Result<(), SpecError> {
        if !self.versions.contains_key(&self.stable) {
            return Err(SpecError::UnknownStable(self.stable.clone()));
        }
        if self.versions.len() > MAX_VERSIONS {
            return Err(SpecError::TooManyVersions);
        }
        if self.hooks.len() > MAX_HOOKS {
            return Err(SpecError::TooManyHooks);
        }
        if self.dns.is_some() && self.environments.is_none() {
            return Err(SpecError::StrayDns);
        }
        self.validate_istio()?;
        let mut taken = BTreeMap::new();
        for (name, version) in &self.versions {
            self.validate_version(name, version)?;
            let Some(environment) = version.environment else {
                continue;
            };
            if let Some(first) = taken.insert(environment, name) {
                return Err(SpecError::SharedEnvironment {
                    environment,
                    first: first.clone(),
                    second: name.clone(),
                });
            }
        }
        Ok(self.plan.validate()?)
    }

    /// Checks the targets of environments and versions in Istio against each other.
    fn validate_istio(&self) -> Result<(), SpecError> {
        if let Some(environments) = &self.environments {
            match &environments.istio {
                Some(istio) if istio.blue.overlaps(&istio.green) => {
                    return Err(SpecError::SharedEnvironmentTarget);
                }
                targets if targets.is_some() != self.istio.is_some() => {
                    return Err(SpecError::IstioEnvironments);
                }
                _ => {}
            }
        }
        let targets: Vec<_> = self
            .versions
            .iter()
            .filter_map(|(name, it)| Some((name, it.istio.as_ref()?)))
            .collect();
        for (number, (second, target)) in targets.iter().enumerate() {
            let mut before = targets.iter().take(number);
            if let Some((first, _)) = before.find(|(_, it)| it.overlaps(target)) {
                let (first, second) = ((*first).clone(), (*second).clone());
                return Err(SpecError::SharedTarget { first, second });
            }
        }
        Ok(())
    }

    /// Checks a version of this service.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn validate_version(
        &self,
        name: &VersionName,
        version: &VersionSpec,
    ) -> Result<(), SpecError> {
        let least = usize::from(self.istio.is_none());
        if !(least..=MAX_ENDPOINTS).contains(&version.endpoints.len()) {
            return Err(SpecError::Endpoints(name.clone()));
        }
        if version.istio.is_some() != self.istio.is_some() {
            return Err(SpecError::IstioTarget(name.clone()));
        }
        version.validate_probes(name, &self.plan)?;
        match (self.environments.is_some(), version.environment) {
            (true, None) => Err(SpecError::NoEnvironment(name.clone())),
            (false, Some(_)) => Err(SpecError::StrayEnvironment(name.clone())),
            _ => version.endpoints.iter().try_for_each(Endpoint::validate),
        }
    }
}

impl VersionSpec {
    /// Checks that the smoke tests and health checks of a plan have instances to be sent to.
    ///
    /// # Errors
    /// When it has tests and the version no endpoints.
    pub fn validate_probes(&self, name: &VersionName, plan: &Plan) -> Result<(), SpecError> {
        let probes = plan.health.is_some() || !plan.smoke_tests.is_empty();
        if probes && self.endpoints.is_empty() {
            return Err(SpecError::Unprobeable(name.clone()));
        }
        Ok(())
    }
}

/// `host:port`; an IPv6 address in brackets.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Endpoint {
    fn validate(&self) -> Result<(), SpecError> {
        let dns = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let named = (1..=253).contains(&self.host.len()) && self.host.bytes().all(dns);
        let known = named || self.host.parse::<std::net::IpAddr>().is_ok();
        if known && self.port != 0 {
            return Ok(());
        }
        Err(SpecError::BadEndpoint { host: self.host.chars().take(60).collect(), port: self.port })
    }
}
