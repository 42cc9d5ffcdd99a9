//! The xDS resource types, in push order, and the two protocol variants.

use serde::Serialize;

/// The variant of the xDS transport protocol that a client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// State of the world: requests list all names.
    Sotw,
    /// Delta (incremental): requests and responses contain changes only.
    Delta,
}

/// A resource type. The order of the variants is the push order: a cluster is sent before its endpoints, and both before
/// a route that references the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// CDS.
    Cluster,
    /// EDS.
    Endpoint,
    /// LDS.
    Listener,
    /// ECDS: the filter and its configuration.
    Extension,
    /// RDS.
    Route,
    /// SRDS. Requests are valid; there are no resources.
    ScopedRoute,
    /// VHDS. There are no resources.
    VirtualHost,
    /// SDS. There are no resources.
    Secret,
    /// RTDS. There are no resources.
    Runtime,
}

impl Kind {
    /// Every kind, in push order.
    pub const ALL: [Self; 9] = [
        Self::Cluster,
        Self::Endpoint,
        Self::Listener,
        Self::Extension,
        Self::Route,
        Self::ScopedRoute,
        Self::VirtualHost,
        Self::Secret,
        Self::Runtime,
    ];

    /// The type URL of the resource type.
    #[must_use]
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Extension => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::ScopedRoute => {
                "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"
            }
            Self::VirtualHost => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Runtime => "type.googleapis.com/envoy.service.runtime.v3.Runtime",
        }
    }

    /// The kind of a type URL; `None` if it is not an xDS resource type.
    #[must_use]
    pub fn from_type_url(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }

    /// A short name for logs and metric labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Endpoint => "endpoint",
            Self::Listener => "listener",
            Self::Extension => "extension",
            Self::Route => "route",
            Self::ScopedRoute => "scopedroute",
            Self::VirtualHost => "virtualhost",
            Self::Secret => "secret",
            Self::Runtime => "runtime",
        }
    }

    /// True if a state-of-the-world response of this kind is the full set: a resource that it does not contain is removed.
    /// For the other kinds a response may contain any subset.
    #[must_use]
    pub const fn is_full_set(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}
