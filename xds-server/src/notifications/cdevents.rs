//! CDEvents 0.4.1, as CloudEvents in structured mode.
//!
//! | Notification | Event |
//! |---|---|
//! | a release was completed | `service.upgraded` |
//! | a release was rolled back, also after its completion | `service.rolledback` |
//! | a condition begins, or changes its level | `incident.detected` |
//! | a condition ends | `incident.resolved` |
//!
//! No event corresponds to the others. An artifact is `pkg:generic/SERVICE@VERSION`, because Tidegate routes to versions and
//! has no identifiers of what was built.

use serde_json::{Value, json};

use super::Notification;
use super::payload::identity;
use tidegate_delivery::names::{ServiceName, VersionName};
use tidegate_delivery::units::rfc3339;

/// The media type of the body.
pub(crate) const CONTENT_TYPE: &str = "application/cloudevents+json";
const VERSION: &str = "0.4.1";
const SOURCE: &str = "/tidegate";

/// The event of a notification about an environment; none if no event corresponds to it.
pub(super) fn cd_event(
    notification: &Notification,
    text: &str,
    environment: &str,
) -> Option<Value> {
    let Notification { seq, at, .. } = notification;
    let environment = json!({"id": environment});
    let artifact =
        || Some(artifact(notification.service.as_ref()?, notification.version.as_ref()?));
    let subject = Subject::of(notification)?;
    let (id, content) = match subject {
        Subject::Service(service, _) => {
            (service.to_string(), json!({"environment": environment, "artifactId": artifact()?}))
        }
        Subject::Incident(_) => {
            let service = notification.service.as_ref().map(|it| json!({"id": it}));
            let mut content = json!({"description": text, "environment": environment});
            let optional = [("service", service), ("artifactId", artifact().map(Value::from))];
            for (key, value) in optional {
                if let (Some(value), Some(fields)) = (value, content.as_object_mut()) {
                    fields.insert(key.to_owned(), value);
                }
            }
            (identity(notification), content)
        }
    };
    let (kind, predicate) = subject.kind();
    let name = format!("dev.cdevents.{kind}.{predicate}.0.2.0");
    // A condition may begin and end without a record in between.
    let event = format!("{seq}-{}", at.0);
    let time = rfc3339::format(*at);
    Some(json!({
        "specversion": "1.0",
        "id": event,
        "source": SOURCE,
        "type": name,
        "subject": id,
        "time": time,
        "datacontenttype": "application/json",
        "data": {
            "context": {
                "version": VERSION, "id": event, "source": SOURCE, "type": name, "timestamp": time,
            },
            "subject": {"id": id, "source": SOURCE, "type": kind, "content": content},
            "customData": {
                "event": notification.event,
                "level": notification.level,
                "release": notification.release,
                "actor": notification.actor,
                "reason": notification.reason,
            },
            "customDataContentType": "application/json",
        },
    }))
}

/// What an event is about, with its predicate.
enum Subject<'a> {
    Service(&'a ServiceName, &'static str),
    Incident(&'static str),
}

impl<'a> Subject<'a> {
    fn of(notification: &'a Notification) -> Option<Self> {
        if notification.condition.is_some() {
            let ended = notification.recovered;
            return Some(Self::Incident(if ended { "resolved" } else { "detected" }));
        }
        let predicate = match notification.event.as_str() {
            "completed" => "upgraded",
            "rolled_back" | "stable_restored" => "rolledback",
            _ => return None,
        };
        Some(Self::Service(notification.service.as_ref()?, predicate))
    }

    const fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::Service(_, predicate) => ("service", predicate),
            Self::Incident(predicate) => ("incident", predicate),
        }
    }
}

/// A package URL. Names have no character that one escapes.
fn artifact(service: &ServiceName, version: &VersionName) -> String {
    format!("pkg:generic/{service}@{version}")
}
