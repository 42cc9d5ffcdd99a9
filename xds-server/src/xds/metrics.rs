//! Metrics of the xDS streams. The handles are created once; `/metrics` encodes them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use tidegate_xds::kind::Kind;

/// Counters of the xDS streams. Clones share the values.
#[derive(Debug, Clone, Default)]
pub struct XdsMetrics {
    /// Discovery responses sent.
    pub pushes: ByType,
    /// Discovery responses ACKed.
    pub acks: ByType,
    /// Discovery responses NACKed.
    pub nacks: ByType,
    /// Streams opened.
    pub streams: Counter,
    /// Streams ended by the server because of an invalid request.
    pub invalid: Counter,
    /// Streams ended by the server because the client did not read.
    pub send_timeouts: Counter,
    /// Streams that waited for admission.
    pub queued: Counter,
    /// Streams ended by the server at their maximum age.
    pub expired: Counter,
}

/// One counter for each resource type.
#[derive(Debug, Clone)]
pub struct ByType(Family<TypeLabel, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    r#type: &'static str,
}

impl Default for ByType {
    fn default() -> Self {
        let counters = Self(Family::default());
        // Series of the types that Tidegate serves exist from the start.
        for kind in [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Extension, Kind::Route] {
            drop(counters.of(kind));
        }
        counters
    }
}

impl ByType {
    /// The counter of one type.
    #[must_use]
    pub fn of(&self, kind: Kind) -> Counter {
        self.0.get_or_create(&TypeLabel { r#type: kind.label() }).clone()
    }
}

impl XdsMetrics {
    /// Adds the counters to a registry.
    pub fn register(&self, registry: &mut Registry) {
        for (name, help, counters) in [
            ("xds_pushes", "Discovery responses sent", &self.pushes),
            ("xds_acks", "Discovery responses that a client ACKed", &self.acks),
            ("xds_nacks", "Discovery responses that a client NACKed", &self.nacks),
        ] {
            registry.register(name, help, counters.0.clone());
        }
        for (name, help, counter) in [
            ("xds_streams", "Streams opened", &self.streams),
            ("xds_streams_invalid", "Streams ended because of an invalid request", &self.invalid),
            (
                "xds_streams_send_timeout",
                "Streams ended because the client did not read",
                &self.send_timeouts,
            ),
            ("xds_streams_queued", "Streams that waited for admission", &self.queued),
            ("xds_streams_expired", "Streams ended at their maximum age", &self.expired),
        ] {
            registry.register(name, help, counter.clone());
        }
    }
}
