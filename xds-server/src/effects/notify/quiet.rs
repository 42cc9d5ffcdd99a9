//! What a receiver need not be told: that something is still so, and each turn of what flaps. What
//! it was told last is in the end always how it is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::notice::{Mark, Notice};
use crate::config::NoticeLevel;
use tidegate_delivery::names::ReleaseId;
use tidegate_delivery::units::Timestamp;

/// How often a subject's changes are told within the quiet time. Then the newest waits for its end.
const CHANGES: usize = 4;
/// Most subjects that are remembered; the one told longest ago makes room.
const SUBJECTS: usize = 1000;

/// Something that is well or not, and of which it can be told more than once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Subject(pub(super) String);

/// What one receiver was told lately, by subject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Quiet(BTreeMap<Subject, Told>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Told {
    mark: Mark,
    /// When it was told, within the quiet time; the last is the newest.
    at: Vec<Timestamp>,
    /// What waits for the end of the quiet time.
    waiting: Option<Notice>,
    /// Changes that were not told.
    skipped: u32,
}

impl Told {
    fn newest(&self) -> Timestamp {
        self.at.last().copied().unwrap_or_default()
    }

    /// From when on it may be told again.
    fn free_at(&self, quiet: Duration) -> Timestamp {
        self.at.first().copied().unwrap_or_default().after(quiet)
    }
}

impl Quiet {
    /// Whether a notice is to be told now. If not, it may be told later, see [`Self::due`].
    pub(super) fn admit(&mut self, notice: &Notice, least: NoticeLevel, quiet: Duration) -> bool {
        let Some((subject, mark)) = &notice.about else {
            return notice.level >= least;
        };
        let Some(told) = self.0.get_mut(subject) else {
            let news = *mark != Mark::Well && notice.level >= least;
            if news {
                self.remember(subject.clone(), *mark, notice.at);
            }
            return news;
        };
        // Who was told of something worse is told of its end, and not of half of it.
        if *mark != Mark::Well && notice.level < least {
            return false;
        }
        told.at.retain(|at| notice.at.since(*at) < quiet);
        let same = told.mark == *mark && told.waiting.is_none();
        if same && (*mark == Mark::Well || !told.at.is_empty()) {
            return false;
        }
        if told.at.len() >= CHANGES {
            told.waiting = Some(notice.clone());
            told.skipped = told.skipped.saturating_add(1);
            return false;
        }
        told.waiting = None;
        told.mark = *mark;
        told.at.push(notice.at);
        true
    }

    /// What waited and is to be told now, unless it is what was told last.
    pub(super) fn due(&mut self, now: Timestamp, quiet: Duration) -> Option<Notice> {
        for told in self.0.values_mut() {
            if told.waiting.is_none() || told.free_at(quiet) > now {
                continue;
            }
            let Some(mut notice) = told.waiting.take() else { continue };
            let skipped = std::mem::take(&mut told.skipped);
            let Some((_, mark)) = &notice.about else { continue };
            if told.mark == *mark {
                continue;
            }
            told.mark = *mark;
            told.at = vec![now];
            notice.text += &format!(" (it changed {skipped} times since the last message)");
            return Some(notice);
        }
        None
    }

    /// Whether something waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.values().any(|told| told.waiting.is_some())
    }

    /// A release that ended has no alerts any more, and its end is told by itself.
    pub(super) fn forget(&mut self, release: &ReleaseId) {
        let prefix = format!("{release} ");
        self.0.retain(|subject, _| !subject.0.starts_with(&prefix));
    }

    fn remember(&mut self, subject: Subject, mark: Mark, at: Timestamp) {
        if self.0.len() >= SUBJECTS {
            let oldest = self.0.iter().min_by_key(|(_, told)| told.newest());
            if let Some(oldest) = oldest.map(|(subject, _)| subject.clone()) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(subject, Told { mark, at: vec![at], waiting: None, skipped: 0 });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use tidegate_delivery::fixtures::name;

    const QUIET: Duration = Duration::from_secs(300);

    fn notice(mark: Mark, seconds: u64) -> Notice {
        let level = match mark {
            Mark::Well => NoticeLevel::Info,
            Mark::Warning => NoticeLevel::Warning,
            Mark::Critical => NoticeLevel::Critical,
        };
        Notice {
            level,
            event: "alert_raised".to_owned(),
            title: String::new(),
            text: String::new(),
            service: Some(name("order")),
            release: Some(name("order.1")),
            recovered: mark == Mark::Well,
            seq: 1,
            at: Timestamp(seconds * 1000),
            actor: String::new(),
            reason: None,
            about: Some((Subject("order.1 error rate".to_owned()), mark)),
        }
    }

    fn admits(quiet: &mut Quiet, least: NoticeLevel, said: &[(Mark, u64)]) -> Vec<bool> {
        let mut admit = |(mark, at): &(Mark, u64)| quiet.admit(&notice(*mark, *at), least, QUIET);
        said.iter().map(&mut admit).collect()
    }

    #[test]
    fn the_same_is_not_told_again_and_its_end_is_told_to_whom_it_was_told() {
        use Mark::{Critical, Warning, Well};
        let said = [(Well, 0), (Warning, 1), (Warning, 2), (Critical, 3), (Well, 4), (Well, 5)];
        let told = admits(&mut Quiet::default(), NoticeLevel::Warning, &said);
        assert_eq!(told, [false, true, false, true, true, false]);
        let told = admits(&mut Quiet::default(), NoticeLevel::Critical, &said);
        assert_eq!(told, [false, false, false, true, true, false]);
        let later = [(Warning, 0), (Warning, 299), (Warning, 300)];
        let told = admits(&mut Quiet::default(), NoticeLevel::Info, &later);
        assert_eq!(told, [true, false, true]);
    }

    #[test]
    fn a_release_that_ended_is_forgotten() {
        let mut quiet = Quiet::default();
        admits(&mut quiet, NoticeLevel::Info, &[(Mark::Warning, 0)]);
        quiet.forget(&name("order.2"));
        assert_ne!(quiet, Quiet::default());
        quiet.forget(&name("order.1"));
        assert_eq!(quiet, Quiet::default());
    }

    proptest! {
        /// However it flaps: few messages in any quiet time, and in the end the last one told is
        /// how it is.
        #[test]
        fn flapping_is_bounded_and_the_last_word_is_true(
            turns in proptest::collection::vec((0..3_u8, 0..120_u64), 1..60),
        ) {
            let mut quiet = Quiet::default();
            let (mut now, mut told) = (0, Vec::new());
            let mut last = Mark::Well;
            for (turn, pause) in turns {
                now += pause;
                while let Some(waited) = quiet.due(Timestamp(now * 1000), QUIET) {
                    told.push((now, waited.about.unwrap().1));
                }
                last = [Mark::Well, Mark::Warning, Mark::Critical][usize::from(turn)];
                if quiet.admit(&notice(last, now), NoticeLevel::Info, QUIET) {
                    told.push((now, last));
                }
            }
            while quiet.is_waiting() {
                now += 1;
                while let Some(waited) = quiet.due(Timestamp(now * 1000), QUIET) {
                    told.push((now, waited.about.unwrap().1));
                }
            }
            prop_assert_eq!(told.last().map_or(Mark::Well, |it| it.1), last);
            for (at, _) in &told {
                let within = told.iter().filter(|it| (*at..*at + QUIET.as_secs()).contains(&it.0));
                prop_assert!(within.count() <= 2 * CHANGES);
            }
        }
    }
}
