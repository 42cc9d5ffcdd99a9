//! From what is written to what is meant: names checked, references followed, defaults filled in.
//! Nothing stops at the first mistake; every one is noted with its place.

mod business;
mod dns;
mod flags;
mod fleets;
mod gates;
mod guardrails;
mod hooks;
mod listen;
mod notifications;
mod once;
mod plan;
mod services;

use std::path::{Path, PathBuf};

use super::place::At;
use super::problem::{Fault, Problem, Problems};
use super::{Config, raw, units};
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::model::plan::Plan;
use tidegate_delivery::names::NameError;
use tidegate_delivery::units::Ppm;
use tidegate_xds::mesh::Mesh;

/// Where the journal lives unless the file says otherwise.
const DATA_DIR: &str = "data";
/// The bound on false rollbacks unless the file says otherwise: one release in a thousand.
const FALSE_ROLLBACK: &str = "0.1%";

/// What a file means. Paths in it are relative to `base`, the file's own directory.
pub(super) fn resolve(root: &raw::Root, base: &Path) -> Result<Config, Vec<Problem>> {
    let mut problems = Problems::default();
    let listen = listen::resolve(root.listen.as_ref(), base, &mut problems);
    let wasm = text("the filter's module", &root.filter.wasm);
    let wasm = problems.take(root.filter.wasm.place(), wasm);
    let defaults = root.defaults.as_ref();
    let guardrails = guardrails::resolve(
        &Guardrails::default(),
        defaults.and_then(|defaults| defaults.guardrails.as_ref()),
        &mut problems,
    );
    let false_rollback = false_rollback(defaults, &mut problems);
    let services = services::resolve(&root.services, &guardrails, base, &mut problems);
    let notifications = notifications::resolve(&root.notifications, root, base, &mut problems);
    let certified = root.listen.as_ref().is_some_and(|listen| listen.tls.is_some());
    let (fleets, identities) =
        fleets::resolve(&root.fleets, &root.services, certified, &mut problems);
    let known: Vec<&str> = root.services.get().iter().map(|raw| raw.name.get().as_str()).collect();
    let freeze_windows = gates::freeze_windows(&root.freeze, &known, &mut problems);
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
        false_rollback,
        notifications,
        flags,
    });
    problems.or(config)
}

/// A plan that a release brings along, in the grammar of a service's `strategy`.
pub(super) fn plan(strategy: &raw::Strategy) -> Result<Plan, Vec<Problem>> {
    let mut problems = Problems::default();
    let plan = plan::resolve(strategy, &mut problems);
    problems.or(Some(plan))
}

fn false_rollback(defaults: Option<&raw::Defaults>, problems: &mut Problems) -> Ppm {
    let default = units::percent(FALSE_ROLLBACK).unwrap_or_default();
    let Some(at) = defaults.and_then(|defaults| defaults.false_rollback.as_ref()) else {
        return default;
    };
    let Some(bound) = problems.take(at.place(), units::percent(at.get())) else {
        return default;
    };
    if bound == Ppm::ZERO || bound >= Ppm::percent(50) {
        problems.add(
            at.place(),
            format!("a bound of {bound} on false rollbacks cannot be kept or says nothing"),
            "choose one above 0% and below 50%, such as 0.1%",
        );
    }
    bound
}

/// A text that must not be empty.
fn text(what: &str, at: &At<String>) -> Result<String, Fault> {
    let text = at.get().trim();
    if text.is_empty() {
        return Err(Fault::new(format!("{what} is empty"), "write a value, or remove the line"));
    }
    Ok(text.to_owned())
}

/// A name, parsed into its type.
fn name<T: std::str::FromStr<Err = NameError>>(at: &At<String>) -> Result<T, Fault> {
    at.get()
        .parse()
        .map_err(|error: NameError| Fault::new(error.to_string(), "choose another name"))
}
