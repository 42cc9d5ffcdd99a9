//! Envoy's log, with rate-limited warnings.

use std::{cell::RefCell, fmt::Display, panic, time::Duration};

use crate::host::{self, LogLevel};

/// Minimum interval between two warnings of a VM.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Throttle {
    last: Option<Duration>,
    suppressed: u64,
}

thread_local! {
    static THROTTLE: RefCell<Throttle> = RefCell::default();
}

/// Logs an event that occurs rarely.
pub(crate) fn info(message: impl Display) {
    host::log(LogLevel::Info, &message.to_string());
}

/// Logs an error that an operator must act upon.
pub(crate) fn error(message: impl Display) {
    host::log(LogLevel::Error, &message.to_string());
}

/// Logs a warning that may recur with every request or report: at most one line per
/// [`WARN_INTERVAL`], with the number of suppressed ones.
pub(crate) fn warn(message: impl Display) {
    let now = host::now().unwrap_or_default();
    THROTTLE.with(|throttle| {
        let Ok(mut throttle) = throttle.try_borrow_mut() else {
            return;
        };
        let throttled = throttle
            .last
            .and_then(|last| now.checked_sub(last))
            .is_some_and(|elapsed| elapsed < WARN_INTERVAL);
        if throttled {
            throttle.suppressed = throttle.suppressed.saturating_add(1);
            return;
        }
        let suppressed = std::mem::take(&mut throttle.suppressed);
        throttle.last = Some(now);
        let line = if suppressed == 0 {
            message.to_string()
        } else {
            format!("{message} ({suppressed} warnings suppressed)")
        };
        host::log(LogLevel::Warn, &line);
    });
}

/// Installs a panic hook that logs message and location.
pub(crate) fn report_panics() {
    panic::set_hook(Box::new(|panic| {
        host::log(LogLevel::Critical, &panic.to_string());
    }));
}
