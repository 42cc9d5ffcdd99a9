//! DNS records: events of the DNS updater and of the catalogue.

use crate::model::dns::{Dns, DnsProgress, DnsState, Published, RecordSet};
use crate::model::release::{Phase, Release};
use crate::model::state::ServiceState;
use crate::units::Timestamp;

impl Release {
    /// Starts to track the DNS update, at 100 %.
    pub(crate) fn expect_dns(&mut self, dns: Option<&Dns>) {
        self.dns = dns.map(|dns| DnsProgress {
            name: dns.name.clone(),
            ttl: dns.ttl,
            verified_at: None,
            error: None,
        });
    }
}

impl ServiceState {
    /// The server answers with these records.
    pub(crate) fn publish_dns(&mut self, at: Timestamp, records: &RecordSet) {
        let expected = self.desired_records().as_ref() == Some(records);
        self.dns =
            DnsState { published: Some(Published { records: records.clone(), at }), error: None };
        let Some(release) = self.release.as_mut().filter(|it| it.is_running() && expected) else {
            return;
        };
        let Some(progress) = &mut release.dns else { return };
        progress.error = None;
        progress.verified_at = Some(at);
        if let Phase::Watching { since, holdback } = release.phase {
            let since = release.watch_begins_at(since);
            release.phase = Phase::Watching { since, holdback };
        }
    }

    /// The last update failed.
    pub(crate) fn fail_dns(&mut self, error: &str) {
        self.dns.error = Some(error.to_owned());
        let release = self.release.as_mut().filter(|release| release.is_running());
        if let Some(progress) = release.and_then(|release| release.dns.as_mut()) {
            progress.error = Some(error.to_owned());
        }
    }

    /// Drops the DNS state of a service whose records are no longer declared.
    pub(crate) fn drop_undeclared_dns(&mut self) {
        if self.spec.dns.is_none() {
            self.dns = DnsState::default();
            self.release.iter_mut().for_each(|release| release.dns = None);
        }
    }
}
