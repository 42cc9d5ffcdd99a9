//! Receivers of notifications.

use std::path::Path;
use std::time::Duration;

use super::hooks::{self, secret};
use super::{UniqueNames, name, selected_services};
use crate::config::problem::{Fault, Problems};
use crate::config::span::Spanned;
use crate::config::{Receiver, ReceiverUrl, raw, units};
use crate::notifications::{NotificationLevel, PayloadFormat, template};
use tidegate_delivery::names::Services;

/// Limit of receivers: each reads the journal.
const MAX_RECEIVERS: usize = 20;
/// Default of `quiet`.
const QUIET: Duration = Duration::from_secs(5 * 60);
/// Limit of `quiet`.
const MAX_QUIET: Duration = Duration::from_secs(24 * 60 * 60);

/// The receivers.
pub(super) fn resolve(
    written: &[raw::Notification],
    root: &raw::Root,
    base: &Path,
    problems: &mut Problems,
) -> Vec<Receiver> {
    let known: Vec<&str> = root.services.get().iter().map(|raw| raw.name.get().as_str()).collect();
    let mut names = UniqueNames::default();
    if let Some(first) = written.get(MAX_RECEIVERS) {
        let what = format!("more than {MAX_RECEIVERS} notification receivers are defined");
        problems.add(first.name.span(), what, "remove some, and let one forward the messages");
    }
    let mut receivers = Vec::new();
    for raw in written {
        let span = raw.name.span();
        names.check("notification", raw.name.get(), "", span, problems);
        let format = format(raw, problems);
        let secret =
            secret("secret", raw.secret_env.as_ref(), raw.secret_file.as_ref(), base, problems);
        if !matches!(format, PayloadFormat::Webhook) && secret.is_some() {
            let what = "only receivers of kind `webhook` verify signatures";
            problems.add(span, what, "remove the secret, and write the URL in url_env or url_file");
        }
        let token =
            hooks::secret("token", raw.token_env.as_ref(), raw.token_file.as_ref(), base, problems);
        check_token(&format, raw, problems);
        let name = problems.record(span, name(&raw.name));
        let url = url(raw, base, problems);
        let services = match &raw.services {
            None => Services::All,
            Some(listed) => selected_services("notification", listed, &known, problems),
        };
        let template = raw.template.as_ref().and_then(|at| {
            let checked = template::check(at.get()).map_err(|error| {
                let fix = "available are title, text, level, event, service, release, recovered, \
                               seq, at, actor and reason";
                Fault::new(format!("the template is invalid: {error}"), fix)
            });
            problems.record(at.span(), checked)?;
            Some(at.get().clone())
        });
        let quiet = raw.quiet.as_ref().map_or(QUIET, |at| quiet(at, problems));
        if let Some((name, url)) = name.zip(url) {
            let level = level(&format, raw.level);
            receivers.push(Receiver {
                name,
                format,
                url,
                secret,
                token,
                level,
                services,
                template,
                quiet,
            });
        }
    }
    receivers
}

fn format(raw: &raw::Notification, problems: &mut Problems) -> PayloadFormat {
    let is_cdevents = matches!(raw.kind, raw::NotificationKind::CdEvents);
    match &raw.environment {
        Some(at) if !is_cdevents => {
            problems.add(at.span(), "only CDEvents have an environment", "remove it");
        }
        Some(at) if at.get().trim().is_empty() => {
            problems.add(
                at.span(),
                "the environment is empty",
                "write its id, such as `production`",
            );
        }
        None if is_cdevents => problems.add(
            raw.name.span(),
            "CDEvents name the environment that they are about",
            "add environment, such as `environment: production`",
        ),
        _ => {}
    }
    match raw.kind {
        raw::NotificationKind::Webhook => PayloadFormat::Webhook,
        raw::NotificationKind::Slack => PayloadFormat::Slack,
        raw::NotificationKind::Teams => PayloadFormat::Teams,
        raw::NotificationKind::PagerDuty => PayloadFormat::PagerDuty,
        raw::NotificationKind::Alertmanager => PayloadFormat::Alertmanager,
        raw::NotificationKind::Grafana => PayloadFormat::Grafana,
        raw::NotificationKind::CdEvents => PayloadFormat::CdEvents {
            environment: raw.environment.as_ref().map(|at| at.get().clone()).unwrap_or_default(),
        },
    }
}

fn check_token(format: &PayloadFormat, raw: &raw::Notification, problems: &mut Problems) {
    let has_token = raw.token_env.is_some() || raw.token_file.is_some();
    let span = raw.name.span();
    match format {
        PayloadFormat::PagerDuty if !has_token => problems.add(
            span,
            "PagerDuty needs the routing key of an integration",
            "write it in token_env or token_file",
        ),
        PayloadFormat::Slack | PayloadFormat::Teams if has_token => problems.add(
            span,
            "Slack and Teams have no token: the URL is the secret",
            "remove the token, and write the URL in url_env or url_file",
        ),
        _ => {}
    }
}

const fn level(
    format: &PayloadFormat,
    written: Option<raw::NotificationLevel>,
) -> NotificationLevel {
    match written {
        // A completed release is one.
        None if matches!(format, PayloadFormat::CdEvents { .. }) => NotificationLevel::Info,
        Some(raw::NotificationLevel::Info) => NotificationLevel::Info,
        None | Some(raw::NotificationLevel::Warning) => NotificationLevel::Warning,
        Some(raw::NotificationLevel::Critical) => NotificationLevel::Critical,
    }
}

fn url(raw: &raw::Notification, base: &Path, problems: &mut Problems) -> Option<ReceiverUrl> {
    let hidden = secret("url", raw.url_env.as_ref(), raw.url_file.as_ref(), base, problems);
    match (&raw.url, hidden) {
        (Some(at), Some(_)) => {
            problems.add(
                at.span(),
                "url, url_env and url_file exclude each other",
                "keep one of them",
            );
            None
        }
        (Some(at), None) => {
            problems.record(at.span(), hooks::url(at.get())).map(ReceiverUrl::Plain)
        }
        (None, Some(hidden)) => Some(ReceiverUrl::Secret(hidden)),
        (None, None) => {
            // Both url_env and url_file: recorded by `secret`.
            if raw.url_env.is_none() {
                let what = format!("notification `{}` has no URL", raw.name.get());
                problems.add(raw.name.span(), what, "add url, url_env or url_file");
            }
            None
        }
    }
}

fn quiet(at: &Spanned<String>, problems: &mut Problems) -> Duration {
    let quiet = problems.record(at.span(), units::duration(at.get())).unwrap_or(QUIET);
    if quiet > MAX_QUIET {
        let what = format!("`{}` is too long", at.get());
        problems.add(at.span(), what, "write at most 1day");
    }
    quiet
}
