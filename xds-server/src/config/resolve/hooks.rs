//! Hooks, and what they share with notifications: addresses and secrets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;

use super::name;
use super::once::Once;
use crate::config::place::At;
use crate::config::problem::{Fault, Problems};
use crate::config::{raw, units};
use tidegate_delivery::model::hook::{Hook, MAX_RETRIES, MAX_TIMEOUT, Moment, SecretRef};

/// How long one answer may take unless the file says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is tried again unless the file says otherwise.
const RETRIES: u32 = 5;
/// Longest address, in bytes.
const MAX_URL: usize = 2048;

/// The hooks of one service.
pub(super) fn resolve(written: &[raw::Hook], base: &Path, problems: &mut Problems) -> Vec<Hook> {
    let mut names = Once::default();
    let mut hooks = Vec::new();
    for raw in written {
        names.check("hook", raw.name.get(), "", raw.name.place(), problems);
        let name = problems.take(raw.name.place(), name(&raw.name));
        let url = problems.take(raw.url.place(), url(raw.url.get()));
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

fn timeout(at: &At<String>, problems: &mut Problems) -> Duration {
    let Some(timeout) = problems.take(at.place(), units::duration(at.get())) else {
        return TIMEOUT;
    };
    if timeout.is_zero() || timeout > MAX_TIMEOUT {
        problems.add(
            at.place(),
            format!("nobody can answer within {}, or should", at.get()),
            format!("choose more than 0s, and at most {}s", MAX_TIMEOUT.as_secs()),
        );
    }
    timeout
}

fn retries(at: &At<u32>, problems: &mut Problems) -> u32 {
    if *at.get() > MAX_RETRIES {
        problems.add(
            at.place(),
            format!("{} retries are more than {MAX_RETRIES}", at.get()),
            "the waits between them grow: a few are enough",
        );
    }
    *at.get()
}

/// An address to post to. It is journaled and shown, so it must hold no password.
pub(super) fn url(text: &str) -> Result<String, Fault> {
    let way_out = "write one such as https://hooks.internal/update-cache";
    let uri: Option<Uri> = (text.len() <= MAX_URL).then(|| text.parse().ok()).flatten();
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let host = uri.as_ref().and_then(Uri::authority);
    match host {
        None => Err(Fault::new(format!("`{text}` is no http or https address"), way_out)),
        // What stands there may be a password: it is not repeated.
        Some(host) if host.as_str().contains('@') => Err(Fault::new(
            "the address holds a user or a password, and would be shown to everybody",
            "sign the calls instead: secret_env or secret_file",
        )),
        Some(_) => Ok(text.to_owned()),
    }
}

/// Where a secret is, in one of the two ways to write it. It is read when it is needed: who checks
/// a configuration need not have it.
pub(super) fn secret(
    what: &str,
    env: Option<&At<String>>,
    file: Option<&At<PathBuf>>,
    base: &Path,
    problems: &mut Problems,
) -> Option<SecretRef> {
    match (env, file) {
        (Some(_), Some(file)) => {
            problems.add(
                file.place(),
                format!("{what}_file and {what}_env both say where the {what} is"),
                "keep one of the two",
            );
            None
        }
        (Some(env), None) => {
            let name = problems.take(env.place(), super::text("the variable's name", env))?;
            Some(SecretRef::Env(name))
        }
        (None, Some(file)) => Some(SecretRef::File(base.join(file.get()))),
        (None, None) => None,
    }
}
