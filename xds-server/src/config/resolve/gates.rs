//! What holds releases: required checks and approvals, and times in which nothing goes forward.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::Time;

use super::once::Once;
use super::{fleets, name};
use crate::config::place::At;
use crate::config::problem::{Fault, Problems};
use crate::config::raw::gates as raw;
use crate::config::raw::short::Short;
use crate::config::suggest::suggest;
use crate::config::units;
use tidegate_delivery::model::freeze::{Day, FreezeSchedule, FreezeWindow, time_zone};
use tidegate_delivery::model::requirements::{Approvals, Requirements};
use tidegate_delivery::names::CheckName;
use tidegate_delivery::names::Services;
use tidegate_delivery::units::Timestamp;

/// How long an approval is good for unless the file says otherwise.
const EXPIRE: Duration = Duration::from_secs(24 * 60 * 60);
/// The days of the week, as they are written.
const DAYS: [(&str, Day); 7] = [
    ("mon", Day::Mon),
    ("tue", Day::Tue),
    ("wed", Day::Wed),
    ("thu", Day::Thu),
    ("fri", Day::Fri),
    ("sat", Day::Sat),
    ("sun", Day::Sun),
];

/// What a service asks for.
pub(super) fn requires(
    written: Option<&raw::Requirements>,
    problems: &mut Problems,
) -> Requirements {
    let Some(written) = written else {
        return Requirements::default();
    };
    let mut once = Once::default();
    let mut checks = BTreeSet::new();
    for at in &written.checks {
        once.check("check", at.get(), "", at.place(), problems);
        checks.extend(problems.take(at.place(), name::<CheckName>(at)));
    }
    let approvals = written.approvals.as_ref().and_then(|at| approvals(at, problems));
    Requirements { checks, approvals }
}

/// A gate that people open.
pub(super) fn approvals(
    at: &At<Short<raw::Approvals>>,
    problems: &mut Problems,
) -> Option<Approvals> {
    match at.get() {
        Short::Word(role) => {
            let role = role.parse().map_err(|error: tidegate_delivery::names::NameError| {
                Fault::new(error.to_string(), "choose another name")
            });
            let role = problems.take(at.place(), role)?;
            Some(Approvals { count: 1, role, expire: EXPIRE })
        }
        Short::Map(map) => {
            let expire = map.expire.as_ref();
            let expire = expire.and_then(|at| problems.take(at.place(), units::duration(at.get())));
            let role = problems.take(map.role.place(), name(&map.role))?;
            let count = map.count.unwrap_or(1);
            let gate = Approvals { count, role, expire: expire.unwrap_or(EXPIRE) };
            if let Err(error) = gate.validate() {
                problems.add(at.place(), error.to_string(), "ask for one or two, for a day");
            }
            Some(gate)
        }
    }
}

/// The times in which nothing goes forward.
pub(super) fn freeze_windows(
    written: &[raw::FreezeWindow],
    known: &[&str],
    problems: &mut Problems,
) -> Vec<FreezeWindow> {
    let mut names = Once::default();
    let mut freeze_windows = Vec::new();
    for raw in written {
        let place = raw.name.place();
        names.check("freeze", raw.name.get(), "", place, problems);
        let name = problems.take(place, name(&raw.name));
        let when = window(raw, problems);
        let services = match &raw.services {
            None => Services::All,
            Some(written) => fleets::services("freeze", written, known, problems),
        };
        let both = name.zip(when);
        freeze_windows.extend(both.map(|(name, when)| FreezeWindow { name, when, services }));
    }
    freeze_windows
}

fn window(raw: &raw::FreezeWindow, problems: &mut Problems) -> Option<FreezeSchedule> {
    let weekly = [raw.from.as_ref(), raw.to.as_ref(), raw.time_zone.as_ref()];
    match (&raw.days, &raw.start, &raw.end) {
        (Some(written), None, None) => weekly_window(raw, written, problems),
        (None, Some(start), Some(end)) if weekly.iter().all(Option::is_none) => {
            once_window(start, end, problems)
        }
        _ => {
            problems.add(
                raw.name.place(),
                format!("freeze `{}` is neither weekly nor once", raw.name.get()),
                "give it `days`, with `from`, `to` and `time_zone`; or `start` and `end`",
            );
            None
        }
    }
}

fn weekly_window(
    raw: &raw::FreezeWindow,
    written: &At<Vec<At<String>>>,
    problems: &mut Problems,
) -> Option<FreezeSchedule> {
    if written.get().is_empty() {
        problems.add(written.place(), "the freeze is on no day", "name some, such as [sat, sun]");
    }
    let mut days = BTreeSet::new();
    for at in written.get() {
        days.extend(problems.take(at.place(), day(at.get())));
    }
    let mut time = |at: Option<&At<String>>| match at {
        Some(at) => problems.take(at.place(), time_of_day(at.get())),
        None => Some(Time::midnight()),
    };
    let (from, to) = (time(raw.from.as_ref()), time(raw.to.as_ref()));
    let zone = raw.time_zone.as_ref();
    let zone_name = zone.map_or("UTC", |at| at.get());
    if let Some(at) = zone
        && let Err(error) = time_zone(at.get())
    {
        problems.add(at.place(), error.to_string(), "write one such as Europe/Berlin or UTC");
    }
    let (from, to) = from.zip(to)?;
    Some(FreezeSchedule::Weekly { days, from, to, time_zone: zone_name.to_owned() })
}

fn once_window(
    start: &At<String>,
    end: &At<String>,
    problems: &mut Problems,
) -> Option<FreezeSchedule> {
    let mut moment = |at: &At<String>| problems.take(at.place(), moment(at.get()));
    let (start, until) = moment(start).zip(moment(end))?;
    if start >= until {
        problems.add(end.place(), "the freeze ends before it starts", "let `end` be after `start`");
    }
    Some(FreezeSchedule::Once { start, end: until })
}

fn day(text: &str) -> Result<Day, Fault> {
    let day = DAYS.iter().find(|(name, _)| *name == text).map(|(_, day)| *day);
    day.ok_or_else(|| {
        let way_out = suggest(text, DAYS.iter().map(|(name, _)| *name));
        Fault::new(format!("`{text}` is not a day of the week"), way_out)
    })
}

fn time_of_day(text: &str) -> Result<Time, Fault> {
    Time::strptime("%H:%M", text).map_err(|_| {
        let way_out = "write hours and minutes in quotes, such as \"18:00\"";
        Fault::new(format!("`{text}` is not a time of the day"), way_out)
    })
}

fn moment(text: &str) -> Result<Timestamp, Fault> {
    let millis = text.parse::<jiff::Timestamp>().ok();
    let millis = millis.and_then(|at| u64::try_from(at.as_millisecond()).ok());
    millis.map(Timestamp).ok_or_else(|| {
        let way_out = "write date, time and offset, such as 2026-12-20T00:00:00Z";
        Fault::new(format!("`{text}` is not a moment"), way_out)
    })
}
