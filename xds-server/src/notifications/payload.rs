//! The body of a notification in the format of its receiver.
//!
//! | Format | Interface | What is more than text |
//! |---|---|---|
//! | `webhook` | JSON with all fields | – |
//! | `slack` | incoming webhooks | – |
//! | `teams` | webhooks of Workflows, with an adaptive card | the color shows the level |
//! | `pagerduty` | Events API v2 | a condition that ends resolves its incident |
//! | `alertmanager` | API v2 | a condition that ends resolves its alert |
//! | `grafana` | HTTP API of annotations | tags: service, event and level |
//! | `cdevents` | CloudEvents over HTTP | see [`super::cdevents`] |

use serde_json::{Value, json};
use tracing::warn;

use super::cdevents::cd_event;
use super::template::{self, Message};
use super::{Condition, ConditionStatus, Notification, NotificationLevel};
use tidegate_delivery::units::{Timestamp, rfc3339};

/// How long an alert of Alertmanager fires unless it is resolved. Without an end, Alertmanager resolves it after minutes.
const ALERT_LIFETIME_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// The format of a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadFormat {
    /// JSON with all fields.
    Webhook,
    /// Slack's incoming webhooks, and services compatible with them.
    Slack,
    /// Webhooks of Microsoft Teams.
    Teams,
    /// Events of PagerDuty.
    PagerDuty,
    /// Alerts of Prometheus' Alertmanager.
    Alertmanager,
    /// Annotations of Grafana.
    Grafana,
    /// CDEvents.
    CdEvents {
        /// The id of the environment that they are about.
        environment: String,
    },
}

/// The body. `template` replaces the text; one that fails for this notification is logged, and the default text is sent.
/// `token` is the routing key of PagerDuty. None if the format cannot express the notification.
pub(crate) fn payload(
    format: &PayloadFormat,
    notification: &Notification,
    template: Option<&str>,
    token: Option<&str>,
) -> Result<Option<Value>, serde_json::Error> {
    let message = Message::of(notification, format.escape());
    let rendered = template.and_then(|template| {
        template::render(template, &message)
            .inspect_err(|error| warn!(%error, "template failed; sending the default text"))
            .ok()
    });
    let text =
        |rendered: Option<String>| rendered.unwrap_or_else(|| template::default_text(&message));
    Ok(Some(match format {
        PayloadFormat::Webhook => match rendered {
            Some(text) => serde_json::to_value(Message { text, ..message })?,
            None => serde_json::to_value(message)?,
        },
        PayloadFormat::Slack => json!({"text": text(rendered)}),
        PayloadFormat::Teams => card(notification, &text(rendered)),
        PayloadFormat::PagerDuty => incident(notification, &text(rendered), token),
        PayloadFormat::Alertmanager => Value::Array(alerts(notification, &text(rendered))),
        PayloadFormat::Grafana => json!({
            "time": notification.at.0,
            "tags": tags(notification),
            "text": text(rendered),
        }),
        PayloadFormat::CdEvents { environment } => {
            return Ok(cd_event(notification, &text(rendered), environment));
        }
    }))
}

impl PayloadFormat {
    /// Free text contains names and reasons from outside: no value becomes a link, a mention or markup.
    fn escape(&self) -> fn(&str) -> String {
        match self {
            Self::Slack => {
                |text| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
            }
            Self::Grafana => |text| {
                let text = text.replace('&', "&amp;").replace('<', "&lt;");
                text.replace('>', "&gt;").replace('"', "&quot;")
            },
            Self::Teams => |text| {
                let is_markup = |c: char| "\\`*_[]()#|<>".contains(c);
                text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
                    if is_markup(c) {
                        escaped.push('\\');
                    }
                    escaped.push(c);
                    escaped
                })
            },
            Self::Webhook | Self::PagerDuty | Self::Alertmanager | Self::CdEvents { .. } => {
                str::to_owned
            }
        }
    }
}

fn card(notification: &Notification, text: &str) -> Value {
    let color = match notification.level {
        _ if notification.recovered => "good",
        NotificationLevel::Info => "default",
        NotificationLevel::Warning => "warning",
        NotificationLevel::Critical => "attention",
    };
    let lines = text.lines().enumerate().map(|(line, text)| {
        let weight = if line == 0 { "bolder" } else { "default" };
        json!({"type": "TextBlock", "text": text, "wrap": true, "weight": weight, "color": color})
    });
    let content = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": lines.collect::<Vec<_>>(),
    });
    json!({
        "type": "message",
        "attachments": [
            {"contentType": "application/vnd.microsoft.card.adaptive", "content": content}
        ],
    })
}

fn incident(notification: &Notification, text: &str, token: Option<&str>) -> Value {
    let action = if notification.recovered { "resolve" } else { "trigger" };
    // PagerDuty rejects longer summaries.
    let summary: String = notification.title.chars().take(1024).collect();
    json!({
        "routing_key": token,
        "event_action": action,
        "dedup_key": identity(notification),
        "payload": {
            "summary": summary,
            "severity": notification.level.as_str(),
            "source": "tidegate",
            "timestamp": rfc3339::format(notification.at),
            "component": notification.service,
            "class": notification.event,
            "custom_details": {"text": text, "release": notification.release, "actor": notification.actor},
        },
    })
}

/// An alert for each level, because the level is part of an alert's identity: that of the present level fires, the other one is
/// resolved.
fn alerts(notification: &Notification, text: &str) -> Vec<Value> {
    let levels = match &notification.condition {
        Some(_) => vec![NotificationLevel::Warning, NotificationLevel::Critical],
        None => vec![notification.level],
    };
    let alert = |level: NotificationLevel| {
        let fires = match &notification.condition {
            Some(Condition { status, .. }) => *status == status_of(level),
            None => true,
        };
        let mut labels = json!({
            "alertname": "TidegateRelease",
            "condition": identity(notification),
            "severity": level,
        });
        for (label, value) in [
            ("service", notification.service.as_ref().map(ToString::to_string)),
            ("release", notification.release.as_ref().map(ToString::to_string)),
        ] {
            if let (Some(value), Some(labels)) = (value, labels.as_object_mut()) {
                labels.insert(label.to_owned(), value.into());
            }
        }
        let end = if fires {
            notification.at.0.saturating_add(ALERT_LIFETIME_MS)
        } else {
            notification.at.0
        };
        json!({
            "labels": labels,
            "annotations": {"summary": notification.title, "description": text},
            "startsAt": rfc3339::format(notification.at),
            "endsAt": rfc3339::format(Timestamp(end)),
        })
    };
    levels.into_iter().map(alert).collect()
}

const fn status_of(level: NotificationLevel) -> ConditionStatus {
    match level {
        NotificationLevel::Info => ConditionStatus::Ok,
        NotificationLevel::Warning => ConditionStatus::Warning,
        NotificationLevel::Critical => ConditionStatus::Critical,
    }
}

fn tags(notification: &Notification) -> Vec<String> {
    let level = notification.level.as_str().to_owned();
    let service = notification.service.iter().map(ToString::to_string);
    ["tidegate".to_owned(), notification.event.clone(), level].into_iter().chain(service).collect()
}

/// What begins and ends: the condition, or this record.
pub(super) fn identity(notification: &Notification) -> String {
    match &notification.condition {
        Some(Condition { id, .. }) => id.0.clone(),
        None => format!("{}/{}", notification.event, notification.seq),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ConditionId;
    use super::*;

    fn alert(status: ConditionStatus) -> Notification {
        let level = match status {
            ConditionStatus::Ok => NotificationLevel::Info,
            ConditionStatus::Warning => NotificationLevel::Warning,
            ConditionStatus::Critical => NotificationLevel::Critical,
        };
        Notification {
            level,
            event: "alert_raised".to_owned(),
            title: "order: latency alert of release order.1".to_owned(),
            text: "p99 above 2s: [12](http://evil) of 40 <requests>".to_owned(),
            service: Some("order".parse().unwrap()),
            release: Some("order.1".parse().unwrap()),
            version: None,
            recovered: status == ConditionStatus::Ok,
            seq: 7,
            at: Timestamp(1_700_000_000_000),
            actor: "controller".to_owned(),
            reason: None,
            condition: Some(Condition { id: ConditionId("order.1 latency".to_owned()), status }),
        }
    }

    fn body(format: PayloadFormat, status: ConditionStatus) -> Value {
        payload(&format, &alert(status), None, Some("key")).unwrap().unwrap()
    }

    #[test]
    fn cdevents_are_about_services_and_incidents() {
        let format = PayloadFormat::CdEvents { environment: "production".to_owned() };
        let detected = body(format.clone(), ConditionStatus::Critical);
        assert_eq!(detected["type"], "dev.cdevents.incident.detected.0.2.0");
        assert_eq!(detected["data"]["subject"]["content"]["service"]["id"], "order");
        let resolved = body(format.clone(), ConditionStatus::Ok);
        assert_eq!(resolved["type"], "dev.cdevents.incident.resolved.0.2.0");
        assert_eq!(resolved["subject"], detected["subject"]);
        let ended = |event: &str| Notification {
            event: event.to_owned(),
            version: Some("v1".parse().unwrap()),
            condition: None,
            ..alert(ConditionStatus::Ok)
        };
        let event = |event| payload(&format, &ended(event), None, None).unwrap();
        let rolled_back = event("rolled_back").unwrap();
        assert_eq!(
            rolled_back["data"]["context"],
            json!({
                "version": "0.4.1",
                "id": "7-1700000000000",
                "source": "/tidegate",
                "type": "dev.cdevents.service.rolledback.0.2.0",
                "timestamp": "2023-11-14T22:13:20.000Z",
            })
        );
        let content =
            json!({"environment": {"id": "production"}, "artifactId": "pkg:generic/order@v1"});
        assert_eq!(
            rolled_back["data"]["subject"],
            json!({"id": "order", "source": "/tidegate", "type": "service", "content": content})
        );
        assert_eq!(event("completed").unwrap()["type"], "dev.cdevents.service.upgraded.0.2.0");
        assert_eq!(event("paused"), None);
    }

    #[test]
    fn pagerduty_resolves_the_incident_of_a_condition() {
        let triggered = body(PayloadFormat::PagerDuty, ConditionStatus::Critical);
        assert_eq!(triggered["event_action"], "trigger");
        assert_eq!(triggered["routing_key"], "key");
        assert_eq!(triggered["payload"]["severity"], "critical");
        assert_eq!(triggered["payload"]["timestamp"], "2023-11-14T22:13:20.000Z");
        let resolved = body(PayloadFormat::PagerDuty, ConditionStatus::Ok);
        assert_eq!(resolved["event_action"], "resolve");
        assert_eq!(resolved["dedup_key"], triggered["dedup_key"]);
    }

    #[test]
    fn an_alert_that_changes_its_level_resolves_that_of_the_other_level() {
        let at = "2023-11-14T22:13:20.000Z";
        let resolved = |status| {
            let alerts = body(PayloadFormat::Alertmanager, status);
            let alerts = alerts.as_array().unwrap().clone();
            let ended = alerts.iter().filter(|it| it["endsAt"] == at);
            ended
                .map(|it| it["labels"]["severity"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(resolved(ConditionStatus::Warning), ["critical"]);
        assert_eq!(resolved(ConditionStatus::Critical), ["warning"]);
        assert_eq!(resolved(ConditionStatus::Ok), ["warning", "critical"]);
    }

    #[test]
    fn no_text_becomes_markup() {
        let slack = body(PayloadFormat::Slack, ConditionStatus::Critical);
        assert!(slack["text"].as_str().unwrap().contains("&lt;requests&gt;"), "{slack}");
        let teams = body(PayloadFormat::Teams, ConditionStatus::Critical);
        let lines = &teams["attachments"][0]["content"]["body"];
        assert_eq!(lines[0]["color"], "attention");
        assert!(lines[1]["text"].as_str().unwrap().contains(r"\[12\]\(http://evil\)"), "{lines}");
        let grafana = body(PayloadFormat::Grafana, ConditionStatus::Critical);
        assert!(grafana["text"].as_str().unwrap().contains("&lt;requests&gt;"), "{grafana}");
        assert_eq!(grafana["tags"], json!(["tidegate", "alert_raised", "critical", "order"]));
        assert_eq!(grafana["time"], 1_700_000_000_000_u64);
    }
}
