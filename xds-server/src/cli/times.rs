//! Points in time as people write them.

use tidegate::clock::Clock;
use tidegate_delivery::units::Timestamp;

use super::words::NONE;

/// In the words of RFC 3339, to the millisecond.
pub(super) fn shown(at: Timestamp) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| NONE.to_owned(), |time| format!("{time:.3}"))
}

/// A time with its offset, a day of UTC, or how long ago.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let now = Clock::system().now();
        return Ok(Timestamp(
            now.since(Timestamp::default().after(ago)).as_millis().try_into().unwrap_or(0),
        ));
    }
    let day = || format!("{text}T00:00:00Z").parse::<jiff::Timestamp>();
    let time = text.parse().or_else(|_| day()).map_err(|_| {
        "write a time as 2026-11-23T09:00:00Z, a day as 2026-11-23, or how long ago as 7d"
            .to_owned()
    })?;
    u64::try_from(time.as_millisecond())
        .map(Timestamp)
        .map_err(|_| "that is before 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_shows_and_what_people_write() {
        let at = Timestamp(1_700_000_000_123);
        assert_eq!(parse(&shown(at)), Ok(at));
        assert_eq!(parse("2023-11-14T23:13:20+01:00"), Ok(Timestamp(1_700_000_000_000)));
        assert_eq!(parse("2023-11-14"), Ok(Timestamp(1_699_920_000_000)));
        let now = Clock::system().now();
        let (earlier, later) = (parse("7d").unwrap(), parse("6days").unwrap());
        assert!(earlier < later && later < now, "{earlier:?} {later:?} {now:?}");
        for bad in ["", "yesterday", "2023-13-01", "1969-12-31"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
