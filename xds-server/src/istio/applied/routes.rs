//! The routes of a service: tokens, the default, and what hides errors of a version.

use super::Findings;
use super::files::Document;
use crate::config::tree::Tree;
use crate::istio::manifests::{Route, ServiceRoutes, service_routes};
use crate::istio::tokens::Keys;
use tidegate_core::config::VERSION_HEADER;
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::model::istio::{IstioHost, IstioService, IstioTarget};

const NETWORKING: &str = "networking.istio.io";
const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// Checks the objects of one service.
pub(super) fn check(
    service: &ServiceSpec,
    documents: &[Document],
    keys: Option<&Keys>,
    findings: &mut Findings,
) {
    // A service without a target for its stable version is an error of the configuration.
    let (Some(istio), Ok(routes)) = (&service.istio, service_routes(service)) else { return };
    check_subsets(istio, &routes, documents, findings);
    let has_host = |document: &&Document| {
        let mut hosts = document.tree.items(&["spec", "hosts"]).iter();
        hosts.any(|it| it.text(&[]).is_some_and(|it| names(it, document, &istio.host)))
    };
    let of_kind = documents.iter().filter(|it| it.is(NETWORKING, "VirtualService"));
    let virtual_services: Vec<_> = of_kind.filter(has_host).collect();
    let http_routes = documents.iter().filter(|it| it.is(GATEWAY_API, "HTTPRoute"));
    let is_parent = |route: &&Document| {
        route.tree.items(&["spec", "parentRefs"]).iter().any(|parent| {
            let namespace = parent.text(&["namespace"]).unwrap_or(route.namespace());
            let name = parent.text(&["name"]).unwrap_or_default();
            parent.text(&["kind"]) == Some("Service")
                && istio.host.namespace() == Some(namespace)
                && istio.host.as_str().split('.').next() == Some(name)
        })
    };
    let http_routes: Vec<_> = http_routes.filter(is_parent).collect();
    if let Some(second) = virtual_services.get(1) {
        findings.add(
            (second, second.span(&["spec", "hosts"])),
            format!(
                "two VirtualServices have the host `{}`; Istio applies one of them",
                istio.host
            ),
            "merge them, with the routes of Tidegate first",
        );
    }
    let context = Context { service, istio, routes: &routes, keys };
    match (virtual_services.first(), http_routes.as_slice()) {
        (Some(document), _) => context.virtual_service(document, findings),
        (None, []) => findings.missing(
            format!(
                "no VirtualService and no HTTPRoute routes `{}` of service `{}`",
                istio.host, service.name
            ),
            format!("add one: tidegate envoy istio {}", service.name),
        ),
        (None, documents) => {
            for document in documents {
                context.http_route(document, findings);
            }
        }
    }
}

/// Whether a host in an object is this one. Istio completes short names with the namespace of the object.
fn names(text: &str, document: &Document, host: &IstioHost) -> bool {
    let text = text.to_ascii_lowercase();
    if text == host.as_str() {
        return true;
    }
    let Some(rest) = host.as_str().strip_prefix(&text) else { return false };
    let rest = rest.strip_prefix('.').unwrap_or_default();
    match text.matches('.').count() {
        0 => host.namespace() == Some(document.namespace()),
        1 => rest.starts_with("svc."),
        2 => text.ends_with(".svc"),
        _ => false,
    }
}

/// Every subset exists with its labels, and nothing ejects hosts.
fn check_subsets(
    istio: &IstioService,
    routes: &ServiceRoutes<'_>,
    documents: &[Document],
    findings: &mut Findings,
) {
    let rules: Vec<_> = documents
        .iter()
        .filter(|it| it.is(NETWORKING, "DestinationRule"))
        .filter(|it| {
            it.tree.text(&["spec", "host"]).is_some_and(|host| names(host, it, &istio.host))
        })
        .collect();
    for rule in &rules {
        let mut found = Vec::new();
        rule.tree.find_all("outlierDetection", &mut found);
        for it in found {
            findings.add(
                (rule, it.span),
                "outlier detection ejects pods that fail, which hides errors of a version from the guardrails",
                "remove it",
            );
        }
    }
    for route in &routes.of_versions {
        let IstioTarget::Subset(subset) = route.target else { continue };
        let name = subset.name.as_str();
        let declared = rules.iter().find_map(|rule| {
            let mut subsets = rule.tree.items(&["spec", "subsets"]).iter();
            subsets.find(|it| it.text(&["name"]) == Some(name)).map(|it| (rule, it))
        });
        let labels = || {
            let labels = subset.labels.get().iter().map(|(key, value)| format!("{key}: {value}"));
            labels.collect::<Vec<_>>().join(", ")
        };
        let fix = format!("add {{name: {name}, labels: {{{}}}}}", labels());
        match declared {
            None => match rules.first() {
                Some(rule) => findings.add(
                    (rule, rule.span(&["spec", "subsets"])),
                    format!(
                        "the subset `{name}` of `{}` is missing, so its requests fail with 503",
                        istio.host
                    ),
                    fix,
                ),
                None => findings.missing(
                    format!("no DestinationRule of `{}` declares the subset `{name}`", istio.host),
                    fix,
                ),
            },
            Some((rule, declared)) => {
                let its: Vec<_> = declared.entries(&["labels"]).collect();
                let same = its.len() == subset.labels.get().len()
                    && its.iter().all(|(key, value)| {
                        subset.labels.get().get(*key).map(String::as_str) == value.text(&[])
                    });
                if !same {
                    findings.add(
                        (rule, declared.at(&["labels"]).unwrap_or(declared).span),
                        format!("the subset `{name}` has other labels than in the configuration"),
                        format!(
                            "write labels: {{{}}}, or change `labels` of the version",
                            labels()
                        ),
                    );
                }
            }
        }
    }
}

struct Context<'a> {
    service: &'a ServiceSpec,
    istio: &'a IstioService,
    routes: &'a ServiceRoutes<'a>,
    keys: Option<&'a Keys>,
}

impl Context<'_> {
    fn virtual_service(&self, document: &Document, findings: &mut Findings) {
        let rules = document.tree.items(&["spec", "http"]);
        for rule in rules {
            let name = rule.text(&["name"]).unwrap_or("without name");
            let mut add = |at: &Tree, message: String, fix: &str| {
                findings.add((document, at.span), message, fix);
            };
            let retries = rule.at(&["retries"]);
            if rule.text(&["retries", "attempts"]) != Some("0") && rule.at(&["redirect"]).is_none()
            {
                let what = "retries failed requests on another pod, which hides errors of a version from the guardrails";
                let by_default = if retries.is_none() { " twice (the default)" } else { "" };
                let message = format!("route `{name}`{by_default} {what}");
                add(retries.unwrap_or(rule), message, "write retries: {attempts: 0}");
            }
            let destinations = rule.items(&["route"]);
            if let Some(second) = destinations.get(1) {
                add(
                    second,
                    format!(
                        "route `{name}` divides requests by weight, which Tidegate neither controls nor measures"
                    ),
                    "write a route to one version for each token, as `tidegate envoy istio` prints them",
                );
            }
            if !tokens(rule).is_empty() && !removes_token(rule) {
                let message = format!(
                    "route `{name}` passes the token to the service, which a client of it could learn"
                );
                add(
                    rule,
                    message,
                    "write headers: {request: {remove: [x-tidegate-version, x-tidegate-bucket]}}",
                );
            }
        }
        let leads_to = |rule: &Tree, target: &IstioTarget| {
            rule.items(&["route"]).first().is_some_and(|it| self.is_target(it, document, target))
        };
        let default = rules.iter().position(|rule| rule.items(&["match"]).is_empty());
        self.tokens(document, rules, default, &leads_to, findings);
        match default.and_then(|index| rules.get(index)) {
            Some(rule) if leads_to(rule, self.routes.stable.target) => {}
            Some(rule) => findings.add(
                (document, rule.span),
                format!(
                    "requests without token do not reach the stable version of `{}`, `{}`",
                    self.service.name, self.service.stable
                ),
                "write its destination, or change `stable` in the configuration",
            ),
            None => findings.add(
                (document, document.span(&["spec", "http"])),
                format!(
                    "no route takes requests to `{}` without token, so they fail with 404",
                    self.istio.host
                ),
                "add a last route without `match` to the stable version",
            ),
        }
    }

    /// The tokens of every version are matched by a route to it that precedes the default.
    fn tokens(
        &self,
        document: &Document,
        rules: &[Tree],
        default: Option<usize>,
        leads_to: &dyn Fn(&Tree, &IstioTarget) -> bool,
        findings: &mut Findings,
    ) {
        let Some(keys) = self.keys else { return };
        for route in &self.routes.of_versions {
            for key in keys.matched() {
                let token = key.of_route(&self.service.name, &route.name);
                let position = rules.iter().position(|rule| tokens(rule).contains(&token.as_str()));
                let Some((index, rule)) = position.and_then(|it| Some((it, rules.get(it)?))) else {
                    findings.add(
                        (document, document.span(&["spec", "http"])),
                        format!(
                            "no route matches the token of {} with key {}",
                            self.shown(route),
                            key.id()
                        ),
                        format!("apply what `tidegate envoy istio {}` prints", self.service.name),
                    );
                    continue;
                };
                if default.is_some_and(|default| default < index) {
                    let message = format!(
                        "the route to {} follows one that takes every request",
                        self.shown(route)
                    );
                    findings.add((document, rule.span), message, "move it before that route");
                }
                if !leads_to(rule, route.target) {
                    findings.add(
                        (document, rule.span),
                        format!(
                            "the token of {} leads elsewhere than to {}",
                            self.shown(route),
                            route.target
                        ),
                        "correct the destination",
                    );
                }
            }
        }
    }

    fn shown(&self, route: &Route<'_>) -> String {
        format!("`{}/{}`", self.service.name, route.name)
    }

    fn is_target(&self, route: &Tree, document: &Document, target: &IstioTarget) -> bool {
        let host = route.text(&["destination", "host"]).unwrap_or_default();
        let subset = route.text(&["destination", "subset"]);
        match target {
            IstioTarget::Subset(it) => {
                names(host, document, &self.istio.host) && subset == Some(it.name.as_str())
            }
            IstioTarget::Host(it) => names(host, document, it) && subset.is_none(),
        }
    }

    /// Its retries cannot be switched off; that is a limit of the kind, not a problem of the object.
    fn http_route(&self, document: &Document, findings: &mut Findings) {
        let rules = document.tree.items(&["spec", "rules"]);
        for rule in rules {
            if let Some(second) = rule.items(&["backendRefs"]).get(1) {
                findings.add(
                    (document, second.span),
                    "a rule divides requests by weight, which Tidegate neither controls nor measures",
                    "write a rule to one version for each token, as `tidegate envoy istio --gateway-api` prints them",
                );
            }
        }
        let leads_to = |rule: &Tree, target: &IstioTarget| {
            let IstioTarget::Host(host) = target else { return false };
            rule.items(&["backendRefs"]).first().is_some_and(|backend| {
                let namespace = backend.text(&["namespace"]).unwrap_or(document.namespace());
                let name = backend.text(&["name"]).unwrap_or_default();
                host.namespace() == Some(namespace) && host.as_str().split('.').next() == Some(name)
            })
        };
        // Rules are sorted: one without matches is always the last.
        self.tokens(document, rules, None, &leads_to, findings);
    }
}

/// The tokens that a rule matches, of a VirtualService or an HTTPRoute.
fn tokens(rule: &Tree) -> Vec<&str> {
    let exact = rule.items(&["match"]).iter();
    let exact = exact.filter_map(|it| it.text(&["headers", VERSION_HEADER, "exact"]));
    let headers = rule.items(&["matches"]).iter().flat_map(|it| it.items(&["headers"]));
    let headers = headers.filter(|it| it.text(&["name"]) == Some(VERSION_HEADER));
    exact.chain(headers.filter_map(|it| it.text(&["value"]))).collect()
}

fn removes_token(rule: &Tree) -> bool {
    let removed = rule.items(&["headers", "request", "remove"]);
    removed.iter().any(|it| it.text(&[]) == Some(VERSION_HEADER))
}
