//! Routing in an Istio mesh: the service and version of a cluster, and the version for a user.
//!
//! Envoy has selected a route before the filter runs, so its cluster tells the service. Names of
//! clusters are the only source, because `Host` has many spellings:
//!
//! | Cluster | Service and version |
//! |---|---|
//! | `outbound\|PORT\|SUBSET\|HOST` | by host and subset, at a sidecar or gateway |
//! | `outbound\|PORT\|\|HOST` | by host, which is the service's or a version's own |
//! | `inbound-vip\|PORT\|http/SUBSET\|HOST`, `inbound-vip\|PORT\|http\|HOST` | likewise, at a waypoint |
//! | `inbound\|PORT\|\|` | none: the request has arrived, and its sender has counted it |

use super::request::{Headers, Request};
use super::{
    ClusterVersion, Router, ServiceIndex, error::RouterError, identity::GeneratedIdentity,
};
use crate::config::{
    BUCKETS,
    istio::{IstioMesh, IstioService, IstioTarget, RouteToken},
};
use crate::report::Client;

/// The compiled part of the configuration for Istio.
#[derive(Debug)]
pub(super) struct IstioRoutes {
    /// Ascending by cluster.
    clusters: Vec<(Cluster<Box<str>>, Destination)>,
    /// By service; `None` for a service that Istio does not route.
    services: Vec<Option<Versions>>,
}

/// The parts of a cluster's name that select service and version. The subset may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cluster<S> {
    host: S,
    port: u16,
    subset: S,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Destination {
    service: ServiceIndex,
    version: Option<VersionIndex>,
}

/// Index into [`Versions::all`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct VersionIndex(usize);

#[derive(Debug)]
struct Versions {
    all: Vec<(Box<str>, RouteToken)>,
    /// The first bucket above each share, ascending, and its version. Not empty.
    split: Vec<(u32, VersionIndex)>,
}

struct Choice {
    version: VersionIndex,
    client: Option<Client>,
    generated: Option<GeneratedIdentity>,
}

/// Routing decision for one request in an Istio mesh.
#[derive(Debug, PartialEq, Eq)]
pub struct IstioDecision<'r> {
    /// The service of the route's cluster.
    pub service: ServiceIndex,
    /// The token that selects the route to the chosen version. `None` if the request is on it.
    pub token: Option<&'r RouteToken>,
    /// The client; `None` for a request without identity, and while neither a release runs nor the
    /// version depends on the identity: then it is not read.
    pub client: Option<Client>,
    /// Set for a user without identity whose version depends on it. The filter must add its
    /// `Set-Cookie` to the response.
    pub generated: Option<GeneratedIdentity>,
}

/// The route that Envoy selected before the filter ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelectedRoute<'a> {
    /// Name of its cluster.
    pub cluster: &'a str,
    /// Whether it was selected by a header that the client sent and the filter removed. Then only
    /// its service is right.
    pub is_forged: bool,
}

/// Decisions in an Istio mesh, of a [`Router`].
#[derive(Debug, Clone, Copy)]
pub struct IstioRouter<'r> {
    pub(super) router: &'r Router,
    pub(super) routes: &'r IstioRoutes,
}

impl<'r> IstioRouter<'r> {
    /// Decides which version serves a request; `None` if its cluster belongs to no service.
    pub fn decide<R: Request + ?Sized>(
        self,
        route: SelectedRoute<'_>,
        request: &R,
    ) -> Option<IstioDecision<'r>> {
        let Destination { service, version: current } = self.routes.find(route.cluster)?;
        let versions = self.routes.services.get(service.0)?.as_ref()?;
        let Choice { version, client, generated } = self.choose(service, versions, request)?;
        let (_, token) = versions.all.get(version.0)?;
        let is_there = current == Some(version) && !route.is_forged;
        Some(IstioDecision { service, token: (!is_there).then_some(token), client, generated })
    }

    /// The version for a request. The identity is read only if the version depends on it, or its
    /// failures are evidence.
    fn choose<R: Request + ?Sized>(
        self,
        index: ServiceIndex,
        versions: &'r Versions,
        request: &R,
    ) -> Option<Choice> {
        let service = self.router.services.get(index.0)?;
        let headers = Headers::new(request, &self.router.headers);
        if service.flags.is_empty()
            && let [(_, version)] = *versions.split
        {
            let is_evidence = !service.release.is_empty();
            let identity = is_evidence.then(|| service.identity(&headers)).flatten();
            let client = identity.map(|identity| service.client(identity));
            return Some(Choice { version, client, generated: None });
        }
        let user = service.user(&headers);
        let pin = self.router.pin(service, &user.identity, &headers);
        let pinned = pin.and_then(|name| versions.position(name));
        let chosen = pinned.or_else(|| {
            let bucket = service.bucket(&user.identity);
            versions.split.iter().find(|(below, _)| bucket < *below).map(|(_, version)| *version)
        })?;
        let client = service.client_of(&user);
        Some(Choice { version: chosen, client, generated: user.generated })
    }
}

impl IstioRoutes {
    /// Service and version of a cluster. `None` without a version.
    pub(super) fn version_of_cluster(&self, cluster: &str) -> Option<ClusterVersion<'_>> {
        let Destination { service, version } = self.find(cluster)?;
        let versions = self.services.get(service.0)?.as_ref()?;
        let (version, _) = versions.all.get(version?.0)?;
        Some(ClusterVersion { service, version })
    }

    /// A subset that no version has leads to the service all the same.
    fn find(&self, cluster: &str) -> Option<Destination> {
        let cluster = Cluster::parse(cluster)?;
        let find = |subset| {
            let wanted = Cluster { subset, ..cluster };
            let at = self.clusters.binary_search_by(|(known, _)| known.borrowed().cmp(&wanted));
            self.clusters.get(at.ok()?).map(|(_, destination)| *destination)
        };
        find(cluster.subset).or_else(|| find(""))
    }
}

impl Versions {
    fn position(&self, name: &str) -> Option<VersionIndex> {
        self.all.iter().position(|(known, _)| **known == *name).map(VersionIndex)
    }
}

impl Cluster<Box<str>> {
    fn new(host: &str, port: u16, subset: &str) -> Self {
        Self { host: host.into(), port, subset: subset.into() }
    }

    fn borrowed(&self) -> Cluster<&str> {
        Cluster { host: &self.host, port: self.port, subset: &self.subset }
    }
}

impl<'a> Cluster<&'a str> {
    /// Of the forms in the table of the module.
    fn parse(name: &'a str) -> Option<Self> {
        let mut parts = name.splitn(4, '|');
        let (direction, port) = (parts.next()?, parts.next()?.parse().ok()?);
        let (subset, host) = (parts.next()?, parts.next()?);
        let subset = match direction {
            "outbound" => subset,
            "inbound-vip" => match subset.strip_prefix("http")? {
                "" => "",
                named => named.strip_prefix('/')?,
            },
            _ => return None,
        };
        Some(Self { host, port, subset })
    }
}

/// Compiles the configuration of the services with these names, which are ascending.
pub(super) fn compile(
    mesh: &IstioMesh,
    names: &[(Box<str>, ServiceIndex)],
) -> Result<IstioRoutes, RouterError> {
    let mut services: Vec<Option<Versions>> = names.iter().map(|_| None).collect();
    let mut clusters = Vec::new();
    for service in &mesh.services {
        let at = names.binary_search_by(|(known, _)| known.as_ref().cmp(&service.service));
        let known = at.ok().and_then(|at| names.get(at));
        let &(_, index) =
            known.ok_or_else(|| RouterError::UnknownService(service.service.clone()))?;
        let slot = services.get_mut(index.0).filter(|slot| slot.is_none());
        let slot = slot.ok_or_else(|| RouterError::DuplicateService(service.service.clone()))?;
        *slot = Some(versions(service)?);
        clusters.extend(destinations(service, index));
    }
    clusters.sort_by(|(a, _), (b, _)| a.cmp(b));
    let twice = clusters.windows(2).find_map(|pair| match pair {
        [(a, _), (b, _)] if a == b => Some(a),
        _ => None,
    });
    match twice {
        Some(Cluster { host, port, subset }) => {
            Err(RouterError::DuplicateTarget(format!("outbound|{port}|{subset}|{host}")))
        }
        None => Ok(IstioRoutes { clusters, services }),
    }
}

fn versions(service: &IstioService) -> Result<Versions, RouterError> {
    let all = service.versions.iter().map(|it| (it.name.as_str().into(), it.token.clone()));
    let mut versions = Versions { all: all.collect(), split: Vec::new() };
    let invalid = || RouterError::Split(service.service.clone());
    let mut lower = 0;
    for share in &service.split {
        if share.below <= lower {
            return Err(invalid());
        }
        lower = share.below;
        let version = versions.position(&share.version).ok_or_else(invalid)?;
        versions.split.push((share.below, version));
    }
    if lower == BUCKETS { Ok(versions) } else { Err(invalid()) }
}

/// The clusters of a service: its own, without a version unless one has the same target, and those
/// of its versions.
fn destinations(
    service: &IstioService,
    index: ServiceIndex,
) -> impl Iterator<Item = (Cluster<Box<str>>, Destination)> + '_ {
    let versions = service.versions.iter().enumerate().map(move |(at, version)| {
        let cluster = match &version.target {
            IstioTarget::Subset(subset) => Cluster::new(&service.host, service.port, subset),
            IstioTarget::Host(host) => Cluster::new(host, service.port, ""),
        };
        (cluster, Destination { service: index, version: Some(VersionIndex(at)) })
    });
    let has_own_host = service
        .versions
        .iter()
        .any(|version| matches!(&version.target, IstioTarget::Host(host) if *host == service.host));
    let own = (!has_own_host).then(|| {
        let cluster = Cluster::new(&service.host, service.port, "");
        (cluster, Destination { service: index, version: None })
    });
    versions.chain(own)
}
