//! Who was turned away, and why: each is counted, and some of them told in the log. What a stranger
//! can do a thousand times a second must not write a thousand lines.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::warn;

/// How often one reason is told in the log.
const PAUSE: Duration = Duration::from_secs(1);

/// Why somebody was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No socket could be had for it.
    Accept,
    /// Too many TLS handshakes were under way.
    Handshakes,
    /// It did not end its TLS handshake in time.
    HandshakeTime,
    /// It spoke no TLS, or had no certificate of the client CA.
    Handshake,
    /// Too many connections, in all or of this client.
    Connections,
    /// Too many streams of this client.
    Streams,
    /// Its certificate says not who it is.
    Identity,
    /// Its identity is not of the fleet that it named.
    Fleet,
    /// Its identity is not that of the sidecar that it named.
    Node,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Accept,
        Self::Handshakes,
        Self::HandshakeTime,
        Self::Handshake,
        Self::Connections,
        Self::Streams,
        Self::Identity,
        Self::Fleet,
        Self::Node,
    ];

    /// As metrics and logs call it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Handshakes => "handshakes",
            Self::HandshakeTime => "handshake_time",
            Self::Handshake => "handshake",
            Self::Connections => "connections",
            Self::Streams => "streams",
            Self::Identity => "identity",
            Self::Fleet => "fleet",
            Self::Node => "node",
        }
    }
}

/// What was refused so far.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<Reason, Refused>>);

/// What was refused for one reason.
#[derive(Debug, Default)]
struct Refused {
    count: u64,
    /// When it was last told in the log.
    told: Option<Instant>,
    /// How many were not told since.
    untold: u64,
}

impl Refusals {
    /// Counts one, and tells of it unless that reason was told just now.
    pub fn note(&self, reason: Reason, who: &dyn fmt::Display, why: &dyn fmt::Display) {
        let untold = self.0.lock().entry(reason).or_default().one_more(Instant::now());
        if let Some(untold) = untold {
            warn!(reason = reason.label(), client = %who, untold, "turned away: {why}");
        }
    }

    /// How many were refused for this reason.
    #[must_use]
    pub fn count(&self, reason: Reason) -> u64 {
        self.0.lock().get(&reason).map_or(0, |refused| refused.count)
    }
}

impl Refused {
    /// How many were passed over since the last that was told; `None` if it is too early to tell.
    fn one_more(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.told.is_some_and(|told| now < told + PAUSE) {
            self.untold += 1;
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_for_its_reason() {
        let refusals = Refusals::default();
        for _ in 0..3 {
            refusals.note(Reason::Fleet, &"one", &"why");
        }
        let counts = Reason::ALL.map(|reason| refusals.count(reason));
        assert_eq!(counts, [0, 0, 0, 0, 0, 0, 0, 3, 0]);
    }

    #[test]
    fn a_flood_is_told_once_and_then_summed_up() {
        let (mut refused, start) = (Refused::default(), Instant::now());
        assert_eq!(refused.one_more(start), Some(0));
        assert_eq!((1..100).find_map(|_| refused.one_more(start)), None);
        assert_eq!(refused.one_more(start + PAUSE), Some(99));
        assert_eq!(refused.one_more(start + PAUSE * 2), Some(0));
        assert_eq!(refused.count, 102);
    }
}
