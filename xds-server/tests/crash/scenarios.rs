//! The scenarios: each is a configuration, the commands of operators, and the final condition.

use tidegate_delivery::model::command::{Command, ReleaseCommand};
use tidegate_delivery::model::group::Member;
use tidegate_delivery::model::release::{Phase, Release};
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::units::Ppm;

use super::dns::TTL;
use super::environment::Environment;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The `services` of the configuration.
    services: fn(&Environment) -> String,
    /// The next command of an operator. It is derived from the state, so a command that a crash has lost is repeated.
    pub(crate) next: fn(&State) -> Option<Command>,
    /// True if all requests to the candidate fail at the current weight of the release.
    pub(crate) fails: fn(&Release) -> bool,
    /// True in the final state.
    pub(crate) completed: fn(&State) -> bool,
}

impl Scenario {
    pub(crate) fn config(&self, environment: &Environment) -> String {
        let receiver = environment.receiver;
        let services = (self.services)(environment);
        format!(
            "filter: {{wasm: filter.wasm}}\n\
             fleets: [{{name: demo, listeners: [{{name: in, address: \"127.0.0.1:1\", services: [\"*\"]}}]}}]\n\
             notifications: [{{name: team, kind: webhook, level: info, url: \"http://{receiver}/team\"}}]\n\
             services:\n{services}"
        )
    }
}

/// A canary that completes; the scenario ends when its rollback window closes.
pub(crate) fn canary() -> Scenario {
    Scenario {
        name: "canary",
        services: |environment| order(environment, "rollback_window: 3s"),
        next: |state| start_once(state, "order"),
        fails: |_| false,
        completed: |state| {
            let order = &service(state, "order");
            matches!(phase(order), Some(Phase::Completed { .. })) && order.previous.is_none()
        },
    }
}

/// A canary that fails at 50 %, and is rolled back.
pub(crate) fn bad_canary() -> Scenario {
    Scenario {
        name: "bad canary",
        services: |environment| order(environment, "on_fail: rollback"),
        next: |state| start_once(state, "order"),
        fails: |release| release.weight() >= Ppm::percent(50),
        completed: |state| matches!(phase(service(state, "order")), Some(Phase::RolledBack { .. })),
    }
}

/// A group of two releases; one fails at 50 %, and both are rolled back.
pub(crate) fn group() -> Scenario {
    Scenario {
        name: "group",
        services: |environment| {
            let more = "on_fail: rollback";
            canary_of("order", environment, more) + &canary_of("payment", environment, more)
        },
        next: |state| {
            let member = |service: &str| Member {
                service: service.parse().unwrap(),
                version: "v2".parse().unwrap(),
                commit: None,
            };
            service(state, "order").release.is_none().then(|| Command::StartGroup {
                group: "checkout".parse().unwrap(),
                members: vec![member("order"), member("payment")],
                plan: None,
            })
        },
        fails: |release| {
            release.service.as_str() == "payment" && release.weight() >= Ppm::percent(50)
        },
        completed: |state| {
            let is_rolled_back =
                |name| matches!(phase(service(state, name)), Some(Phase::RolledBack { .. }));
            is_rolled_back("order") && is_rolled_back("payment")
        },
    }
}

/// Blue/green with DNS; after its completion an operator rolls it back.
pub(crate) fn blue_green_rollback() -> Scenario {
    Scenario {
        name: "blue/green rollback",
        services: product,
        next: |state| {
            let release = service(state, "product").release.as_ref();
            let complete = |it: &&Release| matches!(it.phase, Phase::Completed { .. });
            match release.filter(complete) {
                Some(release) => {
                    Some(Command::Release(release.id.clone(), ReleaseCommand::Rollback))
                }
                None => start_once(state, "product"),
            }
        },
        fails: |_| false,
        completed: |state| {
            matches!(phase(service(state, "product")), Some(Phase::RolledBack { .. }))
        },
    }
}

fn service<'a>(state: &'a State, name: &str) -> &'a ServiceState {
    state.services.get(name).unwrap()
}

fn phase(service: &ServiceState) -> Option<&Phase> {
    service.release.as_ref().map(|release| &release.phase)
}

fn start_once(state: &State, name: &str) -> Option<Command> {
    let service = service(state, name);
    service.release.is_none().then(|| Command::StartRelease {
        service: service.spec.name.clone(),
        version: "v2".parse().unwrap(),
        plan: None,
        commit: None,
    })
}

/// One hook for each moment; the first two are blocking.
fn hooks(environment: &Environment) -> String {
    let hook = |name: &str, on: &str, blocking: bool| {
        let url = format!("http://{}/{on}", environment.receiver);
        format!("{{name: {name}, on: {on}, url: \"{url}\", blocking: {blocking}}}")
    };
    let hooks = [
        hook("warm-cache", "started", true),
        hook("update-cache", "switched", true),
        hook("rebuild-index", "completed", false),
        hook("restore-cache", "rolled_back", false),
    ];
    format!("    hooks: [{}]\n", hooks.join(", "))
}

fn order(environment: &Environment, more: &str) -> String {
    canary_of("order", environment, more)
}

fn canary_of(name: &str, environment: &Environment, more: &str) -> String {
    let (candidate, hooks) = (environment.receiver, hooks(environment));
    format!(
        "  - name: {name}\n    hosts: [{name}.local]\n    stable: v1\n    \
         strategy: {{canary: {{steps: [5%, 50%, 100%], step_time: 2s, watch: 2s, min_requests: 10, \
         smoke_tests: [{{path: /healthz, expect: 200}}], {more}}}}}\n    \
         versions: [{{name: v1, endpoints: [\"127.0.0.1:9\"]}}, {{name: v2, endpoints: [\"{candidate}\"]}}]\n{hooks}"
    )
}

fn product(environment: &Environment) -> String {
    let (candidate, dns, hooks) = (environment.receiver, environment.dns, hooks(environment));
    format!(
        "  - name: product\n    hosts: [product.local]\n    active: blue\n    \
         strategy: {{blue_green: {{watch: 2s, min_requests: 10, \
         smoke_tests: [{{path: /healthz, expect: 200}}]}}}}\n    \
         environments: {{blue: {{endpoints: [\"127.0.0.1:9\"], version: v1}}, green: {{endpoints: [\"{candidate}\"]}}}}\n    \
         dns: {{zone: example.org, name: product.example.org, server: \"{dns}\", ttl: {TTL}s, \
         records: {{blue: [\"192.0.2.1\"], green: [\"192.0.2.2\"]}}}}\n{hooks}"
    )
}
