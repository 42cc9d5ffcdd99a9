//! The routes to the versions of a service: VirtualService and DestinationRule, or HTTPRoute.

use std::collections::BTreeMap;

use serde_saphyr::DoubleQuoted;
use tidegate_core::config::{BUCKET_HEADER, VERSION_HEADER};
use tidegate_delivery::model::catalogue::{Environment, ServiceSpec};
use tidegate_delivery::model::istio::{IstioHost, IstioService, IstioTarget};
use tidegate_xds::tokens::TokenKey;

use super::{Manifest, ManifestError, Options, ROOT_NAMESPACE, RouteKind};
use crate::istio::objects::{
    BackendRef, Destination, DestinationRule, Exact, HeaderFilter, HeaderOperations, Headers,
    HttpMatch, HttpRoute, HttpRouteHeader, HttpRouteMatch, HttpRouteRule, HttpRule, Metadata,
    ModifiedHeaders, ParentRef, Retries, RouteDestination, Subset, VirtualService,
};
use crate::istio::tokens::Keys;

/// Most rules of an HTTPRoute; one of them is that of stable.
pub(super) const MAX_HTTP_ROUTE_RULES: usize = 16;
/// Removed from requests: the service sees neither token nor bucket.
const OWN_HEADERS: [&str; 2] = [VERSION_HEADER, BUCKET_HEADER];

/// A route of a service: of a version, or of an environment, which keeps its token when a version is deployed to it.
pub(in crate::istio) struct Route<'a> {
    pub(in crate::istio) name: String,
    pub(in crate::istio) target: &'a IstioTarget,
}

/// The routes of a service.
pub(in crate::istio) struct ServiceRoutes<'a> {
    /// Each matches a token.
    pub(in crate::istio) of_versions: Vec<Route<'a>>,
    /// Takes every other request: the declared stable version.
    pub(in crate::istio) stable: Route<'a>,
}

pub(in crate::istio) fn service_routes(
    service: &ServiceSpec,
) -> Result<ServiceRoutes<'_>, ManifestError> {
    let missing = || ManifestError::NoTarget {
        service: service.name.clone(),
        version: service.stable.clone(),
    };
    let stable = service.versions.get(&service.stable).ok_or_else(missing)?;
    let target = stable.istio.as_ref().ok_or_else(missing)?;
    let of_versions = match &service.environments {
        Some(environments) => {
            let route = |it: &Environment| {
                Some(Route { name: it.to_string(), target: environments.istio(*it)? })
            };
            Environment::ALL.iter().filter_map(route).collect()
        }
        None => {
            let versions = service.versions.iter();
            let target = versions.filter_map(|(name, it)| Some((name, it.istio.as_ref()?)));
            target.map(|(name, target)| Route { name: name.to_string(), target }).collect()
        }
    };
    Ok(ServiceRoutes { of_versions, stable: Route { name: "stable".to_owned(), target } })
}

/// The objects of one service.
pub(super) fn manifests(
    service: &ServiceSpec,
    keys: &Keys,
    options: &Options,
) -> Result<Vec<Manifest>, ManifestError> {
    let ServiceRoutes { of_versions: routes, stable } = service_routes(service)?;
    let Some(istio) = &service.istio else {
        let (service, version) = (service.name.clone(), service.stable.clone());
        return Err(ManifestError::NoTarget { service, version });
    };
    match options.routes {
        RouteKind::VirtualService => {
            let rule = destination_rule(istio, &routes);
            let rules = virtual_service(service, istio, &routes, &stable, keys, options);
            Ok(rule.into_iter().chain([rules]).collect())
        }
        RouteKind::HttpRoute => Ok(vec![http_route(service, istio, &routes, &stable, keys)?]),
    }
}

/// Name and namespace of the objects of a service.
fn metadata(host: &IstioHost) -> Metadata {
    match host.namespace() {
        Some(namespace) => Metadata::new(format!("{}-tidegate", short_name(host)), namespace),
        None => Metadata::new(format!("{host}-tidegate"), ROOT_NAMESPACE),
    }
}

/// The name of a Kubernetes Service.
fn short_name(host: &IstioHost) -> &str {
    host.as_str().split('.').next().unwrap_or_default()
}

/// `None` if no version is a subset.
fn destination_rule(istio: &IstioService, routes: &[Route<'_>]) -> Option<Manifest> {
    let subset = |route: &Route<'_>| match route.target {
        IstioTarget::Subset(subset) => {
            let labels = subset.labels.get().iter();
            let quoted =
                |(key, value): (&String, &String)| (key.clone(), DoubleQuoted(value.clone()));
            let name = DoubleQuoted(subset.name.to_string());
            Some(Subset { name, labels: labels.map(quoted).collect() })
        }
        IstioTarget::Host(_) => None,
    };
    let subsets: Vec<_> = routes.iter().filter_map(subset).collect();
    if subsets.is_empty() {
        return None;
    }
    let host = istio.host.to_string();
    Some(Manifest::new(
        &[
            "No trafficPolicy: outlier detection would hide a failing version from the guardrails.",
            "If the host has a DestinationRule already, add the subsets there instead.",
        ],
        (metadata(&istio.host), DestinationRule { host, subsets }),
    ))
}

fn virtual_service(
    service: &ServiceSpec,
    istio: &IstioService,
    routes: &[Route<'_>],
    stable: &Route<'_>,
    keys: &Keys,
    options: &Options,
) -> Manifest {
    let rule = |route: &Route<'_>, matches: Vec<HttpMatch>| HttpRule {
        name: format!("tidegate-{}", route.name),
        matches,
        route: vec![RouteDestination { destination: destination(istio, route.target) }],
        headers: Headers { request: HeaderOperations { remove: OWN_HEADERS.to_vec() } },
        // Unset means two retries, which hide failures of a version from the guardrails.
        retries: Retries { attempts: 0 },
    };
    let http_match = |key: &TokenKey, route: &Route<'_>| {
        let exact = Exact { exact: DoubleQuoted(key.of_route(&service.name, &route.name)) };
        HttpMatch { headers: BTreeMap::from([(VERSION_HEADER, exact)]) }
    };
    let mut http: Vec<_> = routes
        .iter()
        .map(|route| rule(route, keys.matched().map(|key| http_match(key, route)).collect()))
        .collect();
    http.push(rule(stable, Vec::new()));
    let mut hosts = vec![istio.host.to_string()];
    let mut gateways = Vec::new();
    if !options.gateways.is_empty() {
        let others = service.hosts.iter().filter(|host| *host != istio.host.host());
        hosts.extend(others.map(ToString::to_string));
        gateways = vec!["mesh".to_owned()];
        gateways.extend(options.gateways.iter().cloned());
    }
    Manifest::new(
        &[
            "Each route matches a token that the filter sends: keep this object from those who may not choose a version.",
            "Requests without token, of sidecars without filter too, take the last route.",
        ],
        (metadata(&istio.host), VirtualService { hosts, gateways, http }),
    )
}

fn destination(istio: &IstioService, target: &IstioTarget) -> Destination {
    match target {
        IstioTarget::Subset(subset) => Destination {
            host: istio.host.to_string(),
            subset: Some(DoubleQuoted(subset.name.to_string())),
        },
        IstioTarget::Host(host) => Destination { host: host.to_string(), subset: None },
    }
}

fn http_route(
    service: &ServiceSpec,
    istio: &IstioService,
    routes: &[Route<'_>],
    stable: &Route<'_>,
    keys: &Keys,
) -> Result<Manifest, ManifestError> {
    if routes.len() >= MAX_HTTP_ROUTE_RULES {
        let (service, versions) = (service.name.clone(), routes.len());
        return Err(ManifestError::TooManyRules { service, versions });
    }
    let not_a_service = |host: &IstioHost| ManifestError::NotAService {
        service: service.name.clone(),
        host: host.to_string(),
    };
    if istio.host.namespace().is_none() {
        return Err(not_a_service(&istio.host));
    }
    let rule = |route: &Route<'_>, matches: Vec<HttpRouteMatch>| {
        let IstioTarget::Host(host) = route.target else {
            let (service, version) = (service.name.clone(), route.name.clone());
            return Err(ManifestError::SubsetInHttpRoute { service, version });
        };
        let namespace = host.namespace().ok_or_else(|| not_a_service(host))?;
        Ok(HttpRouteRule {
            name: format!("tidegate-{}", route.name),
            matches,
            filters: vec![HeaderFilter {
                kind: "RequestHeaderModifier",
                request_header_modifier: ModifiedHeaders { remove: OWN_HEADERS.to_vec() },
            }],
            backend_refs: vec![BackendRef {
                name: short_name(host).to_owned(),
                namespace: namespace.to_owned(),
                port: istio.port.get(),
            }],
        })
    };
    let http_match = |key: &TokenKey, route: &Route<'_>| HttpRouteMatch {
        headers: vec![HttpRouteHeader {
            kind: "Exact",
            name: VERSION_HEADER,
            value: DoubleQuoted(key.of_route(&service.name, &route.name)),
        }],
    };
    let mut rules = Vec::new();
    for route in routes {
        let matches = keys.matched().map(|key| http_match(key, route)).collect();
        rules.push(rule(route, matches)?);
    }
    rules.push(rule(stable, Vec::new())?);
    let parent = ParentRef {
        group: "",
        kind: "Service",
        name: short_name(&istio.host).to_owned(),
        port: istio.port.get(),
    };
    Ok(Manifest::new(
        &[
            "Limits of HTTPRoutes in Istio: its rules are sorted, more specific ones first, so a rule of yours for the same",
            "Service with a path or more headers precedes these; and each failed request is retried twice on another pod, which",
            "hides failures of a version from the guardrails. VirtualServices have neither limit.",
        ],
        (metadata(&istio.host), HttpRoute { parent_refs: vec![parent], rules }),
    ))
}
