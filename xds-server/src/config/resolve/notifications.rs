//! Who is told about releases.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::hooks::{secret, url};
use super::name;
use super::once::Once;
use crate::config::place::At;
use crate::config::problem::{Fault, Problems};
use crate::config::suggest::suggest;
use crate::config::{Receiver, ReceiverKind, ReceiverUrl, raw, units};
use crate::notifications::{NotificationLevel, template};
use tidegate_delivery::names::Services;

/// Most receivers: each reads the journal by itself.
const MAX_RECEIVERS: usize = 20;
/// For so long the same alert is not told again, unless the file says otherwise.
const QUIET: Duration = Duration::from_secs(5 * 60);
/// Longest such time.
const MAX_QUIET: Duration = Duration::from_secs(24 * 60 * 60);

/// The receivers.
pub(super) fn resolve(
    written: &[raw::Notification],
    root: &raw::Root,
    base: &Path,
    problems: &mut Problems,
) -> Vec<Receiver> {
    let mut names = Once::default();
    if let Some(first) = written.get(MAX_RECEIVERS) {
        let what = format!("there are more than {MAX_RECEIVERS} receivers");
        problems.add(first.name.place(), what, "let one of them pass the messages on");
    }
    let mut receivers = Vec::new();
    for raw in written {
        let place = raw.name.place();
        names.check("notification", raw.name.get(), "", place, problems);
        let kind = match raw.kind {
            raw::NotificationKind::Webhook => ReceiverKind::Webhook,
            raw::NotificationKind::Slack => ReceiverKind::Slack,
        };
        let secret =
            secret("secret", raw.secret_env.as_ref(), raw.secret_file.as_ref(), base, problems);
        if kind == ReceiverKind::Slack && secret.is_some() {
            let what = "Slack verifies no signatures";
            problems.add(place, what, "remove the secret; there the address is the secret");
        }
        let name = problems.take(place, name(&raw.name));
        let address = address(raw, base, problems);
        let services = services(raw.services.as_deref(), root, problems);
        let template = raw.template.as_ref().and_then(|at| {
            let checked = template::check(at.get()).map_err(|error| {
                let way_out = "it can use title, text, level, event, service, release, recovered, \
                               seq, at, actor and reason";
                Fault::new(format!("the template cannot be used: {error}"), way_out)
            });
            problems.take(at.place(), checked)?;
            Some(at.get().clone())
        });
        let quiet = raw.quiet.as_ref().map_or(QUIET, |at| quiet(at, problems));
        if let Some((name, url)) = name.zip(address) {
            let level = level(raw.level);
            receivers.push(Receiver { name, kind, url, secret, level, services, template, quiet });
        }
    }
    receivers
}

const fn level(written: Option<raw::NotificationLevel>) -> NotificationLevel {
    match written {
        Some(raw::NotificationLevel::Info) => NotificationLevel::Info,
        None | Some(raw::NotificationLevel::Warning) => NotificationLevel::Warning,
        Some(raw::NotificationLevel::Critical) => NotificationLevel::Critical,
    }
}

fn address(raw: &raw::Notification, base: &Path, problems: &mut Problems) -> Option<ReceiverUrl> {
    let hidden = secret("url", raw.url_env.as_ref(), raw.url_file.as_ref(), base, problems);
    match (&raw.url, hidden) {
        (Some(at), Some(_)) => {
            problems.add(at.place(), "the url is said twice", "keep one of url, url_env, url_file");
            None
        }
        (Some(at), None) => problems.take(at.place(), url(at.get())).map(ReceiverUrl::Plain),
        (None, Some(hidden)) => Some(ReceiverUrl::Secret(hidden)),
        (None, None) => {
            // If both ways to hide it were written, that was told already.
            if raw.url_env.is_none() {
                let what = format!("notification `{}` has no address", raw.name.get());
                problems.add(raw.name.place(), what, "add url, url_env or url_file");
            }
            None
        }
    }
}

fn services(written: Option<&[At<String>]>, root: &raw::Root, problems: &mut Problems) -> Services {
    let Some(written) = written else { return Services::All };
    if let [only] = written
        && only.get() == "*"
    {
        return Services::All;
    }
    let known = || root.services.get().iter().map(|service| service.name.get().as_str());
    let mut named = BTreeSet::new();
    for at in written {
        if known().any(|name| name == at.get()) {
            named.extend(problems.take(at.place(), name(at)));
        } else {
            let what = format!("there is no service `{}`", at.get());
            problems.add(at.place(), what, suggest(at.get(), known()));
        }
    }
    Services::Named(named)
}

fn quiet(at: &At<String>, problems: &mut Problems) -> Duration {
    let quiet = problems.take(at.place(), units::duration(at.get())).unwrap_or(QUIET);
    if quiet > MAX_QUIET {
        let what = format!("`{}` is longer than anybody should not be told", at.get());
        problems.add(at.place(), what, "choose at most 1day");
    }
    quiet
}
