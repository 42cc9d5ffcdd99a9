//! The stories. One more is one more value: a configuration, what operators want of what is, and
//! when it is over.

use tidegate_delivery::model::command::{Command, ReleaseCommand};
use tidegate_delivery::model::group::Member;
use tidegate_delivery::model::release::{Phase, Release};
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::units::Ppm;

use super::dns::TTL;
use super::outside::Outside;

pub(crate) struct Story {
    pub(crate) name: &'static str,
    /// The `services` of the configuration.
    services: fn(&Outside) -> String,
    /// What operators ask for next. They ask again until it is so: a crash may have lost it.
    pub(crate) next: fn(&State) -> Option<Command>,
    /// Whether a candidate with that share fails all of its requests.
    pub(crate) fails: fn(&Release) -> bool,
    /// Whether all of it has happened, once nothing is left to do.
    pub(crate) over: fn(&State) -> bool,
}

impl Story {
    pub(crate) fn config(&self, outside: &Outside) -> String {
        let receiver = outside.receiver;
        let services = (self.services)(outside);
        format!(
            "filter: {{wasm: filter.wasm}}\n\
             fleets: [{{name: demo, listeners: [{{name: in, address: \"127.0.0.1:1\", services: [\"*\"]}}]}}]\n\
             notifications: [{{name: team, kind: webhook, level: info, url: \"http://{receiver}/team\"}}]\n\
             services:\n{services}"
        )
    }
}

/// Smoke-tested, stepped, watched, complete, and the window for going back closes.
pub(crate) fn canary() -> Story {
    Story {
        name: "canary",
        services: |outside| order(outside, "rollback_window: 3s"),
        next: |state| start_once(state, "order"),
        fails: |_| false,
        over: |state| {
            let order = &service(state, "order");
            matches!(phase(order), Some(Phase::Completed { .. })) && order.previous.is_none()
        },
    }
}

/// At 50 % the candidate fails, and goes back by itself.
pub(crate) fn bad_canary() -> Story {
    Story {
        name: "bad canary",
        services: |outside| order(outside, "on_fail: rollback"),
        next: |state| start_once(state, "order"),
        fails: |release| release.weight() >= Ppm::percent(50),
        over: |state| matches!(phase(service(state, "order")), Some(Phase::RolledBack { .. })),
    }
}

/// Two services go forward together; at 50 % one of them fails, and both go back.
pub(crate) fn group() -> Story {
    Story {
        name: "group",
        services: |outside| {
            let more = "on_fail: rollback";
            canary_of("order", outside, more) + &canary_of("payment", outside, more)
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
        over: |state| {
            let is_back =
                |name| matches!(phase(service(state, name)), Some(Phase::RolledBack { .. }));
            is_back("order") && is_back("payment")
        },
    }
}

/// Blue/green, and DNS with it; once it is complete it is called back.
pub(crate) fn there_and_back() -> Story {
    Story {
        name: "blue/green there and back",
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
        over: |state| matches!(phase(service(state, "product")), Some(Phase::RolledBack { .. })),
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

/// A hook of every moment; the release waits for the first two.
fn hooks(outside: &Outside) -> String {
    let hook = |name: &str, on: &str, blocking: bool| {
        let url = format!("http://{}/{on}", outside.receiver);
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

fn order(outside: &Outside, more: &str) -> String {
    canary_of("order", outside, more)
}

fn canary_of(name: &str, outside: &Outside, more: &str) -> String {
    let (candidate, hooks) = (outside.receiver, hooks(outside));
    format!(
        "  - name: {name}\n    hosts: [{name}.local]\n    stable: v1\n    \
         strategy: {{canary: {{steps: [5%, 50%, 100%], step_time: 2s, watch: 2s, min_requests: 10, \
         smoke_tests: [{{path: /healthz, expect: 200}}], {more}}}}}\n    \
         versions: [{{name: v1, endpoints: [\"127.0.0.1:9\"]}}, {{name: v2, endpoints: [\"{candidate}\"]}}]\n{hooks}"
    )
}

fn product(outside: &Outside) -> String {
    let (candidate, dns, hooks) = (outside.receiver, outside.dns, hooks(outside));
    format!(
        "  - name: product\n    hosts: [product.local]\n    active: blue\n    \
         strategy: {{blue_green: {{watch: 2s, min_requests: 10, \
         smoke_tests: [{{path: /healthz, expect: 200}}]}}}}\n    \
         environments: {{blue: {{endpoints: [\"127.0.0.1:9\"], version: v1}}, green: {{endpoints: [\"{candidate}\"]}}}}\n    \
         dns: {{zone: example.org, name: product.example.org, server: \"{dns}\", ttl: {TTL}s, \
         records: {{blue: [\"192.0.2.1\"], green: [\"192.0.2.2\"]}}}}\n{hooks}"
    )
}
