//! The text of changes of a configuration.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::time::Duration;

use tidegate_core::config::{Exclusion, HeaderMatch};

use crate::judge::guardrails::{Guardrails, WorseThanStable};
use crate::model::catalogue::Endpoint;
use crate::model::change::{Change, ChangeKind, Edit, Route, VersionRole};
use crate::model::mesh::Purpose;
use crate::model::plan::{OnFail, Plan, Strategy};
use crate::units::Ppm;

/// What changes, without what is lost by it.
impl Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ChangeKind::FleetAdded { fleet } => write!(f, "fleet `{fleet}` is added"),
            ChangeKind::FleetRemoved { fleet } => write!(f, "fleet `{fleet}` is removed"),
            ChangeKind::FleetListeners { fleet } => write!(
                f,
                "fleet `{fleet}` has listeners of its own instead of those of another control plane"
            ),
            ChangeKind::ListenerAdded { fleet, listener } => {
                let preview = if listener.purpose == Purpose::Preview { "preview " } else { "" };
                let (name, address) = (&listener.name, listener.address);
                write!(f, "{preview}listener `{fleet}/{name}` is added at {address}")
            }
            ChangeKind::ListenerRemoved { fleet, listener } => {
                write!(f, "listener `{fleet}/{}` is removed", listener.name)
            }
            ChangeKind::ListenerMoved { fleet, name, from, to } => {
                write!(f, "listener `{fleet}/{name}` moves from {from} to {to}")
            }
            ChangeKind::ListenerPurpose { fleet, name, to: Purpose::Preview, .. } => {
                write!(f, "listener `{fleet}/{name}` becomes a preview listener")
            }
            ChangeKind::ListenerPurpose { fleet, name, to: Purpose::Traffic, .. } => {
                write!(f, "preview listener `{fleet}/{name}` becomes a listener for clients")
            }
            ChangeKind::RouteAdded(Route { fleet, listener, service }) => {
                write!(f, "listener `{fleet}/{listener}` routes to `{service}` as well")
            }
            ChangeKind::RouteRemoved(Route { fleet, listener, service }) => {
                write!(f, "listener `{fleet}/{listener}` no longer routes to `{service}`")
            }
            ChangeKind::ServiceAdded { service } => write!(f, "service `{service}` is added"),
            ChangeKind::ServiceRemoved { service } => write!(f, "service `{service}` is removed"),
            ChangeKind::HostAdded { service, host } => {
                write!(f, "host `{host}` of `{service}` is added")
            }
            ChangeKind::HostRemoved { service, host } => {
                write!(f, "host `{host}` of `{service}` is removed")
            }
            ChangeKind::HostMoved { host, from, to } => {
                write!(f, "host `{host}` moves from `{from}` to `{to}`")
            }
            ChangeKind::VersionAdded { version, endpoints } => {
                write!(f, "version `{version}` is added with {}", list(endpoints))
            }
            ChangeKind::VersionRemoved { version, role: None } => {
                write!(f, "version `{version}` is removed")
            }
            ChangeKind::VersionRemoved { version, role: Some(VersionRole::Stable) } => {
                write!(f, "the stable version `{version}` is removed")
            }
            ChangeKind::VersionRemoved { version, role: Some(VersionRole::Previous { .. }) } => {
                write!(f, "version `{version}`, kept for a rollback, is removed")
            }
            ChangeKind::EndpointsChanged { version, added, removed } => {
                write!(f, "endpoints of `{version}`: ")?;
                match (added.as_slice(), removed.as_slice()) {
                    (added, []) => write!(f, "{} added", list(added)),
                    ([], removed) => write!(f, "{} removed", list(removed)),
                    (added, removed) => {
                        write!(f, "{} instead of {}", list(added), list(removed))
                    }
                }
            }
            ChangeKind::DeclaredStable { service, stable, to } => write!(
                f,
                "stable version `{to}` of `{service}` has no effect: releases determine it, and it is `{stable}`"
            ),
            ChangeKind::EnvironmentsChanged { service, from, to } => {
                let [from, to] = [from, to].map(|it| match it {
                    None => "none".to_owned(),
                    Some(it) => format!("blue {}, green {}", list(&it.blue), list(&it.green)),
                });
                write!(f, "environments of `{service}`: {to} instead of {from}")
            }
            ChangeKind::IdentityChanged { service, .. } => {
                write!(f, "identity of the users of `{service}` changes")
            }
            ChangeKind::PlanChanged { service, from, to } => {
                write!(f, "plan of `{service}`, from its next release: {}", plans(from, to))
            }
            ChangeKind::GuardrailsChanged { service, from, to } => {
                write!(f, "guardrails of `{service}`: {}", guardrails(from, to))
            }
            ChangeKind::ExclusionsChanged { service, from, to } => {
                let [from, to] = [from, to].map(|it| exclusions(it));
                write!(f, "requests of `{service}` that are no evidence: {to} instead of {from}")
            }
            ChangeKind::HookChanged { service, hook, edit } => {
                write!(f, "hook `{hook}` of `{service}` {}", edited(*edit))
            }
            ChangeKind::DnsChanged { service } => write!(f, "`dns` of `{service}` changes"),
            ChangeKind::FreezeWindowChanged { name, edit } => {
                write!(f, "freeze window `{name}` {}", edited(*edit))
            }
        }
    }
}

/// What a change takes away, if it can be a loss.
#[must_use]
pub fn lost(kind: &ChangeKind) -> Option<String> {
    Some(match kind {
        ChangeKind::FleetRemoved { .. } => {
            "its sidecars get no configuration when they start or reconnect".to_owned()
        }
        ChangeKind::FleetListeners { .. } => {
            "its gRPC clients lose their listeners, and listeners of another control plane may lose their routes"
                .to_owned()
        }
        ChangeKind::ListenerRemoved { listener, .. } => unreachable_at(listener.address),
        ChangeKind::ListenerMoved { from, .. } => unreachable_at(from),
        ChangeKind::ListenerPurpose { .. } => {
            "it receives smoke tests only and rejects the requests of clients".to_owned()
        }
        ChangeKind::RouteRemoved(Route { service, .. }) => {
            format!("requests for the hosts of `{service}` get 404 there")
        }
        ChangeKind::ServiceRemoved { .. } => "requests for its hosts no longer reach it".to_owned(),
        ChangeKind::HostRemoved { host, .. } => format!("requests for `{host}` get 404"),
        ChangeKind::HostMoved { from, to, .. } => {
            format!("its requests reach `{to}` instead of `{from}`")
        }
        ChangeKind::VersionRemoved { role: Some(VersionRole::Stable), .. } => {
            "it serves until another version is stable, then no rollback can return to it".to_owned()
        }
        ChangeKind::VersionRemoved { role: Some(VersionRole::Previous { until }), .. } => {
            match until {
                Some(until) => format!("no rollback can return to it, as it could until {until}"),
                None => "no rollback can return to it".to_owned(),
            }
        }
        ChangeKind::EndpointsChanged { version, .. } => {
            format!("no endpoint of the stable version `{version}` stays in use")
        }
        _ => return None,
    })
}

fn unreachable_at(address: impl Display) -> String {
    format!("clients no longer reach its services at {address}")
}

/// An argument for a shell.
#[must_use]
pub fn quoted(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

const fn edited(edit: Edit) -> &'static str {
    match edit {
        Edit::Added => "is added",
        Edit::Removed => "is removed",
        Edit::Changed => "changes",
    }
}

/// Most endpoints that a text lists.
const MAX_LISTED: usize = 5;

fn list(endpoints: &[Endpoint]) -> String {
    let shown: Vec<_> = endpoints.iter().take(MAX_LISTED).map(ToString::to_string).collect();
    match endpoints.len().saturating_sub(MAX_LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Fields that differ, each with both values.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn field(&mut self, name: &str, from: impl Display, to: impl Display) {
        let (from, to) = (from.to_string(), to.to_string());
        if from != to {
            self.0.push(format!("{name} {to} instead of {from}"));
        }
    }

    /// A field whose values are too long to show.
    fn other(&mut self, name: &str, is_same: bool) {
        if !is_same {
            self.0.push(format!("{name} changes"));
        }
    }
}

fn time(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn plans(from: &Plan, to: &Plan) -> String {
    let mut all = Differences::default();
    let strategy = |plan: &Plan| match plan.strategy {
        Strategy::Canary => "canary",
        Strategy::BlueGreen => "blue/green",
    };
    let steps = |plan: &Plan| {
        let weights = plan.steps.iter().map(|it| it.weight.to_string());
        weights.collect::<Vec<_>>().join(", ")
    };
    let on_fail = |plan: &Plan| match plan.on_fail {
        OnFail::Rollback => "rollback",
        OnFail::Pause => "pause",
    };
    all.field("strategy", strategy(from), strategy(to));
    let (old, new) = (steps(from), steps(to));
    if old == new {
        let of = |plan: &Plan| plan.steps.clone();
        all.other("time, requests or approvals of the steps", of(from) == of(to));
    } else {
        all.field("steps", format!("[{old}]"), format!("[{new}]"));
    }
    all.field("watch", time(from.watch), time(to.watch));
    all.other("smoke_tests", from.smoke_tests == to.smoke_tests);
    all.other("health", from.health == to.health);
    all.field("convergence.share", from.convergence.share, to.convergence.share);
    all.other("requirements", from.requirements == to.requirements);
    all.field("on_fail", on_fail(from), on_fail(to));
    all.field("holdback", from.holdback(), to.holdback());
    let after = |plan: &Plan| time(plan.rollback_after_completion);
    all.field("rollback_after_completion", after(from), after(to));
    all.field("rollback_window", time(from.rollback_window), time(to.rollback_window));
    all.0.join(", ")
}

fn exclusions(all: &[Exclusion]) -> String {
    let each = all.iter().map(|exclusion| match exclusion {
        Exclusion::Path(path) => format!("path {path}"),
        Exclusion::Prefix(prefix) => format!("prefix {prefix}"),
        Exclusion::Header(HeaderMatch { name, value }) => format!("header {name}: {value}"),
        Exclusion::UserAgent(agent) => format!("user agent {agent}"),
    });
    if all.is_empty() { "none".to_owned() } else { each.collect::<Vec<_>>().join(", ") }
}

/// An optional limit.
fn limit(limit: Option<Ppm>) -> String {
    limit.map_or_else(|| "none".to_owned(), |it| it.to_string())
}

const fn compared(result: WorseThanStable) -> &'static str {
    match result {
        WorseThanStable::Rollback => "rollback",
        WorseThanStable::Hold => "hold",
    }
}

fn guardrails(from: &Guardrails, to: &Guardrails) -> String {
    let mut all = Differences::default();
    all.field("error_rate.alert", from.error_rate.alert, to.error_rate.alert);
    all.field("error_rate.rollback", from.error_rate.rollback, to.error_rate.rollback);
    let worse = "error_rate.worse_than_stable";
    let (old, new) = (&from.error_rate, &to.error_rate);
    all.field(worse, compared(old.worse_than_stable), compared(new.worse_than_stable));
    let (old, new) = (&from.client_errors, &to.client_errors);
    all.field("client_errors.alert", limit(old.alert), limit(new.alert));
    all.field("client_errors.rollback", limit(old.rollback), limit(new.rollback));
    let worse = "client_errors.worse_than_stable";
    all.field(worse, compared(old.worse_than_stable), compared(new.worse_than_stable));
    let (old, new) = (&from.latency, &to.latency);
    all.field("latency.quantile", old.quantile, new.quantile);
    all.field("latency.warning", time(old.warning), time(new.warning));
    all.field("latency.critical", time(old.critical), time(new.critical));
    all.field("latency.rollback", time(old.rollback), time(new.rollback));
    let worse = "latency.worse_than_stable";
    all.field(worse, compared(old.worse_than_stable), compared(new.worse_than_stable));
    let (old, new) = (&from.resources, &to.resources);
    all.field("resources.quantile", old.quantile, new.quantile);
    all.field("resources.warning", old.warning, new.warning);
    all.field("resources.critical", old.critical, new.critical);
    all.other("business", from.business == to.business);
    all.field("min_requests", from.min_requests, to.min_requests);
    all.0.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{canary, name};

    fn text(kind: ChangeKind) -> String {
        Change { kind, loss: None }.to_string()
    }

    #[test]
    fn settings_are_shown_with_both_values_and_units() {
        let mut guardrails = Guardrails::default();
        guardrails.error_rate.rollback = Ppm::percent(2);
        guardrails.latency.critical = Duration::from_secs(3);
        guardrails.latency.worse_than_stable = WorseThanStable::Rollback;
        guardrails.client_errors.rollback = Some(Ppm::percent(20));
        let (from, to) = (Box::default(), Box::new(guardrails));
        assert_eq!(
            text(ChangeKind::GuardrailsChanged { service: name("order"), from, to }),
            "guardrails of `order`: error_rate.rollback 2% instead of 5%, client_errors.rollback 20% instead of none, \
             latency.critical 3s instead of 5s, latency.worse_than_stable rollback instead of hold"
        );
        let (from, mut to) = (canary(&[5, 100]), canary(&[10, 100]));
        to.watch = Duration::from_secs(120);
        let (from, to) = (Box::new(from), Box::new(to));
        assert_eq!(
            text(ChangeKind::PlanChanged { service: name("order"), from, to }),
            "plan of `order`, from its next release: steps [10%, 100%] instead of [5%, 100%], watch 2m instead of 1m"
        );
    }

    #[test]
    fn exclusions_are_shown() {
        let to =
            vec![Exclusion::Path("/healthz".into()), Exclusion::UserAgent("kube-probe/".into())];
        assert_eq!(
            text(ChangeKind::ExclusionsChanged { service: name("order"), from: Vec::new(), to }),
            "requests of `order` that are no evidence: path /healthz, user agent kube-probe/ instead of none"
        );
    }

    #[test]
    fn arguments_are_quoted_for_a_shell() {
        assert_eq!(quoted("listener:demo/ingress"), "listener:demo/ingress");
        assert_eq!(quoted("host:[::1]"), "'host:[::1]'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
