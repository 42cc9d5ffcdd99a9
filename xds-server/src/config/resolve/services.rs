//! Services, their versions and environments.

use std::collections::BTreeMap;
use std::path::Path;

use tidegate_core::config::{BUCKET_HEADER, IdentitySource, VERSION_HEADER};
use tidegate_core::host::Host;

use super::once::Once;
use super::{dns, gates, guardrails, hooks, name, plan};
use crate::config::place::{At, Place};
use crate::config::problem::{Fault, Problems};
use crate::config::suggest::suggest;
use crate::config::{raw, units};
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::model::catalogue::{
    Endpoint, Environment, Environments, ServiceSpec, VersionSpec,
};
use tidegate_delivery::model::plan::Plan;
use tidegate_delivery::names::{ServiceName, VersionName};

/// The services, defaults filled in.
pub(super) fn resolve(
    written: &At<Vec<raw::Service>>,
    defaults: &Guardrails,
    base: &Path,
    problems: &mut Problems,
) -> Vec<ServiceSpec> {
    if written.get().is_empty() {
        problems.add(
            written.place(),
            "there is no service",
            "add one: - name: order, with hosts, strategy and versions",
        );
    }
    let (mut names, mut all_hosts, mut dns_names) =
        (Once::default(), Once::default(), Once::default());
    let mut services = Vec::new();
    for raw in written.get() {
        let (place, noted) = (raw.name.place(), problems.count());
        names.check("service", raw.name.get(), "", place, problems);
        let hosts = hosts(raw, &mut all_hosts, problems);
        for source in &raw.identity {
            problems.take(source.place(), identity(source.get()));
        }
        let requirements = gates::requirements(raw.requirements.as_ref(), problems);
        let plan = Plan { requirements, ..plan::resolve(raw.strategy.get(), problems) };
        let guardrails = guardrails::resolve(defaults, raw.guardrails.as_ref(), problems);
        let hooks = hooks::resolve(&raw.hooks, base, problems);
        let name: Option<ServiceName> = problems.take(place, name(&raw.name));
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
            dns_names.check("DNS name", &dns.name, name.as_str(), at.place(), problems);
        }
        let spec = ServiceSpec {
            name,
            hosts,
            identity: raw.identity.iter().map(|at| lower(at.get())).collect(),
            versions: deployment.versions,
            stable: deployment.stable,
            environments: deployment.environments,
            plan,
            guardrails,
            hooks,
            dns,
        };
        // What the engine relies on; told here only where nothing more exact was.
        if problems.count() == noted
            && let Err(error) = spec.validate()
        {
            let what = format!("service `{}`: {error}", spec.name);
            problems.add(place, what, "see `tidegate schema` for what goes where");
        }
        services.push(spec);
    }
    services
}

/// Where a service's versions run, in either of the two ways to write it.
struct Deployment {
    versions: BTreeMap<VersionName, VersionSpec>,
    stable: VersionName,
    environments: Option<Environments>,
}

fn hosts(raw: &raw::Service, all: &mut Once, problems: &mut Problems) -> Vec<Host> {
    if raw.hosts.get().is_empty() {
        problems.add(
            raw.hosts.place(),
            format!("no host leads to service `{}`", raw.name.get()),
            "name at least one, such as [\"order.local\"]",
        );
    }
    let mut hosts = Vec::new();
    for at in raw.hosts.get() {
        let host = problems.take(at.place(), units::host(at.get()));
        let Some(host) = host else { continue };
        all.check("host", host.as_str(), raw.name.get(), at.place(), problems);
        hosts.push(host);
    }
    hosts
}

/// Header names are compared in lower case; cookies are not.
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
            format!("`{name}` is not the name of a {kind}"),
            "use letters, digits and `-`, such as x-user-id",
        ));
    }
    let own = [VERSION_HEADER, BUCKET_HEADER];
    if kind == "header" && own.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(Fault::new(
            format!("`{name}` is Tidegate's own and is stripped from what clients send"),
            "name the header that carries your user's id",
        ));
    }
    Ok(())
}

fn canary(raw: &raw::Service, problems: &mut Problems) -> Option<Deployment> {
    let service = raw.name.get();
    for (key, place) in [
        ("environments", raw.environments.as_ref().map(At::place)),
        ("active", raw.active.as_ref().map(At::place)),
    ] {
        not_here(key, place, "canary", "list `versions` and name the `stable` one", problems);
    }
    let Some(written) = &raw.versions else {
        problems.add(
            raw.name.place(),
            format!("canary service `{service}` has no `versions`"),
            "add versions: [{name: v1, endpoints: [\"127.0.0.1:9101\"]}]",
        );
        return None;
    };
    let mut once = Once::default();
    let mut versions = BTreeMap::new();
    for version in written.get() {
        let place = version.name.place();
        once.check("version", version.name.get(), "", place, problems);
        let endpoints = endpoints(version.name.get(), &version.endpoints, problems);
        let name = problems.take(place, name::<VersionName>(&version.name));
        versions.extend(name.map(|name| {
            let environment = None;
            (name, VersionSpec { endpoints, environment })
        }));
    }
    let Some(at) = &raw.stable else {
        problems.add(
            raw.name.place(),
            format!("canary service `{service}` has no `stable` version"),
            "add stable: with the name of the version that serves now",
        );
        return None;
    };
    let known = written.get().iter().map(|version| version.name.get().as_str());
    if !known.clone().any(|name| name == at.get()) {
        problems.add(
            at.place(),
            format!("service `{service}` has no version `{}` to be stable", at.get()),
            suggest(at.get(), known),
        );
        return None;
    }
    // A malformed name was noted where the version is declared.
    let stable = at.get().parse().ok()?;
    let environments = None;
    Some(Deployment { versions, stable, environments })
}

fn blue_green(raw: &raw::Service, problems: &mut Problems) -> Option<Deployment> {
    let service = raw.name.get();
    for (key, place) in [
        ("versions", raw.versions.as_ref().map(At::place)),
        ("stable", raw.stable.as_ref().map(At::place)),
    ] {
        let instead = "describe `environments` and name the `active` one";
        not_here(key, place, "blue_green", instead, problems);
    }
    let Some(written) = &raw.environments else {
        problems.add(
            raw.name.place(),
            format!("blue/green service `{service}` has no `environments`"),
            "add environments: {blue: {endpoints: [..]}, green: {endpoints: [..]}}",
        );
        return None;
    };
    let Some(active) = &raw.active else {
        problems.add(
            raw.name.place(),
            format!("blue/green service `{service}` does not say which environment is `active`"),
            "add active: blue, or active: green",
        );
        return None;
    };
    let written = written.get();
    let environments = Environments {
        blue: endpoints("blue", &written.blue.endpoints, problems),
        green: endpoints("green", &written.green.endpoints, problems),
    };
    let mut once = Once::default();
    let mut versions = BTreeMap::new();
    let mut stable = None;
    for (environment, deployed) in
        [(Environment::Blue, &written.blue), (Environment::Green, &written.green)]
    {
        let version = match &deployed.version {
            Some(at) => {
                once.check("version", at.get(), "", at.place(), problems);
                problems.take(at.place(), name::<VersionName>(at))
            }
            // The version that serves must have a name; that of its place will do.
            None if environment == *active.get() => environment.to_string().parse().ok(),
            None => None,
        };
        let Some(version) = version else { continue };
        if environment == *active.get() {
            stable = Some(version.clone());
        }
        let spec = VersionSpec {
            endpoints: environments.endpoints(environment).to_vec(),
            environment: Some(environment),
        };
        versions.insert(version, spec);
    }
    Some(Deployment { versions, stable: stable?, environments: Some(environments) })
}

fn not_here(
    key: &str,
    place: Option<Place>,
    strategy: &str,
    instead: &str,
    problems: &mut Problems,
) {
    if let Some(place) = place {
        let what = format!("`{key}` does not go with a {strategy} strategy");
        problems.add(place, what, instead);
    }
}

fn endpoints(owner: &str, written: &At<Vec<At<String>>>, problems: &mut Problems) -> Vec<Endpoint> {
    if written.get().is_empty() {
        problems.add(
            written.place(),
            format!("`{owner}` has no endpoints"),
            "name at least one host:port that serves it",
        );
    }
    let mut once = Once::default();
    let mut endpoints = Vec::new();
    for at in written.get() {
        once.check("endpoint", at.get(), "", at.place(), problems);
        endpoints.extend(problems.take(at.place(), units::endpoint(at.get())));
    }
    endpoints
}
