//! Freezes of deployments, by calendar window or by hand. A freeze blocks steps and completion, never a rollback.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::Zoned;
use jiff::civil::{Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::model::blocker::Blocker;
use crate::model::state::{ServiceState, State};
use crate::names::{FreezeName, Services};
use crate::units::Timestamp;

/// Most freeze windows of a configuration.
pub const MAX_FREEZE_WINDOWS: usize = 100;

/// The built-in time zones, so that a decision does not depend on the files of the machine.
static TIME_ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A calendar window in which deployments are frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeWindow {
    /// Its name.
    pub name: FreezeName,
    /// When.
    pub when: FreezeSchedule,
    /// The services that it applies to.
    pub services: Services,
}

/// The time of a freeze window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreezeSchedule {
    /// On some days of each week.
    Weekly {
        /// The days on which it begins.
        days: BTreeSet<Day>,
        /// When it begins on each of them.
        from: Time,
        /// When it ends: on the same day, or, if that is no later, on the next.
        to: Time,
        /// The time zone of days and hours: a name of the IANA database.
        time_zone: String,
    },
    /// Once.
    Once {
        /// From then on.
        start: Timestamp,
        /// Until then.
        end: Timestamp,
    },
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "a day of the week is what it is called")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A freeze by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualFreeze {
    /// Since when.
    pub since: Timestamp,
    /// The actor.
    pub by: String,
    /// The reason, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An unknown time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time zone of the IANA database")]
pub struct UnknownZone(pub String);

/// The time zone of a name, such as `Europe/Berlin`.
///
/// # Errors
/// When there is none of that name.
pub fn time_zone(name: &str) -> Result<TimeZone, UnknownZone> {
    TIME_ZONES.get(name).map_err(|_| UnknownZone(name.chars().take(60).collect()))
}

impl FreezeSchedule {
    /// The end of the window, if `now` is in it.
    ///
    /// Where daylight saving time skips or repeats the time of a start or an end, the longer window applies: the start is
    /// the earlier of the possible instants, the end the later.
    fn ends(&self, wall: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once { start, end } => (*start <= wall && wall < *end).then_some(*end),
            Self::Weekly { days, from, to, time_zone } => {
                // Both were checked when it was declared.
                let zone = self::time_zone(time_zone).ok()?;
                let at = jiff::Timestamp::from_millisecond(i64::try_from(wall.0).ok()?).ok()?;
                let today = at.to_zoned(zone.clone()).date();
                let days_near = [today.yesterday().ok(), Some(today), today.tomorrow().ok()];
                let starts = days_near.into_iter().flatten();
                let windows = starts.filter(|day| days.contains(&Day::of(day.weekday())));
                let ends = windows.filter_map(|day| {
                    let last = if to > from { day } else { day.tomorrow().ok()? };
                    let start = zone.to_ambiguous_zoned(day.to_datetime(*from)).earlier().ok()?;
                    let end = zone.to_ambiguous_zoned(last.to_datetime(*to)).later().ok()?;
                    (start.timestamp() <= at && at < end.timestamp()).then(|| stamp(&end))
                });
                ends.max()
            }
        }
    }
}

fn stamp(at: &Zoned) -> Timestamp {
    Timestamp(u64::try_from(at.timestamp().as_millisecond()).unwrap_or(0))
}

impl Day {
    const fn of(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

impl State {
    /// The active freezes of a service.
    #[must_use]
    pub fn active_freezes(&self, service: &ServiceState, wall: Timestamp) -> Vec<Blocker> {
        let name = &service.spec.name;
        let everywhere = self.frozen.as_ref().map(|freeze| (None, freeze));
        let here = service.frozen.as_ref().map(|freeze| (Some(name.clone()), freeze));
        let by_hand = everywhere.into_iter().chain(here).map(|(service, freeze)| {
            let (by, reason) = (freeze.by.clone(), freeze.reason.clone());
            Blocker::Freeze { service, by, reason }
        });
        let windows = self.freeze_windows.iter().filter(|it| it.services.include(name));
        let windows = windows.filter_map(|it| {
            Some(Blocker::FreezeWindow { freeze: it.name.clone(), until: it.when.ends(wall)? })
        });
        by_hand.chain(windows).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::name;

    fn at(time: &str) -> Timestamp {
        let time: jiff::Timestamp = time.parse().unwrap();
        Timestamp(u64::try_from(time.as_millisecond()).unwrap())
    }

    fn weekly(days: &[Day], from: &str, to: &str, time_zone: &str) -> FreezeSchedule {
        FreezeSchedule::Weekly {
            days: days.iter().copied().collect(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            time_zone: time_zone.to_owned(),
        }
    }

    #[test]
    fn a_weekly_window_goes_over_midnight_in_its_own_time_zone() {
        let nights = weekly(&[Day::Sat, Day::Sun], "18:00", "08:00", "Europe/Berlin");
        // The 21st of November 2026 is a Saturday; Berlin is an hour ahead of UTC.
        for (now, ends) in [
            ("2026-11-21T16:59:59Z", None),
            ("2026-11-21T17:00:00Z", Some("2026-11-22T07:00:00Z")),
            ("2026-11-22T06:59:59Z", Some("2026-11-22T07:00:00Z")),
            ("2026-11-22T07:00:00Z", None),
            ("2026-11-23T06:59:59Z", Some("2026-11-23T07:00:00Z")),
            ("2026-11-23T17:00:00Z", None),
            ("2026-11-20T23:00:00Z", None),
        ] {
            assert_eq!(nights.ends(at(now)), ends.map(at), "{now}");
        }
    }

    #[test]
    fn a_day_is_as_long_as_its_clocks_make_it() {
        let day = weekly(&[Day::Sun], "00:00", "00:00", "Europe/Berlin");
        // Summer time ends on the 25th of October 2026: the day has 25 hours.
        let end = Some(at("2026-10-25T23:00:00Z"));
        assert_eq!(day.ends(at("2026-10-24T21:59:59Z")), None);
        assert_eq!(day.ends(at("2026-10-24T22:00:00Z")), end);
        assert_eq!(day.ends(at("2026-10-25T22:59:59Z")), end);
        assert_eq!(day.ends(at("2026-10-25T23:00:00Z")), None);
    }

    #[test]
    fn a_window_begins_and_ends_within_the_changes_of_daylight_saving() {
        let night = weekly(&[Day::Sun], "02:15", "02:45", "Europe/Berlin");
        // 02:00 to 03:00 is skipped on the 28th of March 2027: 01:15 CET to 03:45 CEST.
        let spring = Some(at("2027-03-28T01:45:00Z"));
        assert_eq!(night.ends(at("2027-03-28T00:14:59Z")), None);
        assert_eq!(night.ends(at("2027-03-28T00:15:00Z")), spring);
        assert_eq!(night.ends(at("2027-03-28T01:44:59Z")), spring);
        assert_eq!(night.ends(at("2027-03-28T01:45:00Z")), None);
        // 02:00 to 03:00 occurs twice on the 25th of October 2026: 02:15 CEST to 02:45 CET.
        let autumn = Some(at("2026-10-25T01:45:00Z"));
        assert_eq!(night.ends(at("2026-10-25T00:14:59Z")), None);
        assert_eq!(night.ends(at("2026-10-25T00:15:00Z")), autumn);
        assert_eq!(night.ends(at("2026-10-25T01:44:59Z")), autumn);
        assert_eq!(night.ends(at("2026-10-25T01:45:00Z")), None);
        // Both days as a whole: 23 and 25 hours.
        let day = weekly(&[Day::Sun], "00:00", "00:00", "Europe/Berlin");
        assert_eq!(day.ends(at("2027-03-27T23:00:00Z")), Some(at("2027-03-28T22:00:00Z")));
        assert_eq!(day.ends(at("2026-10-24T22:00:00Z")), Some(at("2026-10-25T23:00:00Z")));
    }

    #[test]
    fn a_single_window_is_from_its_start_to_before_its_end() {
        let once = FreezeSchedule::Once { start: Timestamp(10), end: Timestamp(20) };
        for (now, is) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(once.ends(Timestamp(now)).is_some(), is, "{now}");
        }
    }

    #[test]
    fn a_time_zone_must_be_one() {
        assert!(time_zone("Europe/Berlin").is_ok());
        assert_eq!(time_zone("Europe/Bielefeld"), Err(UnknownZone("Europe/Bielefeld".to_owned())));
    }

    #[test]
    fn it_is_read_back_as_it_was_written() {
        for when in [
            weekly(&[Day::Mon, Day::Fri], "18:00", "08:30", "UTC"),
            FreezeSchedule::Once { start: Timestamp(1), end: Timestamp(2) },
        ] {
            let services = Services::Named(BTreeSet::from([name("order")]));
            let freeze = FreezeWindow { name: name("night"), when, services };
            let json = serde_json::to_string(&freeze).unwrap();
            assert_eq!(serde_json::from_str::<FreezeWindow>(&json).unwrap(), freeze, "{json}");
        }
    }
}
