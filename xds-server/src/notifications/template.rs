//! The message of a notification, and its text from a Jinja template. Variables of a template: `level`, `event`, `title`,
//! `text`, `service`, `release`, `recovered`, `seq`, `at`, `actor` and `reason`.

use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::{Notification, NotificationLevel};

/// Limit of a template, in bytes.
const MAX_TEMPLATE: usize = 4096;
/// Limit of a text, in characters. Slack truncates longer ones.
const MAX_TEXT: usize = 3000;
/// Limit of instructions of a template, against endless loops.
const FUEL: u64 = 20_000;

/// Why a template is invalid.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It exceeds the size limit.
    #[error("longer than {MAX_TEMPLATE} bytes")]
    TooLong,
    /// It does not parse, uses an unknown variable, or exceeds the instruction limit.
    #[error("{0}")]
    Jinja(#[from] minijinja::Error),
}

/// The variables of a template, and the JSON body of a webhook. The fields are those of [`Notification`].
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Message {
    pub(crate) level: NotificationLevel,
    pub(crate) event: String,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) service: Option<String>,
    pub(crate) release: Option<String>,
    pub(crate) recovered: bool,
    pub(crate) seq: u64,
    pub(crate) at: u64,
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
}

impl Message {
    /// The message of a notification; `escape` is applied to free text.
    pub(crate) fn of(notification: &Notification, escape: impl Fn(&str) -> String) -> Self {
        Self {
            level: notification.level,
            event: notification.event.clone(),
            title: escape(&notification.title),
            text: escape(&notification.text),
            service: notification.service.as_ref().map(ToString::to_string),
            release: notification.release.as_ref().map(ToString::to_string),
            recovered: notification.recovered,
            seq: notification.seq,
            at: notification.at.0,
            actor: escape(&notification.actor),
            reason: notification.reason.as_deref().map(escape),
        }
    }
}

/// Renders a template with sample values.
///
/// # Errors
/// If it is too long or cannot be rendered.
pub fn check(template: &str) -> Result<(), TemplateError> {
    if template.len() > MAX_TEMPLATE {
        return Err(TemplateError::TooLong);
    }
    let sample = || "sample".to_owned();
    let message = Message {
        level: NotificationLevel::Warning,
        event: sample(),
        title: sample(),
        text: sample(),
        service: Some(sample()),
        release: Some(sample()),
        recovered: false,
        seq: 1,
        at: 0,
        actor: sample(),
        reason: Some(sample()),
    };
    render(template, &message)?;
    Ok(())
}

/// The text without a template.
pub(crate) fn default_text(message: &Message) -> String {
    let Message { title, text, actor, reason, .. } = message;
    let reason = reason.as_ref().map(|reason| format!("\n{actor}: {reason}"));
    clip(&format!("{title}\n{text}{}", reason.unwrap_or_default()))
}

/// The text that a template renders for a message.
pub(crate) fn render(template: &str, message: &Message) -> Result<String, minijinja::Error> {
    let mut jinja = Environment::new();
    jinja.set_undefined_behavior(UndefinedBehavior::Strict);
    jinja.set_fuel(Some(FUEL));
    Ok(clip(&jinja.render_str(template, Value::from(Serde(message)))?))
}

fn clip(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_templates_are_rejected() {
        assert!(
            check("[{{ level }}] {{ title }}{% if release %} ({{ release }}){% endif %}").is_ok()
        );
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        let long = "x".repeat(MAX_TEMPLATE + 1);
        for bad in ["{{ titel }}", "{% if %}", "{{ title", endless, &long] {
            assert!(check(bad).is_err(), "{}", bad.chars().take(60).collect::<String>());
        }
    }
}
