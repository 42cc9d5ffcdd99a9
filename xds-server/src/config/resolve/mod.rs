//! Turns the raw tree into a configuration: parses values, checks references, fills in defaults.
//! Every function records its errors in [`Problems`] and continues.

mod business;
mod dns;
mod evidence;
mod flags;
mod fleets;
mod freeze;
mod guardrails;
mod hooks;
mod istio;
mod listen;
mod notifications;
mod plan;
mod publishable;
mod queries;
mod requirements;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::problem::{Fault, Problem, Problems, suggest};
use super::span::{Span, Spanned};
use super::{Config, raw, units};
use tidegate_delivery::judge::guardrails::{FALSE_ROLLBACK, Guardrails};
use tidegate_delivery::model::istio::IstioTarget;
use tidegate_delivery::model::plan::Plan;
use tidegate_delivery::names::{NameError, ServiceName, Services};
use tidegate_delivery::units::Ppm;
use tidegate_xds::mesh::Mesh;

/// Default of `data_dir`.
const DATA_DIR: &str = "data";

/// Resolves a file. Paths in it are relative to `base`.
pub(super) fn resolve(root: &raw::Root, base: &Path) -> Result<Config, Vec<Problem>> {
    let mut problems = Problems::default();
    let listen = listen::resolve(root.listen.as_ref(), base, &mut problems);
    let wasm = text("the path of the filter", &root.filter.wasm);
    let wasm = problems.record(root.filter.wasm.span(), wasm);
    let defaults = root.defaults.as_ref();
    let false_rollback = false_rollback(defaults, &mut problems);
    let guardrails = guardrails::resolve(
        &Guardrails { false_rollback, ..Guardrails::default() },
        defaults.and_then(|defaults| defaults.guardrails.as_ref()),
        base,
        &mut problems,
    );
    let services = services::resolve(&root.services, &guardrails, base, &mut problems);
    let notifications = notifications::resolve(&root.notifications, root, base, &mut problems);
    let tls = root.listen.as_ref().is_some_and(|listen| listen.tls.is_some());
    let problems_before = problems.count();
    let (fleets, identities) = fleets::resolve(&root.fleets, &root.services, tls, &mut problems);
    // An invalid fleet is not in the list.
    if problems.count() == problems_before {
        istio::check_effect(root.services.get(), &fleets, &mut problems);
    }
    let known: Vec<&str> = root.services.get().iter().map(|raw| raw.name.get().as_str()).collect();
    let freeze_windows = freeze::freeze_windows(&root.freeze, &known, &mut problems);
    let flags = root
        .flags
        .as_ref()
        .and_then(|path| flags::resolve(path, base, &root.services, &mut problems));
    let config = listen.zip(wasm).map(|(listen, wasm)| Config {
        hash: String::new(),
        listen,
        data_dir: base.join(root.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA_DIR))),
        mesh: Mesh::new(wasm, fleets),
        identities,
        services,
        freeze_windows,
        notifications,
        flags,
    });
    // Checks of single values have more precise errors.
    if problems.count() == 0
        && let Some(config) = &config
    {
        publishable::check(config, root, &mut problems);
    }
    problems.into_result(config)
}

/// The plan of a release.
pub(super) fn plan(strategy: &raw::Strategy) -> Result<Plan, Vec<Problem>> {
    let mut problems = Problems::default();
    let plan = plan::resolve(strategy, &mut problems);
    problems.into_result(Some(plan))
}

fn false_rollback(defaults: Option<&raw::Defaults>, problems: &mut Problems) -> Ppm {
    let default = FALSE_ROLLBACK;
    let Some(at) = defaults.and_then(|defaults| defaults.false_rollback.as_ref()) else {
        return default;
    };
    let Some(bound) = problems.record(at.span(), units::percent(at.get())) else {
        return default;
    };
    if bound == Ppm::ZERO || bound >= Ppm::percent(50) {
        problems.add(
            at.span(),
            format!("{bound} is out of range for `false_rollback`"),
            "write a share above 0% and below 50%, such as 0.1%",
        );
    }
    bound
}

/// A text that is not empty.
fn text(what: &str, at: &Spanned<String>) -> Result<String, Fault> {
    let text = at.get().trim();
    if text.is_empty() {
        return Err(Fault::new(format!("{what} is empty"), "write a value, or remove the key"));
    }
    Ok(text.to_owned())
}

fn name<T: std::str::FromStr<Err = NameError>>(at: &Spanned<String>) -> Result<T, Fault> {
    at.get()
        .parse()
        .map_err(|error: NameError| Fault::new(error.to_string(), "choose another name"))
}

/// The target of a version in Istio.
pub(super) fn istio_target(
    version: &str,
    target: &Spanned<raw::IstioTarget>,
) -> Result<IstioTarget, Vec<Problem>> {
    let mut problems = Problems::default();
    let target = istio::target(version, target, &mut problems);
    problems.into_result(target)
}

/// The services that a list selects; `["*"]` selects all.
fn selected_services(
    what: &str,
    written: &Spanned<Vec<Spanned<String>>>,
    known: &[&str],
    problems: &mut Problems,
) -> Services {
    let all = written.get().iter().find(|at| at.get() == "*");
    if written.get().is_empty() {
        problems.add(
            written.span(),
            format!("the {what} selects no service"),
            "list some, or write [\"*\"] for all",
        );
    }
    if let Some(at) = all {
        if written.get().len() > 1 {
            problems.add(
                at.span(),
                "`*` already selects every service",
                "write [\"*\"] alone, or list the services",
            );
        }
        return Services::All;
    }
    let mut seen = UniqueNames::default();
    let mut names = BTreeSet::new();
    for at in written.get() {
        let (service, span) = (at.get(), at.span());
        seen.check("service", service, "", span, problems);
        if known.contains(&service.as_str()) {
            // An invalid name is reported where the service is declared.
            names.extend(service.parse::<ServiceName>().ok());
        } else {
            problems.add(
                span,
                format!("there is no service `{service}`"),
                suggest(service, known.iter().copied()),
            );
        }
    }
    Services::Named(names)
}

/// Names of one kind, each with its first occurrence, to report duplicates.
#[derive(Debug, Default)]
struct UniqueNames(BTreeMap<String, (Span, String)>);

impl UniqueNames {
    /// Records a name of the kind `what`, defined by `owner`, which
    /// is empty if the kind has no owners.
    fn check(&mut self, what: &str, name: &str, owner: &str, span: Span, problems: &mut Problems) {
        if let Some((first, first_owner)) = self.0.get(name) {
            let of = if first_owner.is_empty() || first_owner == owner {
                String::new()
            } else {
                format!(" by `{first_owner}`")
            };
            problems.add(
                span,
                format!("{what} `{name}` is already defined on line {}{of}", first.line),
                "remove or rename one of the two",
            );
        } else {
            self.0.insert(name.to_owned(), (span, owner.to_owned()));
        }
    }
}
