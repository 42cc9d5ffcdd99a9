//! Hooks, and the URLs and secrets of hooks and notifications.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;

use super::{UniqueNames, name};
use crate::config::problem::{Fault, Problems};
use crate::config::span::Spanned;
use crate::config::{raw, units};
use tidegate_delivery::model::hook::{Hook, MAX_RETRIES, MAX_TIMEOUT, Moment, SecretRef};

/// Default of `timeout`.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Default of `retries`.
const RETRIES: u32 = 5;
/// Limit of a URL, in bytes.
const MAX_URL: usize = 2048;

/// The hooks of one service.
pub(super) fn resolve(written: &[raw::Hook], base: &Path, problems: &mut Problems) -> Vec<Hook> {
    let mut names = UniqueNames::default();
    let mut hooks = Vec::new();
    for raw in written {
        names.check("hook", raw.name.get(), "", raw.name.span(), problems);
        let name = problems.record(raw.name.span(), name(&raw.name));
        let url = problems.record(raw.url.span(), url(raw.url.get()));
        let secret =
            secret("secret", raw.secret_env.as_ref(), raw.secret_file.as_ref(), base, problems);
        let timeout = raw.timeout.as_ref().map(|at| timeout(at, problems));
        let retries = raw.retries.as_ref().map(|at| retries(at, problems));
        if let Some((name, url)) = name.zip(url) {
            hooks.push(Hook {
                name,
                on: moment(raw.on),
                url,
                timeout: timeout.unwrap_or(TIMEOUT),
                retries: retries.unwrap_or(RETRIES),
                secret,
                blocking: raw.blocking,
            });
        }
    }
    hooks
}

const fn moment(written: raw::Moment) -> Moment {
    match written {
        raw::Moment::Started => Moment::Started,
        raw::Moment::Switched => Moment::Switched,
        raw::Moment::Completed => Moment::Completed,
        raw::Moment::RolledBack => Moment::RolledBack,
    }
}

fn timeout(at: &Spanned<String>, problems: &mut Problems) -> Duration {
    let Some(timeout) = problems.record(at.span(), units::duration(at.get())) else {
        return TIMEOUT;
    };
    if timeout.is_zero() || timeout > MAX_TIMEOUT {
        problems.add(
            at.span(),
            format!("a timeout of {} is out of range", at.get()),
            format!("write more than 0s and at most {}s", MAX_TIMEOUT.as_secs()),
        );
    }
    timeout
}

fn retries(at: &Spanned<u32>, problems: &mut Problems) -> u32 {
    if *at.get() > MAX_RETRIES {
        problems.add(
            at.span(),
            format!("{} retries exceed the limit", at.get()),
            format!("write at most {MAX_RETRIES}"),
        );
    }
    *at.get()
}

/// A URL without user and password, because it is journaled and displayed.
pub(super) fn url(text: &str) -> Result<String, Fault> {
    let fix = "write one such as https://hooks.internal/update-cache";
    let uri: Option<Uri> = (text.len() <= MAX_URL).then(|| text.parse().ok()).flatten();
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let host = uri.as_ref().and_then(Uri::authority);
    match host {
        None => Err(Fault::new(format!("`{text}` is not an http or https URL"), fix)),
        // The message must not repeat a password.
        Some(host) if host.as_str().contains('@') => Err(Fault::new(
            "the URL contains a user or a password, which would be displayed",
            "sign the requests instead, with secret_env or secret_file",
        )),
        Some(_) => Ok(text.to_owned()),
    }
}

/// Reference to a secret. It is read when it is used, so `tidegate validate` needs no secrets.
pub(super) fn secret(
    what: &str,
    env: Option<&Spanned<String>>,
    file: Option<&Spanned<PathBuf>>,
    base: &Path,
    problems: &mut Problems,
) -> Option<SecretRef> {
    match (env, file) {
        (Some(_), Some(file)) => {
            problems.add(
                file.span(),
                format!("{what}_file and {what}_env exclude each other"),
                "remove one of the two",
            );
            None
        }
        (Some(env), None) => {
            let name = problems
                .record(env.span(), super::text("the name of the environment variable", env))?;
            Some(SecretRef::Env(name))
        }
        (None, Some(file)) => Some(SecretRef::File(base.join(file.get()))),
        (None, None) => None,
    }
}
