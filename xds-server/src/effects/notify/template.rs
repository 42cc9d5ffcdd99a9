//! The text of a message, as a receiver wants it, in Jinja's language: `level`, `event`, `title`,
//! `text`, `service`, `release`, `recovered`, `seq`, `at`, `actor` and `reason` are there.

use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::notice::Notice;
use crate::config::NoticeLevel;

/// Longest template, in bytes.
const MAX_TEMPLATE: usize = 4096;
/// Longest text that is sent, in characters: Slack cuts there.
const MAX_TEXT: usize = 3000;
/// Steps that a template may take: none is written to loop.
const FUEL: u64 = 20_000;

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Nobody can read it.
    #[error("it is longer than {MAX_TEMPLATE} bytes")]
    TooLong,
    /// It does not parse, or names what there is not.
    #[error("{0}")]
    Jinja(#[from] minijinja::Error),
}

/// A message in the receiver's words: what its template sees, and what a webhook is sent.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Words {
    pub(super) level: NoticeLevel,
    pub(super) event: String,
    pub(super) title: String,
    pub(super) text: String,
    pub(super) service: Option<String>,
    pub(super) release: Option<String>,
    pub(super) recovered: bool,
    pub(super) seq: u64,
    pub(super) at: u64,
    pub(super) actor: String,
    pub(super) reason: Option<String>,
}

impl Words {
    /// A notice, with `escape` for what the receiver's own language needs.
    pub(super) fn of(notice: &Notice, escape: impl Fn(&str) -> String) -> Self {
        Self {
            level: notice.level,
            event: notice.event.clone(),
            title: escape(&notice.title),
            text: escape(&notice.text),
            service: notice.service.as_ref().map(ToString::to_string),
            release: notice.release.as_ref().map(ToString::to_string),
            recovered: notice.recovered,
            seq: notice.seq,
            at: notice.at.0,
            actor: escape(&notice.actor),
            reason: notice.reason.as_deref().map(escape),
        }
    }
}

/// Checks that a template says something of any message.
///
/// # Errors
/// When it does not.
pub fn check(template: &str) -> Result<(), TemplateError> {
    if template.len() > MAX_TEMPLATE {
        return Err(TemplateError::TooLong);
    }
    let sample = || "sample".to_owned();
    let words = Words {
        level: NoticeLevel::Warning,
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
    render(template, &words)?;
    Ok(())
}

/// The text where no template is given.
pub(super) fn usual(words: &Words) -> String {
    let Words { title, text, actor, reason, .. } = words;
    let reason = reason.as_ref().map(|reason| format!("\n{actor}: {reason}"));
    clip(&format!("{title}\n{text}{}", reason.unwrap_or_default()))
}

/// The text that a template makes of a message.
pub(super) fn render(template: &str, words: &Words) -> Result<String, minijinja::Error> {
    let mut jinja = Environment::new();
    jinja.set_undefined_behavior(UndefinedBehavior::Strict);
    jinja.set_fuel(Some(FUEL));
    Ok(clip(&jinja.render_str(template, Value::from(Serde(words)))?))
}

fn clip(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_checked_before_anybody_needs_it() {
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
