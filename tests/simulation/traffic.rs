//! Counting and reports of one sidecar: counts are sent until they are acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message;
use tidegate::telemetry::clients::ReportedClients;
use tidegate::telemetry::counts::Counts;
use tidegate::telemetry::intake::{Entry, Report, Sender};
use tidegate_core::config::FilterConfig;
use tidegate_proto::envoy::envoy::config::core::v3::TypedExtensionConfig;
use tidegate_proto::envoy::envoy::extensions::filters::http::wasm::v3::Wasm;
use tidegate_proto::envoy::google::protobuf::StringValue;
use tidegate_xds::resources::Resource;

use super::configuration::FLEET;

/// The counts of one sidecar that are not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    sequence: u64,
    sent: Option<Report>,
    /// By service, version and release.
    counts: BTreeMap<(String, String, String), Counts>,
}

impl Reporter {
    pub(crate) fn count(&mut self, service: &str, version: &str, release: &str, failed: bool) {
        let key = (service.to_owned(), version.to_owned(), release.to_owned());
        let counts = self.counts.entry(key).or_default();
        counts.requests += 1;
        counts.errors += u64::from(failed);
        counts.latency.record(Duration::from_millis(5));
    }

    /// The report that is not acknowledged, or the next.
    pub(crate) fn report(&mut self, node: &str) -> Report {
        if let Some(sent) = &self.sent {
            return sent.clone();
        }
        self.sequence += 1;
        let counts = std::mem::take(&mut self.counts).into_iter();
        let entries = counts
            .map(|((service, version, release), counts)| Entry {
                service,
                version,
                release,
                counts,
                // Each request is of another client.
                clients: ReportedClients::default(),
            })
            .collect();
        let report = Report {
            sender: Sender { node: node.to_owned(), instance: 1 },
            sequence: self.sequence,
            fleet: FLEET.to_owned(),
            config_version: String::new(),
            config_requested: false,
            config_error: String::new(),
            filter_version: None,
            entries,
            dropped: 0,
        };
        self.sent = Some(report.clone());
        report
    }

    pub(crate) fn acknowledged(&mut self, sequence: u64) {
        if self.sent.as_ref().is_some_and(|it| it.sequence <= sequence) {
            self.sent = None;
        }
    }
}

/// The filter's configuration in an ECDS resource.
pub(crate) fn filter_config(resource: &Resource) -> FilterConfig {
    let extension = TypedExtensionConfig::decode(resource.value().clone()).unwrap();
    let wasm = Wasm::decode(&*extension.typed_config.unwrap().value).unwrap();
    let configuration = wasm.config.unwrap().configuration.unwrap();
    let json = StringValue::decode(&*configuration.value).unwrap().value;
    serde_json::from_str(&json).unwrap()
}
