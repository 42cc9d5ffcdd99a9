//! What the xDS server counted since it started, as plain atomics that `/metrics` reads.

use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_xds::kind::Kind;

/// One monotonic counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One counter for each kind of resource.
#[derive(Debug, Default)]
pub struct ByKind {
    cluster: Counter,
    endpoint: Counter,
    listener: Counter,
    extension: Counter,
    route: Counter,
    other: Counter,
}

impl ByKind {
    /// The counter of one kind. Kinds that Tidegate has none of share one.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> &Counter {
        match kind {
            Kind::Cluster => &self.cluster,
            Kind::Endpoint => &self.endpoint,
            Kind::Listener => &self.listener,
            Kind::Extension => &self.extension,
            Kind::Route => &self.route,
            Kind::ScopedRoute | Kind::VirtualHost | Kind::Secret | Kind::Runtime => &self.other,
        }
    }

    /// Every counter with the label of its kind.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            (Kind::Cluster.label(), self.cluster.get()),
            (Kind::Endpoint.label(), self.endpoint.get()),
            (Kind::Listener.label(), self.listener.get()),
            (Kind::Extension.label(), self.extension.get()),
            (Kind::Route.label(), self.route.get()),
            ("other", self.other.get()),
        ]
        .into_iter()
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Counters {
    /// Responses sent.
    pub pushes: ByKind,
    /// Responses that a client accepted.
    pub acks: ByKind,
    /// Responses that a client refused.
    pub nacks: ByKind,
    /// Streams that were served.
    pub streams: Counter,
    /// Streams that were ended for what the client sent: no node, unknown fleet, bad type, too much.
    pub refused: Counter,
    /// Streams that were turned away because there were too many.
    pub overload: Counter,
    /// Streams that were closed because the client did not read.
    pub stuck: Counter,
    /// Streams that had to wait for their turn, because the server was behind.
    pub delayed: Counter,
    /// Streams that ended of age.
    pub aged: Counter,
}
