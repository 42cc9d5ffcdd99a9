//! Which records are wanted.

use tidegate::journal::Record;
use tidegate_delivery::units::Timestamp;

use super::super::times;

/// All that are given must fit.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Filter {
    /// Only what is about this service
    #[arg(long)]
    service: Option<String>,
    /// Only what is about this release
    #[arg(long)]
    release: Option<String>,
    /// Only what this actor asked for
    #[arg(long)]
    actor: Option<String>,
    /// Only events of this kind, such as `rolled_back`
    #[arg(long)]
    kind: Option<String>,
    /// Not before this time: `2026-11-23T09:00:00Z`, `2026-11-23`, or how long ago: `7d`
    #[arg(long, value_parser = times::parse)]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_parser = times::parse)]
    until: Option<Timestamp>,
}

impl Filter {
    pub(super) fn lets(&self, record: &Record) -> bool {
        let event = record.event.event();
        // What was not asked for fits.
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

#[cfg(test)]
mod tests {
    use tidegate::journal::{Head, NewRecord};
    use tidegate_delivery::model::event::Event;
    use tidegate_delivery::model::release::RollbackCause;

    use super::*;

    #[test]
    fn all_that_is_given_must_fit() {
        let event =
            Event::RolledBack { id: "order.7".parse().unwrap(), cause: RollbackCause::Operator };
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
        assert!(Filter::default().lets(&record));
        assert!(fits.lets(&record));
        for not in [
            Filter { service: text("product"), ..fits.clone() },
            Filter { release: text("order.8"), ..fits.clone() },
            Filter { actor: text("bert"), ..fits.clone() },
            Filter { kind: text("completed"), ..fits.clone() },
            Filter { since: Some(Timestamp(51)), ..fits.clone() },
            Filter { until: Some(Timestamp(50)), ..fits.clone() },
        ] {
            assert!(!not.lets(&record), "{not:?}");
        }
    }
}
