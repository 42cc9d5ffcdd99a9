//! A small configuration, and two states of it.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use serde_json::json;
use tidegate::config::{self, Config};
use tidegate_delivery::model::command::{Command, CommandContext, Outcome, Refusal};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::flag::FlagChange;
use tidegate_delivery::model::state::State;
use tidegate_delivery::reducer::decide_command;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::mesh::Mesh;

const CONFIG: &str = r#"
filter: {wasm: filter.wasm}
fleets: [{name: demo, listeners: [{name: ingress, address: "127.0.0.1:10000", services: ["*"]}]}]
services:
  - name: order
    hosts: ["order.local"]
    identity: [{header: x-user-id}, {cookie: sid}]
    strategy: {canary: {steps: [5%, 100%]}}
    stable: v1
    versions: [{name: v1, endpoints: ["127.0.0.1:9101"]}, {name: v2, endpoints: ["[::1]:9102"]}]
  - name: product
    hosts: ["product.local"]
    strategy: {blue_green: {}}
    environments: {blue: {endpoints: ["127.0.0.1:9201"]}, green: {endpoints: ["localhost:9202"]}}
    active: blue
"#;

/// The parsed configuration.
pub(crate) fn config() -> Config {
    config::check(CONFIG, Path::new("")).expect("the configuration is valid")
}

/// Its mesh.
pub(crate) static MESH: LazyLock<Arc<Mesh>> = LazyLock::new(|| Arc::new(config().mesh));

/// The state after the first start.
pub(crate) static INITIAL: LazyLock<State> = LazyLock::new(|| {
    let mut state = State::default();
    let event = Event::CatalogueApplied { services: config().services };
    state.apply(Timestamp(1), &event).expect("the catalogue folds");
    state
});

/// The same state with a flag, a third version and a running release.
pub(crate) static RELEASING: LazyLock<State> = LazyLock::new(|| {
    let mut state = INITIAL.clone();
    let version = |name: &str| name.parse().expect("a name");
    let flags = json!({"flags": {"beta": {
        "state": "ENABLED",
        "variants": {"on": "v2", "off": ""},
        "defaultVariant": "off",
        "targeting": {"if": [{"==": [{"var": "headers.x-beta"}, "1"]}, "on", "off"]},
        "metadata": {"service": "order"},
    }}});
    let spec = config()
        .services
        .into_iter()
        .next()
        .and_then(|service| service.versions.into_values().next());
    let commands = [
        Command::from(FlagChange::Replace(flags)),
        Command::RegisterVersion {
            service: "order".parse().expect("a name"),
            version: version("v3"),
            spec: spec.expect("a version"),
        },
        Command::StartRelease {
            service: "order".parse().expect("a name"),
            version: version("v2"),
            plan: None,
            commit: None,
        },
    ];
    for command in commands {
        execute(&mut state, "anne", &command).expect("the command is possible");
    }
    state
});

/// Executes a command and folds its events.
pub(crate) fn execute(
    state: &mut State,
    actor: &str,
    command: &Command,
) -> Result<Outcome, Refusal> {
    let at = Timestamp(2);
    let (events, outcome) =
        decide_command(state, &CommandContext { actor, reason: None, at, wall: at }, command)?;
    for event in events {
        state.apply(at, &event).expect("the events fold");
    }
    Ok(outcome)
}
