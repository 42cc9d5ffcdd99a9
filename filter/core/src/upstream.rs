//! The destination of a gRPC call, in the form that Envoy's proxy-wasm host takes.
//!
//! Envoy parses the text as a serialised `envoy.config.core.v3.GrpcService`, and treats it as a
//! cluster name only if that fails. It sends the name of a cluster as `:authority` of the call unless
//! the `GrpcService` has an authority. HTTP/2 servers reject an authority with a `|`, which the names
//! of Istio's clusters contain.

use std::fmt;

use thiserror::Error;

/// Limit of the cluster's name and of the authority, in bytes. Envoy's host interface takes a text;
/// up to this limit the serialised message is one.
pub const MAX_UPSTREAM: usize = 125;

/// A destination of gRPC calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    cluster: Box<str>,
    /// The argument of the host function.
    text: Box<str>,
}

/// An invalid destination.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UpstreamError {
    /// The name of a cluster is also a valid protobuf message.
    #[error(
        "cluster `{0}` is also a valid protobuf message, which Envoy does not treat as a cluster name"
    )]
    Ambiguous(String),
    /// An empty or too long name.
    #[error("`{0}` must have 1 to {MAX_UPSTREAM} bytes")]
    Length(&'static str),
    /// A value that is not allowed in headers.
    #[error("`{0}` must be visible ASCII")]
    NotAscii(&'static str),
}

impl Upstream {
    /// The cluster with this name, which is also the authority.
    ///
    /// # Errors
    /// If Envoy would not treat the text as a name.
    pub fn cluster(name: &str) -> Result<Self, UpstreamError> {
        if <() as prost::Message>::decode(name.as_bytes()).is_ok() {
            return Err(UpstreamError::Ambiguous(name.to_owned()));
        }
        Ok(Self { cluster: name.into(), text: name.into() })
    }

    /// The cluster with this name. Without an authority it is the host in the name, as in
    /// `outbound|PORT||HOST`, else the name.
    ///
    /// # Errors
    /// If a value is empty, too long or not visible ASCII.
    pub fn envoy_grpc(cluster: &str, authority: Option<&str>) -> Result<Self, UpstreamError> {
        let host = cluster.rsplit_once('|').map_or(cluster, |(_, host)| host);
        let authority = authority.unwrap_or(host);
        // `GrpcService.envoy_grpc` is field 1; `EnvoyGrpc.cluster_name` 1, `authority` 2. The
        // message is in two parts, which every parser merges: each length is then a single byte
        // below 128, so that the whole is a text.
        let mut text = String::new();
        for (field, value, tag) in [("cluster", cluster, '\n'), ("authority", authority, '\x12')] {
            if !(1..=MAX_UPSTREAM).contains(&value.len()) {
                return Err(UpstreamError::Length(field));
            }
            if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(UpstreamError::NotAscii(field));
            }
            let length = |length: usize| u8::try_from(length).map_or('\0', char::from);
            text.extend(['\n', length(value.len() + 2), tag, length(value.len())]);
            text.push_str(value);
        }
        Ok(Self { cluster: cluster.into(), text: text.into() })
    }

    /// The text for the host interface.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The name of the cluster.
impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cluster)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct GrpcService {
        #[prost(message, optional, tag = "1")]
        envoy_grpc: Option<EnvoyGrpc>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct EnvoyGrpc {
        #[prost(string, tag = "1")]
        cluster_name: String,
        #[prost(string, tag = "2")]
        authority: String,
    }

    fn parsed(cluster: &str, authority: Option<&str>) -> (String, String) {
        let upstream = Upstream::envoy_grpc(cluster, authority).unwrap();
        let message = GrpcService::decode(upstream.as_str().as_bytes()).unwrap();
        let EnvoyGrpc { cluster_name, authority } = message.envoy_grpc.unwrap();
        (cluster_name, authority)
    }

    #[test]
    fn a_grpc_service_has_the_host_of_the_cluster_as_authority() {
        let istio = "outbound|18000||tidegate.tidegate.svc.cluster.local";
        let host = "tidegate.tidegate.svc.cluster.local";
        assert_eq!(parsed(istio, None), (istio.into(), host.into()));
        assert_eq!(parsed(istio, Some("t.example.com")), (istio.into(), "t.example.com".into()));
        assert_eq!(parsed("xds", None), ("xds".into(), "xds".into()));
        let longest = "x".repeat(MAX_UPSTREAM);
        assert_eq!(parsed(&longest, None), (longest.clone(), longest));
    }

    #[test]
    fn invalid_destinations_are_rejected() {
        let error =
            |cluster: &str, authority| Upstream::envoy_grpc(cluster, authority).unwrap_err();
        assert_eq!(error("", None), UpstreamError::Length("cluster"));
        assert_eq!(error(&"x".repeat(MAX_UPSTREAM + 1), None), UpstreamError::Length("cluster"));
        assert_eq!(error("outbound|1||", None), UpstreamError::Length("authority"));
        assert_eq!(error("xds", Some("a b")), UpstreamError::NotAscii("authority"));
        assert_eq!(error("xds\n", None), UpstreamError::NotAscii("cluster"));
        for name in ["envoy", "edge1", ""] {
            assert_eq!(Upstream::cluster(name), Err(UpstreamError::Ambiguous(name.into())));
        }
        assert_eq!(Upstream::cluster("tidegate").unwrap().as_str(), "tidegate");
    }
}
