//! The input of the command `configure`, one line per part:
//!
//! ```text
//! service order v1 v2                                     versions; the first one is stable
//! canary 5% 50% 100% step=10s requests=10 watch=1m holdback=1%   its plan
//! blue-green watch=1m                                     or this: v1 is in blue, v2 in green
//! on-fail pause
//! rollback-after-completion 1h
//! convergence 90%
//! guardrails min_requests=100 inconclusive=extend-1       `proceed` if absent: most scenarios have few requests
//! checks tests scan
//! approvals 2 manager expire=1h                           before the first step
//! step-approval 50% 1 manager expire=1h                   before the step of that weight
//! smoke-test /healthz
//! health-check tcp
//! hook warm-cache switched blocking                       or `notifying`
//! dns product.example.org. ttl=30s
//! freeze-window year-end 2026-12-24T00:00:00Z 2026-12-27T00:00:00Z [SERVICE…]
//! weekly-freeze weekend sat,sun 00:00 00:00 Europe/Berlin [SERVICE…]
//! listener demo/ingress 127.0.0.1:10000 [SERVICE…]        without one: a fleet with listeners of another control plane
//! host order.example.org                                  instead of order.local
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_delivery::judge::guardrails::{Guardrails, Inconclusive};
use tidegate_delivery::model::catalogue::{
    Endpoint, Environment, Environments, ServiceSpec, VersionSpec,
};
use tidegate_delivery::model::dns::Dns;
use tidegate_delivery::model::freeze::{FreezeSchedule, FreezeWindow};
use tidegate_delivery::model::holdback::Holdback;
use tidegate_delivery::model::hook::{Hook, Moment};
use tidegate_delivery::model::mesh::{ControlPlane, Fleet, Listener, Purpose};
use tidegate_delivery::model::plan::{
    ConvergenceThreshold, HealthCheck, OnFail, Plan, ROLLBACK_WINDOW, SmokeTest, Step, Strategy,
};
use tidegate_delivery::model::requirements::{Approvals, Requirements};
use tidegate_delivery::names::{ServiceName, Services};
use tidegate_delivery::units::{Ppm, Timestamp};

use super::script::Arguments;

/// What a configuration declares.
#[derive(Default)]
pub(crate) struct Configuration {
    pub(crate) fleets: Vec<Fleet>,
    pub(crate) services: Vec<ServiceSpec>,
    pub(crate) freeze_windows: Vec<FreezeWindow>,
}

/// Reads the input of `configure`.
pub(crate) fn parse(input: &[&str]) -> Configuration {
    let mut configuration = Configuration::default();
    for line in input {
        let mut arguments = Arguments::parse(line);
        match arguments.word().as_str() {
            "service" => configuration.services.push(service(&mut arguments)),
            "listener" => listener(&mut configuration.fleets, &mut arguments),
            "freeze-window" => {
                let name = arguments.value();
                let (start, end) = (time(&arguments.word()), time(&arguments.word()));
                let when = FreezeSchedule::Once { start, end };
                let services = selection(&mut arguments);
                configuration.freeze_windows.push(FreezeWindow { name, when, services });
            }
            "weekly-freeze" => {
                let name = arguments.value();
                let days = arguments.word();
                let days = days.split(',').map(|day| serde_json::from_value(day.into()).unwrap());
                let when = FreezeSchedule::Weekly {
                    days: days.collect(),
                    from: arguments.value(),
                    to: arguments.value(),
                    time_zone: arguments.word(),
                };
                let services = selection(&mut arguments);
                configuration.freeze_windows.push(FreezeWindow { name, when, services });
            }
            part => {
                let service = configuration.services.last_mut();
                service_part(service.unwrap(), part, &mut arguments);
            }
        }
        arguments.end();
    }
    if configuration.fleets.is_empty() {
        configuration.fleets.push(Fleet::new("demo".parse().unwrap(), Vec::new()));
    }
    configuration
}

fn listener(fleets: &mut Vec<Fleet>, arguments: &mut Arguments) {
    let at = arguments.word();
    let (fleet, name) = at.split_once('/').unwrap();
    let address = arguments.value();
    let (services, purpose) = (selection(arguments), Purpose::Traffic);
    let listener = Listener { name: name.to_owned(), address, services, purpose };
    match fleets.iter_mut().find(|it| it.name.as_str() == fleet) {
        Some(Fleet { control_plane: ControlPlane::Tidegate { listeners, .. }, .. }) => {
            listeners.push(listener);
        }
        Some(fleet) => panic!("{fleet:?} has no listeners"),
        None => fleets.push(Fleet::new(fleet.parse().unwrap(), vec![listener])),
    }
}

/// Reads the plan of one release: the lines of a service that are about its plan.
pub(crate) fn plan(input: &[&str]) -> Plan {
    let lines: Vec<_> = ["service order v1"].iter().chain(input).copied().collect();
    parse(&lines).services.remove(0).plan
}

/// `5%` or `0.5%`.
pub(crate) fn share(text: &str) -> Ppm {
    let percent: f64 = text.strip_suffix('%').and_then(|it| it.parse().ok()).unwrap();
    let parts = format!("{:.0}", percent * 10_000.0);
    Ppm::new(parts.parse().unwrap()).unwrap()
}

pub(crate) fn duration(text: &str) -> Duration {
    humantime::parse_duration(text).unwrap()
}

/// RFC 3339.
fn time(text: &str) -> Timestamp {
    let time: jiff::Timestamp = text.parse().unwrap();
    Timestamp(time.as_millisecond().try_into().unwrap())
}

/// A canary plan from `5% 100% step=10s requests=10 watch=1m`.
pub(crate) fn canary(arguments: &mut Arguments) -> Plan {
    let time = arguments.option("step").map_or(Duration::from_secs(10), |it| duration(&it));
    let min_requests = arguments.option("requests").map_or(10, |it| it.parse().unwrap());
    let watch = arguments.option("watch").map_or(Duration::from_secs(60), |it| duration(&it));
    let holdback = arguments.option("holdback").map(|it| match it.as_str() {
        "auto" => Holdback::Auto,
        share => Holdback::Share(self::share(share)),
    });
    let step = |weight: String| Step { weight: share(&weight), time, min_requests, approval: None };
    Plan {
        strategy: Strategy::Canary,
        steps: arguments.rest().into_iter().map(step).collect(),
        watch,
        holdback,
        smoke_tests: Vec::new(),
        health: None,
        convergence: ConvergenceThreshold::default(),
        requirements: Requirements::default(),
        on_fail: OnFail::default(),
        rollback_window: ROLLBACK_WINDOW,
        rollback_after_completion: Duration::ZERO,
    }
}

/// The services of a freeze window or a listener: the named ones, or all.
fn selection(arguments: &mut Arguments) -> Services {
    let names = arguments.rest();
    match names.is_empty() {
        true => Services::All,
        false => Services::Named(names.iter().map(|it| it.parse().unwrap()).collect()),
    }
}

pub(crate) fn endpoints(port: u16) -> Vec<Endpoint> {
    vec![Endpoint { host: "127.0.0.1".to_owned(), port }]
}

fn service(arguments: &mut Arguments) -> ServiceSpec {
    let name: ServiceName = arguments.value();
    let versions = arguments.rest();
    let spec = |port| VersionSpec {
        endpoints: endpoints(port),
        istio: None,
        environment: None,
        commit: None,
    };
    ServiceSpec {
        hosts: vec![format!("{name}.local").parse().unwrap()],
        name,
        identity: Vec::new(),
        istio: None,
        stable: versions.first().unwrap().parse().unwrap(),
        versions: versions
            .iter()
            .zip(9001..)
            .map(|(it, port)| (it.parse().unwrap(), spec(port)))
            .collect(),
        environments: None,
        plan: canary(&mut Arguments::parse("5% 50% 100%")),
        guardrails: Guardrails { inconclusive: Inconclusive::Proceed, ..Guardrails::default() },
        excluded: Vec::new(),
        hooks: Vec::new(),
        dns: None,
    }
}

fn service_part(service: &mut ServiceSpec, part: &str, arguments: &mut Arguments) {
    let plan = &mut service.plan;
    match part {
        "canary" => *plan = canary(arguments),
        "blue-green" => {
            let mut one_step = Arguments::parse("100% step=0s");
            *plan = Plan { strategy: Strategy::BlueGreen, ..canary(&mut one_step) };
            if let Some(watch) = arguments.option("watch") {
                plan.watch = duration(&watch);
            }
            let holdback = arguments.option("holdback");
            plan.holdback = holdback.map(|it| Holdback::Share(share(&it)));
            service.environments =
                Some(Environments { blue: endpoints(9001), green: endpoints(9002), istio: None });
            let places = [(Environment::Blue, 9001), (Environment::Green, 9002)];
            let versions: BTreeMap<_, _> = service.versions.keys().cloned().zip(places).collect();
            service.versions = versions
                .into_iter()
                .map(|(name, (place, port))| {
                    let environment = Some(place);
                    (
                        name,
                        VersionSpec {
                            endpoints: endpoints(port),
                            istio: None,
                            environment,
                            commit: None,
                        },
                    )
                })
                .collect();
        }
        "host" => service.hosts = vec![arguments.value()],
        "rollback-after-completion" => plan.rollback_after_completion = duration(&arguments.word()),
        "on-fail" => plan.on_fail = serde_json::from_value(arguments.word().into()).unwrap(),
        "convergence" => plan.convergence.share = share(&arguments.word()),
        "guardrails" => {
            if let Some(requests) = arguments.option("min_requests") {
                service.guardrails.min_requests = requests.parse().unwrap();
            }
            service.guardrails.inconclusive = match arguments.option("inconclusive").as_deref() {
                None | Some("proceed") => Inconclusive::Proceed,
                Some("hold") => Inconclusive::Hold,
                Some(other) => {
                    Inconclusive::Extend(other.strip_prefix("extend-").unwrap().parse().unwrap())
                }
            };
        }
        "checks" => {
            let names = arguments.rest();
            plan.requirements.checks = names.iter().map(|it| it.parse().unwrap()).collect();
        }
        "approvals" => plan.requirements.approvals = Some(approvals(arguments)),
        "step-approval" => {
            let weight = share(&arguments.word());
            let step = plan.steps.iter_mut().find(|step| step.weight == weight);
            step.unwrap().approval = Some(approvals(arguments));
        }
        "smoke-test" => plan.smoke_tests.push(SmokeTest { path: arguments.word(), expect: 200 }),
        "health-check" => {
            assert_eq!(arguments.word(), "tcp");
            plan.health = Some(HealthCheck::Tcp);
        }
        "hook" => service.hooks.push(hook(arguments)),
        "dns" => {
            service.dns = Some(Dns {
                zone: "example.org.".to_owned(),
                name: arguments.word(),
                server: "127.0.0.1:53".parse().unwrap(),
                ttl: duration(&arguments.option("ttl").unwrap()),
                tsig: None,
                records: None,
            });
        }
        other => panic!("`{other}` is no part of a configuration"),
    }
}

fn approvals(arguments: &mut Arguments) -> Approvals {
    Approvals {
        count: arguments.value(),
        role: arguments.value(),
        expire: duration(&arguments.option("expire").unwrap()),
    }
}

fn hook(arguments: &mut Arguments) -> Hook {
    let name = arguments.value();
    let on: Moment = serde_json::from_value(arguments.word().into()).unwrap();
    let blocking = match arguments.word().as_str() {
        "blocking" => true,
        "notifying" => false,
        other => panic!("a hook is `blocking` or `notifying`, not `{other}`"),
    };
    let url = "http://127.0.0.1/".to_owned();
    Hook { name, on, url, timeout: Duration::from_secs(1), retries: 0, secret: None, blocking }
}
