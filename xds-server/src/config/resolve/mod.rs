//! From what is written to what is meant: names checked, references followed, defaults filled in.
//! Nothing stops at the first mistake; every one is noted with its place.

mod dns;
mod flags;
mod fleets;
mod guardrails;
mod hooks;
mod notifications;
mod once;
mod plan;
mod services;

use std::path::{Path, PathBuf};

use super::place::At;
use super::problem::{Fault, Problem, Problems};
use super::{Config, Listen, Mesh, raw, units};
use crate::delivery::catalogue::Guardrails;
use crate::delivery::names::NameError;
use crate::delivery::plan::Plan;
use crate::delivery::units::Ppm;

/// Where xDS and reports are served unless the file says otherwise.
const XDS: &str = "127.0.0.1:18000";
/// Where REST and metrics are served unless the file says otherwise.
const API: &str = "127.0.0.1:8080";
/// Where the journal lives unless the file says otherwise.
const DATA_DIR: &str = "data";
/// The bound on false rollbacks unless the file says otherwise: one release in a thousand.
const FALSE_ROLLBACK: &str = "0.1%";

/// What a file means. Paths in it are relative to `base`, the file's own directory.
pub(super) fn resolve(root: &raw::Root, base: &Path) -> Result<Config, Vec<Problem>> {
    let mut problems = Problems::default();
    let listen = listen(root.listen.as_ref(), &mut problems);
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
    let fleets = fleets::resolve(&root.fleets, &root.services, &mut problems);
    let flags = root
        .flags
        .as_ref()
        .and_then(|path| flags::resolve(path, base, &root.services, &mut problems));
    let config = listen.zip(wasm).map(|(listen, wasm)| Config {
        listen,
        data_dir: base.join(root.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA_DIR))),
        mesh: Mesh { wasm, fleets },
        services,
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

fn listen(raw: Option<&raw::Listen>, problems: &mut Problems) -> Option<Listen> {
    let mut address = |written: Option<&At<String>>, default: &str| match written {
        Some(at) => problems.take(at.place(), units::address(at.get())),
        None => units::address(default).ok(),
    };
    let xds = address(raw.and_then(|raw| raw.xds.as_ref()), XDS);
    let api = address(raw.and_then(|raw| raw.api.as_ref()), API);
    let listen = xds.zip(api).map(|(xds, api)| Listen { xds, api })?;
    let place = raw.and_then(|raw| raw.api.as_ref().or(raw.xds.as_ref()));
    if let Some(at) = place
        && listen.xds == listen.api
        && listen.xds.port() != 0
    {
        problems.add(
            at.place(),
            format!("xds and api both listen on {}", listen.xds),
            "give each a port of its own",
        );
    }
    Some(listen)
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
