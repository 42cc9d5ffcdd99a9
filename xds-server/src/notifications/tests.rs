//! The texts of all notifications, in one list, and the values that receivers filter on.

use super::*;
use crate::journal::{Head, NewRecord, Record};
use tidegate_delivery::fixtures::{finding, nack, name};
use tidegate_delivery::judge::{Guardrail, Level};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::model::release::RollbackCause;
use tidegate_delivery::model::sample_ratio::{SampleRatio, Split};
use tidegate_delivery::units::Ppm;

fn notification(event: Event) -> Option<Notification> {
    let (at, actor) = (Timestamp(1000), "anne".to_owned());
    let new = NewRecord { at, actor, reason: Some("planned".to_owned()), event };
    of_record(&Record::link(&Head::genesis(), new).unwrap())
}

fn line(notification: &Notification) -> String {
    let Notification { level, title, text, .. } = notification;
    let level = serde_json::to_string(level).unwrap();
    format!("{} | {title} | {text}", level.trim_matches('"'))
}

/// The condition concerns so many of 120 sidecars.
fn convergence(condition: SidecarCondition, count: u32) -> Convergence {
    let all = Convergence { connected: 120, ..Convergence::default() };
    match condition {
        SidecarCondition::Nack => {
            let nacks = (count > 0).then(nack).into_iter().collect();
            Convergence { nacked: count, nacks, ..all }
        }
        SidecarCondition::Silence => {
            let silent_nodes = (1..=count).take(2).map(|number| format!("edge-{number}")).collect();
            Convergence { silent: count, silent_nodes, ..all }
        }
        SidecarCondition::SampleRatio => {
            let splits =
                (1..=count).map(|number| (format!("edge-{number}"), 1000 * u64::from(number)));
            let splits: Vec<_> = splits.collect();
            let splits = splits.iter().map(|(node, requests)| {
                (node.as_str(), Split { candidate: 0, requests: *requests })
            });
            Convergence { sample_ratio: SampleRatio::of(Ppm::percent(5), splits), ..all }
        }
    }
}

fn events() -> Vec<Event> {
    let id = || name::<ReleaseId>("order.1");
    let (service, version) = (|| name::<ServiceName>("order"), || name("v2"));
    let reason = || Some("CVE-1".to_owned());
    let guardrail = || RollbackCause::Guardrail { finding: finding(Level::Rollback) };
    vec![
        Event::GroupStarted { id: name("checkout"), members: vec![id(), name("payment.1")] },
        Event::StepEntered {
            id: id(),
            step: 0,
            weight: Ppm::percent(5),
            holdback: Ppm::ZERO,
            evidence: None,
        },
        Event::StepEntered {
            id: id(),
            step: 1,
            weight: Ppm::ALL,
            holdback: Ppm::ZERO,
            evidence: None,
        },
        Event::Paused { id: id() },
        Event::Resumed { id: id() },
        Event::AlertRaised { id: id(), finding: finding(Level::Warning) },
        Event::AlertRaised { id: id(), finding: finding(Level::Critical) },
        Event::AlertCleared { id: id(), guardrail: Guardrail::ErrorRate },
        Event::VersionAlertRaised {
            service: service(),
            version: version(),
            finding: finding(Level::Critical),
        },
        Event::VersionAlertCleared {
            service: service(),
            version: version(),
            guardrail: Guardrail::ErrorRate,
        },
        Event::PausedByGuardrail { id: id(), finding: finding(Level::Rollback) },
        Event::RolledBack { id: id(), version: name("v1"), cause: RollbackCause::Operator },
        Event::RolledBack { id: id(), version: name("v1"), cause: guardrail() },
        Event::StableRestored { service: service(), version: name("v1"), cause: guardrail() },
        Event::SignalRaised {
            service: service(),
            version: version(),
            signal: name("scanner"),
            reason: reason(),
        },
        Event::SignalCleared { service: service(), version: version(), signal: name("scanner") },
        Event::VersionQuarantined {
            service: service(),
            version: version(),
            signal: name("scanner"),
            reason: None,
        },
        Event::QuarantineLifted { service: service(), version: version() },
        Event::FlagsAllowed { service: service(), version: version() },
        Event::DeploymentsFrozen {
            service: Some(service()),
            by: "anne".to_owned(),
            reason: reason(),
        },
        Event::DeploymentsUnfrozen { service: None },
        Event::DnsFailed { service: service(), error: "timeout".to_owned() },
    ]
}

/// The only test that compares sentences.
#[test]
fn texts() {
    let mut lines: Vec<_> =
        events().into_iter().map(|event| line(&notification(event).unwrap())).collect();
    let (service, release) = (name("order"), name("order.1"));
    for (condition, count) in
        SidecarCondition::ALL.into_iter().flat_map(|condition| [(condition, 6), (condition, 0)])
    {
        let convergence = convergence(condition, count);
        let of = (&service, &release);
        lines.push(line(&of_sidecars(condition, of, &convergence, 1, Timestamp(1000))));
    }
    assert_eq!(lines, TEXTS, "{lines:#?}");
}

const TEXTS: [&str; 28] = [
    "info | release group checkout was started | members: order.1, payment.1",
    "info | order: release order.1 is at 5% | step 1",
    "info | order: release order.1 is at 100% | the candidate receives all traffic and is watched",
    "info | order: release order.1 was paused | by an operator",
    "info | order: release order.1 was resumed | by an operator",
    "warning | order: error rate alert of release order.1 | error rate above 5%: 60 of 1000 requests",
    "critical | order: error rate alert of release order.1 | error rate above 5%: 60 of 1000 requests",
    "info | order: error rate alert of release order.1 was cleared | the value is within its limit",
    "critical | order: error rate alert of v2 | error rate above 5%: 60 of 1000 requests",
    "info | order: error rate alert of v2 was cleared | the value is within its limit",
    "critical | order: release order.1 was paused by a guardrail | error rate above 5%: 60 of 1000 requests",
    "warning | order: release order.1 was rolled back | by an operator",
    "critical | order: release order.1 was rolled back | error rate above 5%: 60 of 1000 requests",
    "critical | order: v1 was restored as the stable version | the completed release was rolled back: error rate above 5%: 60 of 1000 requests",
    "critical | order: signal scanner reports v2 as bad | CVE-1",
    "info | order: signal scanner of v2 was cleared | the signal is good again",
    "critical | order: v2 was quarantined | signal scanner: no reason given",
    "warning | order: the quarantine of v2 was lifted | by an operator",
    "warning | order: flags may select v2 again | it was rolled back; allowed by an operator",
    "warning | order: deployments are frozen | by anne: CVE-1",
    "info | deployments of all services are no longer frozen | by an operator",
    "warning | order: DNS update failed | timeout",
    "warning | order: sidecars reject the configuration (NACK) | release order.1 is blocked; 6 of 120 sidecars sent a NACK: `edge-2` rejected the route configuration: no such cluster",
    "info | order: sidecars accept the configuration | no sidecar rejects the configuration of release order.1",
    "warning | order: sidecars do not report | 6 sidecars of release order.1 have the filter and do not report, so their requests are not judged: `edge-1`, `edge-2`, …",
    "info | order: sidecars report again | every sidecar of release order.1 with the filter reports",
    "warning | order: sidecars do not follow the weight | release order.1: all sidecars together sent 0 of 21000 requests (0%) to the candidate; `edge-6` sent 0 of 6000 requests (0%) to the candidate; `edge-5` sent 0 of 5000 requests (0%) to the candidate; `edge-4` sent 0 of 4000 requests (0%) to the candidate; `edge-3` sent 0 of 3000 requests (0%) to the candidate; `edge-2` sent 0 of 2000 requests (0%) to the candidate; 1 more. They ignore the weight, or have few clients",
    "info | order: sidecars follow the weight | the sidecars of release order.1 send the candidate about its weight",
];

#[test]
fn a_notification_has_the_values_of_its_record() {
    let rolled_back = Event::RolledBack {
        id: name("order.1"),
        version: name("v1"),
        cause: RollbackCause::Operator,
    };
    let sent = notification(rolled_back).unwrap();
    assert_eq!((sent.seq, sent.at, sent.event.as_str()), (1, Timestamp(1000), "rolled_back"));
    assert_eq!((sent.actor.as_str(), sent.reason.as_deref()), ("anne", Some("planned")));
    assert_eq!((sent.service, sent.release), (Some(name("order")), Some(name("order.1"))));
    assert_eq!((sent.recovered, sent.condition), (false, None));
}

#[test]
fn an_alert_and_its_end_concern_the_same_condition() {
    let id = || name::<ReleaseId>("order.1");
    let raised = Event::AlertRaised { id: id(), finding: finding(Level::Critical) };
    let cleared = Event::AlertCleared { id: id(), guardrail: Guardrail::ErrorRate };
    let (raised, cleared) = (notification(raised).unwrap(), notification(cleared).unwrap());
    assert_eq!((raised.recovered, cleared.recovered), (false, true));
    let (raised, cleared) = (raised.condition.unwrap(), cleared.condition.unwrap());
    assert_eq!(raised.id, cleared.id);
    assert_eq!((raised.status, cleared.status), (ConditionStatus::Critical, ConditionStatus::Ok));
    assert!(raised.id.belongs_to(&id()) && !raised.id.belongs_to(&name("order.11")));
}

#[test]
fn internal_events_are_not_notified() {
    assert_eq!(notification(Event::StepConverged { id: name("order.1"), step: 0 }), None);
    assert_eq!(notification(Event::SmokeTestsPassed { id: name("order.1") }), None);
}
