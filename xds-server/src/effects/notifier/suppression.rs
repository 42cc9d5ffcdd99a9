//! Suppresses repeated and flapping notifications of a receiver. A condition that has not changed is not sent again
//! within the quiet time. Of a condition that flaps, a bounded number of changes is sent; then the newest one is delayed
//! until the quiet time ends. The last notification that is sent always has the current status.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::notifications::{
    Condition, ConditionId, ConditionStatus, Notification, NotificationLevel,
};
use tidegate_delivery::names::ReleaseId;
use tidegate_delivery::units::Timestamp;

/// Changes of one condition that are sent within the quiet time.
const MAX_CHANGES: usize = 4;
/// Conditions that are remembered; the one that was sent longest ago is evicted.
const MAX_CONDITIONS: usize = 1000;

/// What was sent to one receiver, by condition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Suppression(BTreeMap<ConditionId, Sent>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sent {
    /// The status that was sent last.
    status: ConditionStatus,
    /// Times of the changes sent within the quiet time; the last is the newest.
    at: Vec<Timestamp>,
    /// The newest change, delayed until the quiet time ends.
    delayed: Option<Notification>,
    /// Changes since the last one sent.
    suppressed: u32,
}

impl Sent {
    fn newest(&self) -> Timestamp {
        self.at.last().copied().unwrap_or_default()
    }

    /// When a delayed change is sent.
    fn due_at(&self, quiet: Duration) -> Timestamp {
        self.at.first().copied().unwrap_or_default().after(quiet)
    }
}

impl Suppression {
    /// Whether to send a notification now; it is recorded as sent. One that is not may be delayed, see
    /// [`Self::take_due`]. `min_level` is the receiver's level.
    pub(super) fn admit(
        &mut self,
        notification: &Notification,
        min_level: NotificationLevel,
        quiet: Duration,
    ) -> bool {
        let (level, at) = (notification.level, notification.at);
        let Some(Condition { id, status }) = &notification.condition else {
            return level >= min_level;
        };
        let Some(sent) = self.0.get_mut(id) else {
            let send = *status != ConditionStatus::Ok && level >= min_level;
            if send {
                self.insert(id.clone(), *status, at);
            }
            return send;
        };
        // A recovery is below the receiver's level, but is sent to a receiver that got the alert.
        if *status != ConditionStatus::Ok && level < min_level {
            return false;
        }
        sent.at.retain(|sent| at.since(*sent) < quiet);
        let unchanged = sent.status == *status && sent.delayed.is_none();
        if unchanged && (*status == ConditionStatus::Ok || !sent.at.is_empty()) {
            return false;
        }
        if sent.at.len() >= MAX_CHANGES {
            sent.delayed = Some(notification.clone());
            sent.suppressed = sent.suppressed.saturating_add(1);
            return false;
        }
        sent.delayed = None;
        sent.status = *status;
        sent.at.push(at);
        true
    }

    /// Takes a delayed notification whose quiet time has ended, unless its status is the one sent last.
    pub(super) fn take_due(&mut self, now: Timestamp, quiet: Duration) -> Option<Notification> {
        for sent in self.0.values_mut() {
            if sent.due_at(quiet) > now {
                continue;
            }
            let Some(mut notification) = sent.delayed.take() else { continue };
            let suppressed = std::mem::take(&mut sent.suppressed);
            let Some(Condition { status, .. }) = notification.condition else { continue };
            if sent.status == status {
                continue;
            }
            sent.status = status;
            sent.at = vec![now];
            notification.text += &format!(" ({suppressed} changes since the last message)");
            return Some(notification);
        }
        None
    }

    /// Whether a notification is delayed.
    pub(super) fn has_delayed(&self) -> bool {
        self.0.values().any(|sent| sent.delayed.is_some())
    }

    /// Removes the conditions of a release that has ended. Its end has a notification of its own.
    pub(super) fn remove_release(&mut self, release: &ReleaseId) {
        self.0.retain(|id, _| !id.belongs_to(release));
    }

    fn insert(&mut self, id: ConditionId, status: ConditionStatus, at: Timestamp) {
        if self.0.len() >= MAX_CONDITIONS {
            let oldest = self.0.iter().min_by_key(|(_, sent)| sent.newest());
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(id, Sent { status, at: vec![at], delayed: None, suppressed: 0 });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use tidegate_delivery::fixtures::name;

    const OK: ConditionStatus = ConditionStatus::Ok;
    const QUIET: Duration = Duration::from_secs(300);

    fn notification(status: ConditionStatus, seconds: u64) -> Notification {
        let level = match status {
            ConditionStatus::Ok => NotificationLevel::Info,
            ConditionStatus::Warning => NotificationLevel::Warning,
            ConditionStatus::Critical => NotificationLevel::Critical,
        };
        Notification {
            level,
            event: "alert_raised".to_owned(),
            title: String::new(),
            text: String::new(),
            service: Some(name("order")),
            version: None,
            release: Some(name("order.1")),
            recovered: status == ConditionStatus::Ok,
            seq: 1,
            at: Timestamp(seconds * 1000),
            actor: String::new(),
            reason: None,
            condition: Some(Condition { id: ConditionId("order.1 error rate".to_owned()), status }),
        }
    }

    fn admit_all(
        suppression: &mut Suppression,
        min_level: NotificationLevel,
        changes: &[(ConditionStatus, u64)],
    ) -> Vec<bool> {
        let mut admit = |(status, at): &(ConditionStatus, u64)| {
            suppression.admit(&notification(*status, *at), min_level, QUIET)
        };
        changes.iter().map(&mut admit).collect()
    }

    #[test]
    fn an_unchanged_condition_is_not_repeated_and_its_recovery_follows_its_alert() {
        use ConditionStatus::{Critical, Warning};
        let changes = [(OK, 0), (Warning, 1), (Warning, 2), (Critical, 3), (OK, 4), (OK, 5)];
        let sent = admit_all(&mut Suppression::default(), NotificationLevel::Warning, &changes);
        assert_eq!(sent, [false, true, false, true, true, false]);
        let sent = admit_all(&mut Suppression::default(), NotificationLevel::Critical, &changes);
        assert_eq!(sent, [false, false, false, true, true, false]);
        let later = [(Warning, 0), (Warning, 299), (Warning, 300)];
        let sent = admit_all(&mut Suppression::default(), NotificationLevel::Info, &later);
        assert_eq!(sent, [true, false, true]);
    }

    #[test]
    fn the_conditions_of_an_ended_release_are_removed() {
        let mut suppression = Suppression::default();
        admit_all(&mut suppression, NotificationLevel::Info, &[(ConditionStatus::Warning, 0)]);
        suppression.remove_release(&name("order.2"));
        assert_ne!(suppression, Suppression::default());
        suppression.remove_release(&name("order.1"));
        assert_eq!(suppression, Suppression::default());
    }

    proptest! {
        /// The number of notifications within any quiet time is bounded, and the last one has the current status.
        #[test]
        fn notifications_of_a_flapping_condition_are_bounded_and_end_with_its_status(
            changes in proptest::collection::vec((0..3_u8, 0..120_u64), 1..60),
        ) {
            use ConditionStatus::{Critical, Warning};
            let mut suppression = Suppression::default();
            let (mut now, mut sent) = (0, Vec::new());
            let mut last = OK;
            let take_due = |suppression: &mut Suppression, now: u64, sent: &mut Vec<_>| {
                while let Some(due) = suppression.take_due(Timestamp(now * 1000), QUIET) {
                    sent.push((now, due.condition.unwrap().status));
                }
            };
            for (status, pause) in changes {
                now += pause;
                take_due(&mut suppression, now, &mut sent);
                last = [OK, Warning, Critical][usize::from(status)];
                if suppression.admit(&notification(last, now), NotificationLevel::Info, QUIET) {
                    sent.push((now, last));
                }
            }
            while suppression.has_delayed() {
                now += 1;
                take_due(&mut suppression, now, &mut sent);
            }
            prop_assert_eq!(sent.last().map_or(OK, |it| it.1), last);
            for (at, _) in &sent {
                let within = sent.iter().filter(|it| (*at..*at + QUIET.as_secs()).contains(&it.0));
                prop_assert!(within.count() <= 2 * MAX_CHANGES);
            }
        }
    }
}
