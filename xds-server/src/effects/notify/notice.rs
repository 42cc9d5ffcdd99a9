//! What is told of a record of the journal, in an operator's words.

use serde::{Deserialize, Serialize};

use super::quiet::Subject;
use crate::config::NoticeLevel;
use crate::journal::Record;
use tidegate_delivery::judge::{Finding, Level};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::progress::{Convergence, Nack};
use tidegate_delivery::model::release::RollbackCause;
use tidegate_delivery::names::{ReleaseId, ServiceName};
use tidegate_delivery::units::{Ppm, Timestamp};

/// One thing to tell. Its JSON is in the receivers' cursors, while it waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Notice {
    /// How much it matters.
    pub(super) level: NoticeLevel,
    /// What happened, in one word: the event's, or `sidecars`.
    pub(super) event: String,
    /// The same in a line.
    pub(super) title: String,
    /// More of it.
    pub(super) text: String,
    /// The service; absent: it is about several, or all.
    pub(super) service: Option<ServiceName>,
    /// The release, if it is about one.
    pub(super) release: Option<ReleaseId>,
    /// True if something told before is over.
    pub(super) recovered: bool,
    /// The journal's record.
    pub(super) seq: u64,
    /// When it happened, in milliseconds since the Unix epoch.
    pub(super) at: Timestamp,
    /// Who asked for it.
    pub(super) actor: String,
    /// Why, if they said.
    pub(super) reason: Option<String>,
    /// What it is about that can be well or not, and which it is.
    #[serde(default)]
    pub(super) about: Option<(Subject, Mark)>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mark {
    /// As it should be.
    Well,
    /// Somebody should know.
    Warning,
    /// Somebody should look now.
    Critical,
}

/// What differs from event to event.
struct Said {
    level: NoticeLevel,
    title: String,
    text: String,
    about: Option<(Subject, Mark)>,
}

impl Said {
    fn new(level: NoticeLevel, title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { level, title: title.into(), text: text.into(), about: None }
    }

    fn about(self, subject: String, mark: Mark) -> Self {
        Self { about: Some((Subject(subject), mark)), ..self }
    }
}

/// What is told of a record; nothing of most.
pub(super) fn of_record(record: &Record) -> Option<Notice> {
    let event = record.event.event();
    let release = event.release();
    let service = service_of(event);
    let said = said(event)?;
    let whose = service.as_ref().map_or_else(String::new, |service| format!("{service}: "));
    Some(Notice {
        level: said.level,
        event: event.kind().to_owned(),
        title: format!("{whose}{}", said.title),
        text: said.text,
        service,
        release: release.cloned(),
        recovered: matches!(said.about, Some((_, Mark::Well))),
        seq: record.seq,
        at: record.at,
        actor: record.actor.clone(),
        reason: record.reason.clone(),
        about: said.about,
    })
}

/// What is told of sidecars that refuse what a release needs, or do no longer.
pub(super) fn of_sidecars(
    service: &ServiceName,
    release: &ReleaseId,
    seen: &Convergence,
    seq: u64,
    at: Timestamp,
) -> Notice {
    let subject = Subject(format!("{release} sidecars"));
    let (level, title, text, mark) = match (seen.nacked, seen.nacks.first()) {
        (0, _) => {
            let text = format!("no sidecar refuses what release {release} needs any more");
            (NoticeLevel::Info, "no sidecar refuses its configuration any more", text, Mark::Well)
        }
        (refusing, first) => {
            let first = first.map(|Nack { node, resource, message }| {
                format!(": `{node}` the {resource} configuration: {message}")
            });
            let text = format!(
                "release {release} is blocked; {refusing} of {} sidecars refuse what they were sent{}",
                seen.connected,
                first.unwrap_or_default()
            );
            (NoticeLevel::Warning, "sidecars refuse their configuration", text, Mark::Warning)
        }
    };
    Notice {
        level,
        event: "sidecars".to_owned(),
        title: format!("{service}: {title}"),
        text,
        service: Some(service.clone()),
        release: Some(release.clone()),
        recovered: mark == Mark::Well,
        seq,
        at,
        actor: "sidecars".to_owned(),
        reason: None,
        about: Some((subject, mark)),
    }
}

fn service_of(event: &Event) -> Option<ServiceName> {
    match event {
        Event::ReleaseStarted { service, .. }
        | Event::StableRestored { service, .. }
        | Event::SignalRaised { service, .. }
        | Event::SignalCleared { service, .. }
        | Event::VersionQuarantined { service, .. }
        | Event::QuarantineLifted { service, .. }
        | Event::DnsUpdated { service, .. }
        | Event::DnsFailed { service, .. } => Some(service.clone()),
        Event::DeploymentsFrozen { service, .. } | Event::DeploymentsUnfrozen { service } => {
            service.clone()
        }
        _ => event.release()?.service().parse().ok(),
    }
}

fn said(event: &Event) -> Option<Said> {
    use NoticeLevel::{Critical, Info, Warning};
    Some(match event {
        Event::ReleaseStarted { id, candidate, stable, .. } => Said::new(
            Info,
            format!("release {id} started"),
            format!("from {stable} to {candidate}"),
        ),
        Event::GroupStarted { id, members } => {
            let members: Vec<_> = members.iter().map(ToString::to_string).collect();
            let text = format!("{} go forward, and back, together", members.join(", "));
            Said::new(Info, format!("release group {id} started"), text)
        }
        Event::StepEntered { id, weight, .. } if *weight == Ppm::ALL => Said::new(
            Info,
            format!("release {id} has all traffic"),
            "it is watched, and still goes back by itself",
        ),
        Event::StepEntered { id, step, weight, .. } => Said::new(
            Info,
            format!("release {id} is at {weight}"),
            format!("step {}", step.saturating_add(1)),
        ),
        Event::Paused { id } => {
            Said::new(Info, format!("release {id} is paused"), "by an operator")
        }
        Event::Resumed { id } => {
            Said::new(Info, format!("release {id} is resumed"), "by an operator")
        }
        Event::AlertRaised { id, finding } => {
            let (level, mark) = match finding.level {
                Level::Warning => (Warning, Mark::Warning),
                Level::Critical | Level::Rollback => (Critical, Mark::Critical),
            };
            let guardrail = &finding.guardrail;
            Said::new(level, format!("{guardrail} of release {id}"), found(finding))
                .about(format!("{id} {guardrail}"), mark)
        }
        Event::AlertCleared { id, guardrail } => Said::new(
            Info,
            format!("{guardrail} of release {id} recovered"),
            "it is within its limits again",
        )
        .about(format!("{id} {guardrail}"), Mark::Well),
        Event::RolledBack { id, cause } => {
            let (level, why) = match cause {
                RollbackCause::Operator => (Warning, "by an operator".to_owned()),
                RollbackCause::SmokeTest { failure } => {
                    (Critical, format!("a smoke test failed: {failure}"))
                }
                RollbackCause::Guardrail { finding } => (Critical, found(finding)),
                // The one that took it back is told by itself, as loud as it is.
                RollbackCause::Group { .. } => (Warning, cause.to_string()),
                RollbackCause::Security { .. } => (Critical, cause.to_string()),
            };
            Said::new(level, format!("release {id} was rolled back"), why)
        }
        Event::Completed { id, .. } => Said::new(
            Info,
            format!("release {id} is complete"),
            "its version is the stable one now",
        ),
        Event::StableRestored { version, cause, .. } => Said::new(
            match cause {
                RollbackCause::Operator | RollbackCause::Group { .. } => Warning,
                _ => Critical,
            },
            format!("{version} serves again"),
            format!("a complete release was taken back: {cause}"),
        ),
        Event::PausedByGuardrail { id, finding } => {
            Said::new(Critical, format!("release {id} is paused by a guardrail"), found(finding))
        }
        Event::SignalRaised { service, version, signal, reason } => {
            let why = reason.as_deref().unwrap_or("no reason was given");
            Said::new(Critical, format!("{signal} of {version} is bad"), why)
                .about(format!("{service} {version} {signal}"), Mark::Critical)
        }
        Event::SignalCleared { service, version, signal } => {
            Said::new(Info, format!("{signal} of {version} recovered"), "it is well again")
                .about(format!("{service} {version} {signal}"), Mark::Well)
        }
        Event::VersionQuarantined { version, signal, reason, .. } => {
            let why = reason.as_deref().unwrap_or("no reason was given");
            Said::new(Critical, format!("{version} is quarantined"), format!("{signal}: {why}"))
        }
        Event::QuarantineLifted { version, .. } => {
            Said::new(Warning, format!("{version} may be released again"), "a person said so")
        }
        Event::DeploymentsFrozen { service, by, reason } => {
            let why = reason.as_deref().unwrap_or("no reason was given");
            let what = deployments(service.as_ref());
            Said::new(Warning, format!("{what} are frozen"), format!("by {by}: {why}"))
        }
        Event::DeploymentsUnfrozen { service } => Said::new(
            Info,
            format!("{} are no longer frozen", deployments(service.as_ref())),
            "by an operator",
        ),
        Event::HookFailed { id, hook, attempts, error } => Said::new(
            Warning,
            format!("hook {hook} failed"),
            format!("it was not told of release {id}, tried {attempts} times: {error}"),
        ),
        Event::DnsFailed { service, error } => {
            Said::new(Warning, "DNS does not follow", error.as_str())
                .about(format!("{service} DNS"), Mark::Warning)
        }
        Event::DnsUpdated { service, records } => {
            Said::new(Info, "DNS follows again", format!("it answers with {records}"))
                .about(format!("{service} DNS"), Mark::Well)
        }
        _ => return None,
    })
}

fn deployments(service: Option<&ServiceName>) -> &'static str {
    if service.is_some() { "its deployments" } else { "the deployments of all services" }
}

fn found(finding: &Finding) -> String {
    let Finding { guardrail, limit, bad, requests, .. } = finding;
    format!("{guardrail} above {limit}: {bad} of {requests} requests")
}
