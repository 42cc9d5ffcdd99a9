//! Notifications of journal records and of conditions of the sidecars, as English text.

use super::{
    Condition, ConditionId, ConditionStatus, Notification, NotificationLevel, SidecarCondition,
};
use crate::journal::Record;
use tidegate_delivery::judge::{Finding, Level};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::progress::{Convergence, Nack};
use tidegate_delivery::model::release::RollbackCause;
use tidegate_delivery::names::{ReleaseId, ServiceName};
use tidegate_delivery::units::{Ppm, Timestamp};

/// What depends on the kind of an event.
struct Content {
    level: NotificationLevel,
    title: String,
    text: String,
    condition: Option<Condition>,
}

impl Content {
    fn new(level: NotificationLevel, title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { level, title: title.into(), text: text.into(), condition: None }
    }

    fn with_condition(self, id: String, status: ConditionStatus) -> Self {
        Self { condition: Some(Condition { id: ConditionId(id), status }), ..self }
    }
}

/// The notification of a record; `None` for most kinds of events.
pub(crate) fn of_record(record: &Record) -> Option<Notification> {
    let event = record.event.event();
    let release = event.release();
    let service: Option<ServiceName> = event.service().and_then(|name| name.parse().ok());
    let Content { level, title, text, condition } = content(event)?;
    let prefix = service.as_ref().map_or_else(String::new, |service| format!("{service}: "));
    Some(Notification {
        level,
        event: event.kind().to_owned(),
        title: format!("{prefix}{title}"),
        text,
        service,
        release: release.cloned(),
        version: match event {
            Event::Completed { version, .. }
            | Event::RolledBack { version, .. }
            | Event::StableRestored { version, .. } => Some(version.clone()),
            _ => None,
        },
        recovered: condition.as_ref().is_some_and(|it| it.status == ConditionStatus::Ok),
        seq: record.seq,
        at: record.at,
        actor: record.actor.clone(),
        reason: record.reason.clone(),
        condition,
    })
}

/// The notification that a condition of the sidecars of a release has begun, or that it has ended.
pub(crate) fn of_sidecars(
    condition: SidecarCondition,
    (service, release): (&ServiceName, &ReleaseId),
    convergence: &Convergence,
    seq: u64,
    at: Timestamp,
) -> Notification {
    let holds = condition.holds(convergence);
    let (title, text) = match condition {
        SidecarCondition::Nack => nack_text(release, convergence),
        SidecarCondition::Silence => silence_text(release, convergence),
        SidecarCondition::SampleRatio => ratio_text(release, convergence),
    };
    let (level, status) = if holds {
        (NotificationLevel::Warning, ConditionStatus::Warning)
    } else {
        (NotificationLevel::Info, ConditionStatus::Ok)
    };
    let (event, id) = match condition {
        SidecarCondition::Nack => ("nack", format!("{release} NACK")),
        SidecarCondition::Silence => ("silent_sidecars", format!("{release} silent sidecars")),
        SidecarCondition::SampleRatio => ("sample_ratio", format!("{release} sample ratio")),
    };
    Notification {
        level,
        event: event.to_owned(),
        title: format!("{service}: {title}"),
        text,
        service: Some(service.clone()),
        release: Some(release.clone()),
        version: None,
        recovered: !holds,
        seq,
        at,
        actor: "sidecars".to_owned(),
        reason: None,
        condition: Some(Condition { id: ConditionId(id), status }),
    }
}

fn nack_text(release: &ReleaseId, convergence: &Convergence) -> (&'static str, String) {
    let rejecting = convergence.nacked;
    if rejecting == 0 {
        let text = format!("no sidecar rejects the configuration of release {release}");
        return ("sidecars accept the configuration", text);
    }
    let first = convergence.nacks.first().map(|Nack { node, resource, message }| {
        format!(": `{node}` rejected the {resource} configuration: {message}")
    });
    let text = format!(
        "release {release} is blocked; {rejecting} of {} sidecars sent a NACK{}",
        convergence.connected,
        first.unwrap_or_default()
    );
    ("sidecars reject the configuration (NACK)", text)
}

fn silence_text(release: &ReleaseId, convergence: &Convergence) -> (&'static str, String) {
    let silent = convergence.silent;
    if silent == 0 {
        let text = format!("every sidecar of release {release} with the filter reports");
        return ("sidecars report again", text);
    }
    let nodes: Vec<_> = convergence.silent_nodes.iter().map(|node| format!("`{node}`")).collect();
    let is_complete = usize::try_from(silent).is_ok_and(|silent| silent == nodes.len());
    let more = if is_complete { "" } else { ", …" };
    let text = format!(
        "{silent} sidecars of release {release} have the filter and do not report, so their requests are not judged: {}{more}",
        nodes.join(", ")
    );
    ("sidecars do not report", text)
}

fn ratio_text(release: &ReleaseId, convergence: &Convergence) -> (&'static str, String) {
    let ratio = &convergence.sample_ratio;
    if ratio.is_empty() {
        let text = format!("the sidecars of release {release} send the candidate about its weight");
        return ("sidecars follow the weight", text);
    }
    let text = format!("release {release}: {ratio}. They ignore the weight, or have few clients");
    ("sidecars do not follow the weight", text)
}

fn content(event: &Event) -> Option<Content> {
    use NotificationLevel::{Critical, Info, Warning};
    Some(match event {
        Event::ReleaseStarted { id, candidate, stable, .. } => Content::new(
            Info,
            format!("release {id} was started"),
            format!("from {stable} to {candidate}"),
        ),
        Event::GroupStarted { id, members } => {
            let members: Vec<_> = members.iter().map(ToString::to_string).collect();
            let text = format!("members: {}", members.join(", "));
            Content::new(Info, format!("release group {id} was started"), text)
        }
        Event::StepEntered { id, weight, holdback, .. } if *weight == holdback.complement() => {
            let text = match holdback {
                &Ppm::ZERO => "the candidate receives all traffic and is watched".to_owned(),
                share => {
                    format!("the candidate is watched; {share} stay on stable until completion")
                }
            };
            Content::new(Info, format!("release {id} is at {weight}"), text)
        }
        Event::StepEntered { id, step, weight, .. } => Content::new(
            Info,
            format!("release {id} is at {weight}"),
            format!("step {}", step.saturating_add(1)),
        ),
        Event::Paused { id } => {
            Content::new(Info, format!("release {id} was paused"), "by an operator")
        }
        Event::Resumed { id } => {
            Content::new(Info, format!("release {id} was resumed"), "by an operator")
        }
        Event::AlertRaised { id, finding } => {
            let (level, status) = match finding.level {
                Level::Warning => (Warning, ConditionStatus::Warning),
                Level::Critical | Level::Rollback => (Critical, ConditionStatus::Critical),
            };
            let guardrail = &finding.guardrail;
            Content::new(level, format!("{guardrail} alert of release {id}"), measured(finding))
                .with_condition(format!("{id} {guardrail}"), status)
        }
        Event::AlertCleared { id, guardrail } => Content::new(
            Info,
            format!("{guardrail} alert of release {id} was cleared"),
            "the value is within its limit",
        )
        .with_condition(format!("{id} {guardrail}"), ConditionStatus::Ok),
        Event::VersionAlertRaised { service, version, finding } => {
            let (level, status) = match finding.level {
                Level::Warning => (Warning, ConditionStatus::Warning),
                Level::Critical | Level::Rollback => (Critical, ConditionStatus::Critical),
            };
            let guardrail = &finding.guardrail;
            Content::new(level, format!("{guardrail} alert of {version}"), measured(finding))
                .with_condition(format!("{service} {version} {guardrail}"), status)
        }
        Event::VersionAlertCleared { service, version, guardrail } => Content::new(
            Info,
            format!("{guardrail} alert of {version} was cleared"),
            "the value is within its limit",
        )
        .with_condition(format!("{service} {version} {guardrail}"), ConditionStatus::Ok),
        Event::RolledBack { id, cause, .. } => Content::new(
            rollback_level(cause),
            format!("release {id} was rolled back"),
            rollback_text(cause),
        ),
        Event::Completed { id, .. } => Content::new(
            Info,
            format!("release {id} was completed"),
            "the candidate is the stable version",
        ),
        Event::StableRestored { version, cause, .. } => Content::new(
            rollback_level(cause),
            format!("{version} was restored as the stable version"),
            format!("the completed release was rolled back: {}", rollback_text(cause)),
        ),
        Event::PausedByGuardrail { id, finding } => Content::new(
            Critical,
            format!("release {id} was paused by a guardrail"),
            measured(finding),
        ),
        Event::SignalRaised { service, version, signal, reason } => {
            let title = format!("signal {signal} reports {version} as bad");
            Content::new(Critical, title, or_no_reason(reason.as_deref()))
                .with_condition(format!("{service} {version} {signal}"), ConditionStatus::Critical)
        }
        Event::SignalCleared { service, version, signal } => {
            let title = format!("signal {signal} of {version} was cleared");
            Content::new(Info, title, "the signal is good again")
                .with_condition(format!("{service} {version} {signal}"), ConditionStatus::Ok)
        }
        Event::VersionQuarantined { version, signal, reason, .. } => Content::new(
            Critical,
            format!("{version} was quarantined"),
            format!("signal {signal}: {}", or_no_reason(reason.as_deref())),
        ),
        Event::QuarantineLifted { version, .. } => Content::new(
            Warning,
            format!("the quarantine of {version} was lifted"),
            "by an operator",
        ),
        Event::FlagsAllowed { version, .. } => Content::new(
            Warning,
            format!("flags may select {version} again"),
            "it was rolled back; allowed by an operator",
        ),
        Event::DeploymentsFrozen { service, by, reason } => Content::new(
            Warning,
            format!("{} are frozen", deployments(service.as_ref())),
            format!("by {by}: {}", or_no_reason(reason.as_deref())),
        ),
        Event::DeploymentsUnfrozen { service } => Content::new(
            Info,
            format!("{} are no longer frozen", deployments(service.as_ref())),
            "by an operator",
        ),
        Event::HookFailed { id, hook, attempts, error, .. } => Content::new(
            Warning,
            format!("hook {hook} failed"),
            format!("for release {id}, after {attempts} attempts: {error}"),
        ),
        Event::DnsFailed { service, error } => {
            Content::new(Warning, "DNS update failed", error.as_str())
                .with_condition(format!("{service} DNS"), ConditionStatus::Warning)
        }
        Event::DnsUpdated { service, records } => {
            let text = format!("the server answers with {records}");
            Content::new(Info, "DNS is up to date", text)
                .with_condition(format!("{service} DNS"), ConditionStatus::Ok)
        }
        _ => return None,
    })
}

/// A rollback by an operator, or because of another member of its group, has a notification of its own cause.
const fn rollback_level(cause: &RollbackCause) -> NotificationLevel {
    match cause {
        RollbackCause::Operator | RollbackCause::Group { .. } => NotificationLevel::Warning,
        _ => NotificationLevel::Critical,
    }
}

fn rollback_text(cause: &RollbackCause) -> String {
    match cause {
        RollbackCause::Guardrail { finding } => measured(finding),
        _ => cause.to_string(),
    }
}

fn deployments(service: Option<&ServiceName>) -> &'static str {
    if service.is_some() { "deployments" } else { "deployments of all services" }
}

fn or_no_reason(reason: Option<&str>) -> &str {
    reason.unwrap_or("no reason given")
}

fn measured(finding: &Finding) -> String {
    let Finding { guardrail, limit, bad, requests, .. } = finding;
    format!("{guardrail} above {limit}: {bad} of {requests} requests")
}
