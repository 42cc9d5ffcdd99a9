//! Lines in Envoy's log, and not too many of them.

use std::{cell::RefCell, fmt::Display, panic, time::Duration};

use crate::host::{self, Level};

/// Between two lines about trouble that may recur at every request or report.
const QUIET: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Throttle {
    last: Option<Duration>,
    unsaid: u64,
}

thread_local! {
    static THROTTLE: RefCell<Throttle> = RefCell::default();
}

/// Something an operator wants to know once.
pub(crate) fn info(message: impl Display) {
    host::log(Level::Info, &message.to_string());
}

/// Something an operator must act upon.
pub(crate) fn error(message: impl Display) {
    host::log(Level::Error, &message.to_string());
}

/// Trouble that may recur: one line in ten seconds, which tells how many were left out.
pub(crate) fn trouble(message: impl Display) {
    let now = host::now().unwrap_or_default();
    THROTTLE.with(|throttle| {
        let Ok(mut throttle) = throttle.try_borrow_mut() else {
            return;
        };
        let quiet = throttle
            .last
            .and_then(|last| now.checked_sub(last))
            .is_some_and(|passed| passed < QUIET);
        if quiet {
            throttle.unsaid = throttle.unsaid.saturating_add(1);
            return;
        }
        let unsaid = std::mem::take(&mut throttle.unsaid);
        throttle.last = Some(now);
        let line = if unsaid == 0 {
            message.to_string()
        } else {
            format!("{message} ({unsaid} such lines left out)")
        };
        host::log(Level::Warn, &line);
    });
}

/// Should a panic happen after all, Envoy's log says where.
pub(crate) fn report_panics() {
    panic::set_hook(Box::new(|panic| {
        host::log(Level::Critical, &panic.to_string());
    }));
}
