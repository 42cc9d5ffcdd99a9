//! Filters of records.

use std::collections::BTreeSet;

use tidegate::journal::Record;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::units::Timestamp;

use super::super::failure::Failure;
use super::super::text;

/// A record matches if it matches all given filters.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Filter {
    /// Only records about this service
    #[arg(long)]
    service: Option<String>,
    /// Only records about this release
    #[arg(long)]
    release: Option<String>,
    /// Only records of this actor
    #[arg(long)]
    actor: Option<String>,
    /// Only events of this kind, such as `rolled_back`
    #[arg(long)]
    kind: Option<String>,
    /// Only since this time: `2026-11-23T09:00:00Z`, `2026-11-23`, or a duration before now: `7d`
    #[arg(long, value_parser = text::parse_time)]
    since: Option<Timestamp>,
    /// Only before this time
    #[arg(long, value_parser = text::parse_time)]
    until: Option<Timestamp>,
}

impl Filter {
    fn matches(&self, record: &Record) -> bool {
        let event = record.event.event();
        let fits = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| is == Some(wanted))
        };
        fits(&self.service, event.service())
            && fits(&self.release, event.release().map(AsRef::as_ref))
            && fits(&self.actor, Some(&record.actor))
            && fits(&self.kind.as_ref().map(|kind| kind.replace(' ', "_")), Some(event.kind()))
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
    }
}

/// Applies a filter, and collects the services of the records: an unknown service is an error, not an empty result.
pub(super) struct Matcher<'a> {
    filter: &'a Filter,
    services: BTreeSet<String>,
}

impl<'a> Matcher<'a> {
    pub(super) const fn new(filter: &'a Filter) -> Self {
        Self { filter, services: BTreeSet::new() }
    }

    pub(super) fn matches(&mut self, record: &Record) -> bool {
        if self.filter.service.is_some() {
            match record.event.event() {
                Event::CatalogueApplied { services } => {
                    self.services.extend(services.iter().map(|it| it.name.to_string()));
                }
                event => self.services.extend(event.service().map(str::to_owned)),
            }
        }
        self.filter.matches(record)
    }

    /// Fails if none of the records named the service of the filter. Call it after the whole journal was read.
    pub(super) fn check_service(&self) -> Result<(), Failure> {
        match &self.filter.service {
            Some(service) if !self.services.contains(service) => {
                let known: Vec<_> = self.services.iter().map(String::as_str).collect();
                Err(Failure::Input(format!(
                    "the journal has no service `{service}`; its services are {}",
                    known.join(", ")
                )))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate::journal::{Head, NewRecord};
    use tidegate_delivery::model::release::RollbackCause;

    use super::*;

    #[test]
    fn a_record_matches_all_given_filters() {
        let event = Event::RolledBack {
            id: "order.7".parse().unwrap(),
            version: "v1".parse().unwrap(),
            cause: RollbackCause::Operator,
        };
        let new = NewRecord { at: Timestamp(50), actor: "anne".to_owned(), reason: None, event };
        let record = Record::link(&Head::genesis(), new).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let fits = Filter {
            service: text("order"),
            release: text("order.7"),
            actor: text("anne"),
            kind: text("rolled back"),
            since: Some(Timestamp(50)),
            until: Some(Timestamp(51)),
        };
        assert!(Filter::default().matches(&record));
        assert!(fits.matches(&record));
        for not in [
            Filter { service: text("product"), ..fits.clone() },
            Filter { release: text("order.8"), ..fits.clone() },
            Filter { actor: text("bert"), ..fits.clone() },
            Filter { kind: text("completed"), ..fits.clone() },
            Filter { since: Some(Timestamp(51)), ..fits.clone() },
            Filter { until: Some(Timestamp(50)), ..fits.clone() },
        ] {
            assert!(!not.matches(&record), "{not:?}");
        }
    }

    #[test]
    fn an_unknown_service_is_an_error_and_a_declared_one_is_not() {
        let of = |service: &str| Filter { service: Some(service.to_owned()), ..Filter::default() };
        let event = Event::RollbackWindowClosed {
            service: "order".parse().unwrap(),
            version: "v1".parse().unwrap(),
        };
        let new = NewRecord { at: Timestamp(50), actor: "anne".to_owned(), reason: None, event };
        let record = Record::link(&Head::genesis(), new).unwrap();
        for (filter, known) in [(Filter::default(), true), (of("order"), true), (of("ordr"), false)]
        {
            let mut matcher = Matcher::new(&filter);
            matcher.matches(&record);
            assert_eq!(matcher.check_service().is_ok(), known, "{filter:?}");
        }
    }
}
