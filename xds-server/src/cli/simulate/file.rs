//! The file of scenarios. Strategy and guardrails are those of the configuration, and are read by its parser: they become the
//! only service of a configuration.

use serde::Deserialize;
use serde_json::{Value, json};
use tidegate::config;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_simulate::run::Simulated;
use tidegate_simulate::scenario::{MAX_RUNS, Scenario};

use crate::cli::failure::Failure;

/// Most scenarios of a file.
const MAX_SCENARIOS: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default = "runs")]
    runs: u64,
    #[serde(default = "seed")]
    seed: u64,
    #[serde(default)]
    service: RawService,
    scenarios: Vec<Scenario>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawService {
    strategy: Option<Value>,
    guardrails: Option<Value>,
    false_rollback: Option<Value>,
}

const fn runs() -> u64 {
    100
}

const fn seed() -> u64 {
    1
}

/// A valid file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) runs: u64,
    pub(super) seed: u64,
    pub(super) simulated: Simulated,
    pub(super) scenarios: Vec<Scenario>,
}

pub(super) fn parse(text: &str) -> Result<File, Failure> {
    let input = |error: &dyn std::fmt::Display| Failure::Input(error.to_string());
    let raw: Raw = serde_saphyr::from_str(text).map_err(|error| input(&error))?;
    let Raw { runs, seed, service, scenarios } = raw;
    if !(1..=MAX_RUNS).contains(&runs) {
        return Err(Failure::Input(format!("`runs` must be 1 to {MAX_RUNS}, not {runs}")));
    }
    if !(1..=MAX_SCENARIOS).contains(&scenarios.len()) {
        let count = scenarios.len();
        return Err(Failure::Input(format!(
            "a file must have 1 to {MAX_SCENARIOS} `scenarios`, not {count}"
        )));
    }
    scenarios.iter().try_for_each(Scenario::validate).map_err(|error| input(&error))?;
    let spec = declared(&service)?;
    let simulated = Simulated::of(spec).map_err(|error| input(&error))?;
    Ok(File { runs, seed, simulated, scenarios })
}

/// The guardrails of a file that has nothing else.
pub(super) fn guardrails(text: &str) -> Result<Guardrails, Failure> {
    let guardrails: Value =
        serde_saphyr::from_str(text).map_err(|error| Failure::Input(error.to_string()))?;
    let service = RawService { guardrails: Some(guardrails), ..RawService::default() };
    Ok(declared(&service)?.guardrails)
}

/// The service as the only one of a configuration: the same keys, values, defaults and errors.
fn declared(service: &RawService) -> Result<ServiceSpec, Failure> {
    let RawService { strategy, guardrails, false_rollback } = service;
    let strategy = strategy.clone().unwrap_or_else(|| json!({"canary": {}}));
    let mut declared = json!({
        "name": "simulated", "hosts": ["simulated.local"], "strategy": strategy,
    });
    let (stable, candidate) = ("127.0.0.1:9101", "127.0.0.1:9102");
    let versions = if strategy.get("blue_green").is_some() {
        json!({
            "environments": {
                "blue": {"endpoints": [stable], "version": "stable"},
                "green": {"endpoints": [candidate], "version": "candidate"},
            },
            "active": "blue",
        })
    } else {
        json!({
            "stable": "stable",
            "versions": [
                {"name": "candidate", "endpoints": [candidate]}, {"name": "stable", "endpoints": [stable]},
            ],
        })
    };
    let mut defaults = json!({});
    if let (Some(declared), Some(versions)) = (declared.as_object_mut(), versions.as_object()) {
        declared.extend(versions.clone());
        declared.extend(guardrails.clone().map(|it| ("guardrails".to_owned(), it)));
    }
    if let (Some(defaults), Some(bound)) = (defaults.as_object_mut(), false_rollback) {
        defaults.insert("false_rollback".to_owned(), bound.clone());
    }
    let configuration = json!({
        "filter": {"wasm": "filter.wasm"}, "fleets": [{"name": "simulated"}],
        "defaults": defaults, "services": [declared],
    });
    // JSON is YAML. Positions are those of this text, so the errors are shown without them.
    let checked = config::check(&configuration.to_string(), std::path::Path::new(""));
    let faults = |problems: Vec<config::Problem>| {
        let faults: Vec<_> = problems.iter().map(|it| it.fault.to_string()).collect();
        Failure::Input(format!("the service of the simulation: {}", faults.join(". ")))
    };
    let services = checked.map_err(faults)?.services;
    services.into_iter().next().ok_or_else(|| Failure::Input("no service".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tidegate_delivery::units::Ppm;

    #[test]
    fn strategy_and_guardrails_are_those_of_the_configuration() {
        let text = "service: {strategy: {canary: {steps: [20%, 100%], step_time: 1m}}, guardrails: {error_rate: {alert: 2%}}}\n\
                    scenarios: [{name: a, traffic: {requests_per_second: 5}}]";
        let file = parse(text).unwrap();
        assert_eq!((file.runs, file.seed, file.scenarios.len()), (100, 1, 1));
        let until = file.simulated.until(&file.scenarios[0]);
        assert!(until > Duration::from_secs(60), "{until:?}");
        let blue_green = "service: {strategy: {blue_green: {watch: 10m}}}\nscenarios: [{name: a, traffic: {requests_per_second: 5}}]";
        assert!(parse(blue_green).is_ok(), "{:?}", parse(blue_green));
        assert_eq!(
            guardrails("error_rate: {alert: 3%}").unwrap().error_rate.alert,
            Ppm::percent(3)
        );
    }

    #[test]
    fn mistakes_are_errors_with_a_fix() {
        let scenario = "scenarios: [{name: a, traffic: {requests_per_second: 5}}]";
        for (text, message) in [
            ("scenarios: []".to_owned(), "1 to 100 `scenarios`"),
            (format!("runs: 0\n{scenario}"), "`runs` must be"),
            (format!("rnus: 5\n{scenario}"), "rnus"),
            (
                format!("service: {{strategy: {{canary: {{steps: [120%]}}}}}}\n{scenario}"),
                "`120%` is over 100%",
            ),
            (
                format!("service: {{guardrails: {{eror_rate: {{}}}}}}\n{scenario}"),
                "did you mean `error_rate`?",
            ),
            (
                "scenarios: [{name: a, traffic: {requests_per_second: -1}}]".to_owned(),
                "requests_per_second",
            ),
        ] {
            let failure = parse(&text).unwrap_err().to_string();
            assert!(failure.contains(message), "{failure}");
        }
    }
}
