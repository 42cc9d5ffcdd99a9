//! The types of resource that xDS knows, in the order in which they are pushed, and its two modes.

use serde::Serialize;

/// How a client speaks xDS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// State of the world: requests list all names.
    Sotw,
    /// Delta: only changes are said.
    Delta,
}

/// A type of resource. The order of the variants is the order of a push: a cluster goes before
/// its endpoints, and both before a route that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// CDS.
    Cluster,
    /// EDS.
    Endpoint,
    /// LDS.
    Listener,
    /// ECDS: the filter's configuration.
    Extension,
    /// RDS.
    Route,
    /// SRDS. Known, so that asking for it is no offence; there are none.
    ScopedRoute,
    /// VHDS. Known; there are none.
    VirtualHost,
    /// SDS. Known; there are none.
    Secret,
    /// RTDS. Known; there are none.
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

    /// The type URL that names it on the wire.
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

    /// The kind that a type URL names, if it is one of xDS's.
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

    /// True if a state-of-the-world response of this kind is the whole set, so that absence
    /// deletes. For the others absence means nothing.
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
