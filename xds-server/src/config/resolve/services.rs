//! Services, their versions and environments.

use std::collections::BTreeMap;
use std::path::Path;

use tidegate_core::config::{BUCKET_HEADER, IdentitySource, VERSION_HEADER};
use tidegate_core::host::Host;

use super::{UniqueNames, dns, evidence, guardrails, hooks, istio, name, plan, requirements};
use crate::config::problem::{Fault, Problems, suggest};
use crate::config::span::{Span, Spanned};
use crate::config::{raw, units};
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::model::catalogue::{
    Endpoint, Environment, Environments, ServiceSpec, VersionSpec,
};
use tidegate_delivery::model::istio::{IstioEnvironments, IstioService, IstioTarget};
use tidegate_delivery::model::plan::Plan;
use tidegate_delivery::names::{ServiceName, VersionName};

/// The services, completed with `defaults`.
pub(super) fn resolve(
    written: &Spanned<Vec<raw::Service>>,
    defaults: &Guardrails,
    base: &Path,
    problems: &mut Problems,
) -> Vec<ServiceSpec> {
    if written.get().is_empty() {
        problems.add(
            written.span(),
            "no service is defined",
            "add one with `name`, `hosts`, `strategy`, `stable` and `versions`",
        );
    }
    let (mut names, mut all_hosts, mut dns_names, mut istio_hosts) = Default::default();
    let mut services = Vec::new();
    for raw in written.get() {
        let (span, problems_before) = (raw.name.span(), problems.count());
        UniqueNames::check(&mut names, "service", raw.name.get(), "", span, problems);
        let in_istio = istio::service(raw, &mut istio_hosts, problems);
        let hosts = hosts(raw, in_istio.as_ref(), &mut all_hosts, problems);
        for source in &raw.identity {
            problems.record(source.span(), identity(source.get()));
        }
        let requirements = requirements::requirements(raw.requirements.as_ref(), problems);
        let plan = Plan { requirements, ..plan::resolve(raw.strategy.get(), problems) };
        let guardrails = guardrails::resolve(defaults, raw.guardrails.as_ref(), base, problems);
        let excluded = evidence::resolve(raw.evidence.as_ref(), problems);
        let hooks = hooks::resolve(&raw.hooks, base, problems);
        let name: Option<ServiceName> = problems.record(span, name(&raw.name));
        let deployment = match raw.strategy.get() {
            raw::Strategy::Canary(_) => canary(raw, problems),
            raw::Strategy::BlueGreen(_) => blue_green(raw, problems),
        };
        let Some((name, deployment)) = name.zip(deployment) else {
            continue;
        };
        let dns = raw
            .dns
            .as_ref()
            .and_then(|at| dns::resolve(at, deployment.environments.as_ref(), base, problems));
        if let (Some(at), Some(dns)) = (&raw.dns, &dns) {
            let (dns, name) = (&dns.name, name.as_str());
            UniqueNames::check(&mut dns_names, "DNS name", dns, name, at.span(), problems);
        }
        let spec = ServiceSpec {
            name,
            hosts,
            istio: in_istio,
            identity: raw.identity.iter().map(|at| lower(at.get())).collect(),
            versions: deployment.versions,
            stable: deployment.stable,
            environments: deployment.environments,
            plan,
            guardrails,
            excluded,
            hooks,
            dns,
        };
        // Invariants of the domain, unless a more precise error was recorded.
        if problems.count() == problems_before
            && let Err(error) = spec.validate()
        {
            let what = format!("service `{}`: {error}", spec.name);
            problems.add(span, what, "compare with the JSON Schema: tidegate schema");
        }
        services.push(spec);
    }
    services
}

/// The versions of a service, of either strategy.
struct Deployment {
    versions: BTreeMap<VersionName, VersionSpec>,
    stable: VersionName,
    environments: Option<Environments>,
}

fn hosts(
    raw: &raw::Service,
    istio: Option<&IstioService>,
    all: &mut UniqueNames,
    problems: &mut Problems,
) -> Vec<Host> {
    let service = raw.name.get();
    let written = match (&raw.hosts, &raw.istio) {
        (Some(at), _) => at,
        (None, Some(at)) => {
            let host = istio.map(|it| it.host.host().clone());
            if let Some(host) = &host {
                all.check("host", host.as_str(), service, at.get().host.span(), problems);
            }
            return host.into_iter().collect();
        }
        (None, None) => {
            let fix = "add `hosts`, such as hosts: [\"order.local\"]";
            problems.add(raw.name.span(), format!("service `{service}` has no `hosts`"), fix);
            return Vec::new();
        }
    };
    if written.get().is_empty() {
        problems.add(
            written.span(),
            format!("service `{service}` has no hosts"),
            "list at least one, such as [\"order.local\"]",
        );
    }
    let mut hosts = Vec::new();
    for at in written.get() {
        let host = problems.record(at.span(), units::host(at.get()));
        let Some(host) = host else { continue };
        all.check("host", host.as_str(), service, at.span(), problems);
        hosts.push(host);
    }
    hosts
}

/// Header names are case-insensitive, cookie names are not.
fn lower(source: &IdentitySource) -> IdentitySource {
    match source {
        IdentitySource::Header(name) => IdentitySource::Header(name.to_ascii_lowercase()),
        IdentitySource::Cookie(name) => IdentitySource::Cookie(name.clone()),
    }
}

fn identity(source: &IdentitySource) -> Result<(), Fault> {
    let (kind, name) = match source {
        IdentitySource::Header(name) => ("header", name),
        IdentitySource::Cookie(name) => ("cookie", name),
    };
    if !units::is_token(name) {
        return Err(Fault::new(
            format!("`{name}` is not a valid {kind} name"),
            "use letters, digits and `-`, such as x-user-id",
        ));
    }
    let own = [VERSION_HEADER, BUCKET_HEADER];
    if kind == "header" && own.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(Fault::new(
            format!("`{name}` is reserved and removed from client requests"),
            "use the header that has the user's ID, such as x-user-id",
        ));
    }
    Ok(())
}

fn canary(raw: &raw::Service, problems: &mut Problems) -> Option<Deployment> {
    let service = raw.name.get();
    for (key, span) in [
        ("environments", raw.environments.as_ref().map(Spanned::span)),
        ("active", raw.active.as_ref().map(Spanned::span)),
    ] {
        reject_key(key, span, "canary", "write `versions` and `stable` instead", problems);
    }
    let Some(written) = &raw.versions else {
        problems.add(
            raw.name.span(),
            format!("canary service `{service}` has no `versions`"),
            "add versions: [{name: v1, endpoints: [\"127.0.0.1:9101\"]}]",
        );
        return None;
    };
    let mut names = UniqueNames::default();
    let mut versions = BTreeMap::new();
    for version in written.get() {
        let span = version.name.span();
        names.check("version", version.name.get(), "", span, problems);
        let instances = Instances {
            name: version.name.get(),
            span,
            service: raw,
            endpoints: version.endpoints.as_ref(),
            istio: version.istio.as_ref(),
        };
        let (endpoints, istio) = (instances.endpoints(problems), instances.target(problems));
        let name = problems.record(span, name::<VersionName>(&version.name));
        versions.extend(name.map(|name| {
            let environment = None;
            (name, VersionSpec { endpoints, istio, environment, commit: None })
        }));
    }
    let targets: Vec<_> = written
        .get()
        .iter()
        .filter_map(|version| {
            let name = version.name.get().as_str();
            Some((name, version.istio.as_ref()?.span(), versions.get(name)?.istio.as_ref()?))
        })
        .collect();
    istio::check_targets(&targets, problems);
    let Some(at) = &raw.stable else {
        problems.add(
            raw.name.span(),
            format!("canary service `{service}` has no `stable` version"),
            "add `stable:` with the version that serves now",
        );
        return None;
    };
    let known = written.get().iter().map(|version| version.name.get().as_str());
    if !known.clone().any(|name| name == at.get()) {
        problems.add(
            at.span(),
            format!("service `{service}` has no version `{}`", at.get()),
            suggest(at.get(), known),
        );
        return None;
    }
    // An invalid name is reported where the version is declared.
    let stable = at.get().parse().ok()?;
    let environments = None;
    Some(Deployment { versions, stable, environments })
}

fn blue_green(raw: &raw::Service, problems: &mut Problems) -> Option<Deployment> {
    let service = raw.name.get();
    for (key, span) in [
        ("versions", raw.versions.as_ref().map(Spanned::span)),
        ("stable", raw.stable.as_ref().map(Spanned::span)),
    ] {
        let instead = "write `environments` and `active` instead";
        reject_key(key, span, "blue_green", instead, problems);
    }
    let Some(written) = &raw.environments else {
        problems.add(
            raw.name.span(),
            format!("blue/green service `{service}` has no `environments`"),
            "add environments: {blue: {endpoints: [..]}, green: {endpoints: [..]}}",
        );
        return None;
    };
    let Some(active) = &raw.active else {
        problems.add(
            raw.name.span(),
            format!("blue/green service `{service}` has no `active` environment"),
            "add `active: blue` or `active: green`",
        );
        return None;
    };
    let written = written.get();
    let span = raw.name.span();
    let (blue, green) =
        (instances("blue", &written.blue, raw), instances("green", &written.green, raw));
    let targets = blue.target(problems).zip(green.target(problems));
    if let (Some((blue, green)), Some(at)) = (&targets, &written.green.istio) {
        istio::check_targets(&[("blue", span, blue), ("green", at.span(), green)], problems);
    }
    let environments = Environments {
        blue: blue.endpoints(problems),
        green: green.endpoints(problems),
        istio: targets.map(|(blue, green)| IstioEnvironments { blue, green }),
    };
    let mut names = UniqueNames::default();
    let mut versions = BTreeMap::new();
    let mut stable = None;
    for (environment, deployed) in
        [(Environment::Blue, &written.blue), (Environment::Green, &written.green)]
    {
        let version = match &deployed.version {
            Some(at) => {
                names.check("version", at.get(), "", at.span(), problems);
                problems.record(at.span(), name::<VersionName>(at))
            }
            // The active version needs a name: by default that of its environment.
            None if environment == *active.get() => environment.to_string().parse().ok(),
            None => None,
        };
        let Some(version) = version else { continue };
        if environment == *active.get() {
            stable = Some(version.clone());
        }
        let spec = VersionSpec {
            endpoints: environments.endpoints(environment).to_vec(),
            istio: environments.istio(environment).cloned(),
            environment: Some(environment),
            commit: None,
        };
        versions.insert(version, spec);
    }
    Some(Deployment { versions, stable: stable?, environments: Some(environments) })
}

fn reject_key(
    key: &str,
    span: Option<Span>,
    strategy: &str,
    instead: &str,
    problems: &mut Problems,
) {
    if let Some(span) = span {
        let what = format!("`{key}` does not apply to strategy `{strategy}`");
        problems.add(span, what, instead);
    }
}

/// Where the versions of an environment are.
fn instances<'a>(
    name: &'a str,
    deployed: &'a raw::Deployed,
    service: &'a raw::Service,
) -> Instances<'a> {
    Instances {
        name,
        span: service.name.span(),
        service,
        endpoints: deployed.endpoints.as_ref(),
        istio: deployed.istio.as_ref(),
    }
}

/// Where a version or an environment of a service is.
struct Instances<'a> {
    name: &'a str,
    span: Span,
    service: &'a raw::Service,
    endpoints: Option<&'a Spanned<Vec<Spanned<String>>>>,
    istio: Option<&'a Spanned<raw::IstioTarget>>,
}

impl Instances<'_> {
    /// The endpoints. With a target in Istio they are optional: whether a fleet needs them is checked with the resources.
    fn endpoints(&self, problems: &mut Problems) -> Vec<Endpoint> {
        let list = self.endpoints.map_or(&[][..], |at| at.get());
        let optional = self.istio.is_some() || self.service.istio.is_some();
        if list.is_empty() && (self.endpoints.is_some() || !optional) {
            let span = self.endpoints.map_or(self.span, Spanned::span);
            let what = format!("`{}` has no endpoints", self.name);
            problems.add(span, what, "list at least one host:port");
        }
        let mut names = UniqueNames::default();
        let mut endpoints = Vec::new();
        for at in list {
            names.check("endpoint", at.get(), "", at.span(), problems);
            endpoints.extend(problems.record(at.span(), units::endpoint(at.get())));
        }
        endpoints
    }

    /// The target in Istio, present exactly if the service is there.
    fn target(&self, problems: &mut Problems) -> Option<IstioTarget> {
        let (name, service) = (self.name, self.service.name.get());
        match (self.istio, &self.service.istio) {
            (Some(at), Some(_)) => return istio::target(name, at, problems),
            (Some(at), None) => problems.add(
                at.span(),
                format!(
                    "`{name}` has a target in Istio, but its service `{service}` has no `istio`"
                ),
                "add `istio: {host: …, port: …}` to the service",
            ),
            (None, Some(_)) => problems.add(
                self.span,
                format!("`{name}` of service `{service}` has no target in Istio"),
                "add `istio: {subset: …}` or `istio: {host: …}`",
            ),
            (None, None) => {}
        }
        None
    }
}
