//! Crashes the server at one point. Counts the appends and the calls of the server to find it.

use parking_lot::Mutex;
use tokio::sync::watch;

/// The point of a crash. Numbers count from 1, in the order of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CrashPoint {
    /// At an append: before it is written, or after it and before anything acts on it.
    Append { number: usize, written: bool },
    /// At a call: after it arrived and before its response, or after the response and before its result is journaled.
    Call { number: usize, answered: bool },
}

/// What the journal does with an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppendFate {
    /// Writes it.
    Write,
    /// Crashes without writing it.
    Crash,
    /// Writes it, then crashes.
    WriteAndCrash,
}

#[derive(Debug, Default)]
struct Counts {
    crash_point: Option<CrashPoint>,
    appends: usize,
    calls: usize,
    /// The point is reached: nothing more is written until the restart.
    crash_pending: bool,
}

#[derive(Debug)]
pub(crate) struct CrashTrigger {
    counts: Mutex<Counts>,
    crashed: watch::Sender<bool>,
}

impl CrashTrigger {
    pub(crate) fn new(crash_point: Option<CrashPoint>) -> Self {
        let counts = Mutex::new(Counts { crash_point, ..Counts::default() });
        Self { counts, crashed: watch::Sender::default() }
    }

    pub(crate) fn append(&self) -> AppendFate {
        let mut counts = self.counts.lock();
        if counts.crash_pending {
            return AppendFate::Crash;
        }
        counts.appends += 1;
        match counts.crash_point {
            Some(CrashPoint::Append { number, written }) if number == counts.appends => {
                counts.crash_point = None;
                counts.crash_pending = true;
                if written { AppendFate::WriteAndCrash } else { AppendFate::Crash }
            }
            _ => AppendFate::Write,
        }
    }

    /// Counts a call. False if it must not be answered.
    pub(crate) fn call(&self) -> bool {
        let mut counts = self.counts.lock();
        if counts.crash_pending {
            return true;
        }
        counts.calls += 1;
        match counts.crash_point {
            Some(CrashPoint::Call { number, answered }) if number == counts.calls => {
                counts.crash_point = None;
                counts.crash_pending = true;
                if !answered {
                    self.crash();
                }
                answered
            }
            _ => true,
        }
    }

    pub(crate) fn crash(&self) {
        self.crashed.send_replace(true);
    }

    pub(crate) fn has_crashed(&self) -> bool {
        *self.crashed.borrow()
    }

    pub(crate) async fn wait_for_crash(&self) {
        // An error is impossible: `self` has the sender.
        self.crashed.subscribe().wait_for(|crashed| *crashed).await.ok();
    }

    /// True if the crash is due at the next append: if the run ends without one, the server must be restarted.
    pub(crate) fn is_crash_pending(&self) -> bool {
        self.counts.lock().crash_pending
    }

    /// Ends the crash.
    pub(crate) fn restart(&self) {
        self.counts.lock().crash_pending = false;
        self.crashed.send_replace(false);
    }

    /// True once the point was reached.
    pub(crate) fn is_reached(&self) -> bool {
        self.counts.lock().crash_point.is_none()
    }

    /// The numbers of appends and of calls so far.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let counts = self.counts.lock();
        (counts.appends, counts.calls)
    }
}
