//! Freeze windows: calendar windows that block deployments.

use std::collections::BTreeSet;

use jiff::civil::Time;

use super::{UniqueNames, name, selected_services};
use crate::config::problem::{Fault, Problems, suggest};
use crate::config::raw;
use crate::config::span::Spanned;
use tidegate_delivery::model::freeze::{Day, FreezeSchedule, FreezeWindow, time_zone};
use tidegate_delivery::names::Services;
use tidegate_delivery::units::Timestamp;

/// The days of the week in the file.
const DAYS: [(&str, Day); 7] = [
    ("mon", Day::Mon),
    ("tue", Day::Tue),
    ("wed", Day::Wed),
    ("thu", Day::Thu),
    ("fri", Day::Fri),
    ("sat", Day::Sat),
    ("sun", Day::Sun),
];

/// The freeze windows.
pub(super) fn freeze_windows(
    written: &[raw::FreezeWindow],
    known: &[&str],
    problems: &mut Problems,
) -> Vec<FreezeWindow> {
    let mut names = UniqueNames::default();
    let mut freeze_windows = Vec::new();
    for raw in written {
        let span = raw.name.span();
        names.check("freeze", raw.name.get(), "", span, problems);
        let name = problems.record(span, name(&raw.name));
        let when = window(raw, problems);
        let services = match &raw.services {
            None => Services::All,
            Some(written) => selected_services("freeze", written, known, problems),
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
                raw.name.span(),
                format!("freeze `{}` must be either weekly or once", raw.name.get()),
                "write `days` with `from`, `to` and `time_zone`, or `start` and `end`",
            );
            None
        }
    }
}

fn weekly_window(
    raw: &raw::FreezeWindow,
    written: &Spanned<Vec<Spanned<String>>>,
    problems: &mut Problems,
) -> Option<FreezeSchedule> {
    if written.get().is_empty() {
        problems.add(
            written.span(),
            "the freeze window has no days",
            "list some, such as [sat, sun]",
        );
    }
    let mut days = BTreeSet::new();
    for at in written.get() {
        days.extend(problems.record(at.span(), day(at.get())));
    }
    let mut time = |at: Option<&Spanned<String>>| match at {
        Some(at) => problems.record(at.span(), time_of_day(at.get())),
        None => Some(Time::midnight()),
    };
    let (from, to) = (time(raw.from.as_ref()), time(raw.to.as_ref()));
    let zone = raw.time_zone.as_ref();
    let zone_name = zone.map_or("UTC", |at| at.get());
    if let Some(at) = zone
        && let Err(error) = time_zone(at.get())
    {
        problems.add(
            at.span(),
            error.to_string(),
            "use a name of the IANA database, such as Europe/Berlin or UTC",
        );
    }
    let (from, to) = from.zip(to)?;
    Some(FreezeSchedule::Weekly { days, from, to, time_zone: zone_name.to_owned() })
}

fn once_window(
    start: &Spanned<String>,
    end: &Spanned<String>,
    problems: &mut Problems,
) -> Option<FreezeSchedule> {
    let mut parse = |at: &Spanned<String>| problems.record(at.span(), timestamp(at.get()));
    let (start, until) = parse(start).zip(parse(end))?;
    if start >= until {
        problems.add(
            end.span(),
            "the freeze window ends before it starts",
            "write an `end` after `start`",
        );
    }
    Some(FreezeSchedule::Once { start, end: until })
}

fn day(text: &str) -> Result<Day, Fault> {
    let day = DAYS.iter().find(|(name, _)| *name == text).map(|(_, day)| *day);
    day.ok_or_else(|| {
        let fix = suggest(text, DAYS.iter().map(|(name, _)| *name));
        Fault::new(format!("`{text}` is not a day of the week"), fix)
    })
}

fn time_of_day(text: &str) -> Result<Time, Fault> {
    Time::strptime("%H:%M", text).map_err(|_| {
        let fix = "write hours and minutes in quotes, such as \"18:00\"";
        Fault::new(format!("`{text}` is not a time of the day"), fix)
    })
}

fn timestamp(text: &str) -> Result<Timestamp, Fault> {
    let millis = text.parse::<jiff::Timestamp>().ok();
    let millis = millis.and_then(|at| u64::try_from(at.as_millisecond()).ok());
    millis.map(Timestamp).ok_or_else(|| {
        let fix = "write date, time and offset, such as 2026-12-20T00:00:00Z";
        Fault::new(format!("`{text}` is not a time"), fix)
    })
}
