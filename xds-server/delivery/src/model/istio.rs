//! Services in a mesh whose control plane is Istio: the host that clients call, and where each version is.
//!
//! The filter reads both from the name of the cluster that Envoy selected (`outbound|PORT|SUBSET|HOST`), so they are spelled
//! as Istio spells them: full host names, subset names.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tidegate_core::host::Host;

/// Longest name of a subset, in bytes: that of a DNS label.
const MAX_SUBSET: usize = 63;
/// Longest value of a label, and longest name of a label without its prefix, in bytes.
const MAX_LABEL: usize = 63;
/// Longest prefix of a label, in bytes.
const MAX_PREFIX: usize = 253;
/// Most labels of a subset.
pub const MAX_LABELS: usize = 16;

/// A service of Istio's registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IstioService {
    /// The host of its Kubernetes Service or ServiceEntry.
    pub host: IstioHost,
    /// The service port, not the port of the pods.
    pub port: NonZeroU16,
}

/// Where Istio finds a version of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IstioTarget {
    /// A subset of the service's host.
    Subset(IstioSubset),
    /// A host of its own, with the port of the service.
    Host(IstioHost),
}

/// A subset of a DestinationRule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IstioSubset {
    /// Unique in the DestinationRule.
    pub name: SubsetName,
    /// The labels of its pods.
    pub labels: PodLabels,
}

/// The targets of the two environments of a blue/green service. A version has the target of its environment, so a
/// deployment changes no object of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IstioEnvironments {
    /// Blue's.
    pub blue: IstioTarget,
    /// Green's.
    pub green: IstioTarget,
}

impl IstioTarget {
    /// Whether some request to one of the two could reach pods of the other, or both have the same cluster.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Subset(one), Self::Subset(other)) => {
                one.name == other.name || one.labels == other.labels
            }
            (Self::Host(one), Self::Host(other)) => one == other,
            (Self::Subset(_), Self::Host(_)) | (Self::Host(_), Self::Subset(_)) => false,
        }
    }
}

/// `subset v2`, or the host.
impl fmt::Display for IstioTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subset(subset) => write!(f, "subset {}", subset.name),
            Self::Host(host) => host.fmt(f),
        }
    }
}

/// A text that is not a value of Istio.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IstioError {
    /// An IP address, or no host at all.
    #[error("`{0}` is not a DNS name")]
    NotDnsName(String),
    /// A name that Istio completes with the namespace of the object that contains it.
    #[error("`{0}` is not a full host name")]
    ShortHost(String),
    /// Not a DNS label.
    #[error(
        "`{0}` is not the name of a subset: it has 1 to {MAX_SUBSET} lower-case letters, digits and `-`, and begins and ends \
         with a letter or digit"
    )]
    SubsetName(String),
    /// No labels, or too many.
    #[error("a subset has 1 to {MAX_LABELS} labels, not {0}")]
    Labels(usize),
    /// A label that Kubernetes does not accept.
    #[error("`{key}: {value}` is not a label of Kubernetes")]
    Label {
        /// Its key.
        key: String,
        /// Its value.
        value: String,
    },
}

impl IstioError {
    /// What to write instead.
    #[must_use]
    pub const fn fix(&self) -> &'static str {
        match self {
            Self::NotDnsName(_) | Self::ShortHost(_) => {
                "write the full name, such as order.default.svc.cluster.local"
            }
            Self::SubsetName(_) => "choose another name, such as v2",
            Self::Labels(_) => {
                "write those that only the pods of this version have, such as {version: v2}"
            }
            Self::Label { .. } => "write a key and a value such as version: v2",
        }
    }
}

/// A full host name of Istio's registry: `order.default.svc.cluster.local`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IstioHost(Host);

impl IstioHost {
    /// The host in lower case, without a final dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host as one of requests.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.0
    }

    /// The namespace, of the host of a Kubernetes Service.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        let mut labels = self.as_str().split('.');
        let (_name, namespace) = (labels.next()?, labels.next()?);
        (labels.next() == Some("svc") && labels.next().is_some()).then_some(namespace)
    }
}

impl FromStr for IstioHost {
    type Err = IstioError;

    fn from_str(text: &str) -> Result<Self, IstioError> {
        let not_dns = || IstioError::NotDnsName(clip(text));
        let host: Host = text.parse().map_err(|_| not_dns())?;
        if host.as_str().starts_with('[') || host.as_str().parse::<Ipv4Addr>().is_ok() {
            return Err(not_dns());
        }
        // Istio completes `order`, `order.default` (indistinguishable from a domain) and `order.default.svc`.
        if !host.as_str().contains('.') || host.as_str().ends_with(".svc") {
            return Err(IstioError::ShortHost(clip(text)));
        }
        Ok(Self(host))
    }
}

impl fmt::Display for IstioHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a subset: a DNS label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubsetName(String);

impl SubsetName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubsetName {
    type Err = IstioError;

    fn from_str(text: &str) -> Result<Self, IstioError> {
        let lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
        if lower && is_label_part(text, MAX_SUBSET, b"-") {
            return Ok(Self(text.to_owned()));
        }
        Err(IstioError::SubsetName(clip(text)))
    }
}

impl fmt::Display for SubsetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Labels of pods, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct PodLabels(BTreeMap<String, String>);

impl PodLabels {
    /// The keys and values.
    #[must_use]
    pub const fn get(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl TryFrom<BTreeMap<String, String>> for PodLabels {
    type Error = IstioError;

    fn try_from(labels: BTreeMap<String, String>) -> Result<Self, IstioError> {
        if !(1..=MAX_LABELS).contains(&labels.len()) {
            return Err(IstioError::Labels(labels.len()));
        }
        for (key, value) in &labels {
            let (prefix, name) = key.split_once('/').unwrap_or(("a", key));
            let good = is_label_part(prefix, MAX_PREFIX, b"-.")
                && is_label_part(name, MAX_LABEL, b"-_.")
                && is_label_part(value, MAX_LABEL, b"-_.");
            if !good {
                return Err(IstioError::Label { key: clip(key), value: clip(value) });
            }
        }
        Ok(Self(labels))
    }
}

macro_rules! text_conversions {
    ($($type:ident),*) => {$(
        impl TryFrom<String> for $type {
            type Error = IstioError;

            fn try_from(text: String) -> Result<Self, IstioError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.as_str().to_owned()
            }
        }
    )*};
}
text_conversions!(IstioHost, SubsetName);

impl From<PodLabels> for BTreeMap<String, String> {
    fn from(labels: PodLabels) -> Self {
        labels.0
    }
}

/// Letters, digits and `inner` characters, with a letter or digit at both ends.
fn is_label_part(text: &str, max: usize, inner: &[u8]) -> bool {
    let outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    (1..=max).contains(&text.len())
        && outer(text.bytes().next())
        && outer(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || inner.contains(&byte))
}

/// The beginning of a text of any length.
fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_full_names() {
        let host: IstioHost = "Order.Default.svc.cluster.local.".parse().unwrap();
        assert_eq!(host.as_str(), "order.default.svc.cluster.local");
        assert_eq!(host.namespace(), Some("default"));
        assert_eq!("order.example.com".parse::<IstioHost>().unwrap().namespace(), None);
        for short in ["order", "order.default.svc"] {
            assert_eq!(short.parse::<IstioHost>(), Err(IstioError::ShortHost(short.to_owned())));
        }
        for other in
            ["127.0.0.1", "[::1]", "order.default:80", "a b", "*.default.svc.cluster.local"]
        {
            assert_eq!(other.parse::<IstioHost>(), Err(IstioError::NotDnsName(other.to_owned())));
        }
    }

    #[test]
    fn subsets_and_labels_are_those_of_kubernetes() {
        for bad in ["", "V1", "v1.2", "-v1", "v1-", "v_1", &"v".repeat(64)] {
            assert!(bad.parse::<SubsetName>().is_err(), "{bad}");
        }
        assert!("v1-2".parse::<SubsetName>().is_ok());
        let labels = |key: &str, value: &str| {
            PodLabels::try_from(BTreeMap::from([(key.to_owned(), value.to_owned())]))
        };
        for (key, value) in [("version", "v1_2.3"), ("app.kubernetes.io/version", "V1")] {
            assert!(labels(key, value).is_ok(), "{key}: {value}");
        }
        for (key, value) in
            [("", "v1"), ("version", ""), ("version", "v1."), ("a/b/c", "v1"), ("/a", "v1")]
        {
            assert!(labels(key, value).is_err(), "{key}: {value}");
        }
        assert_eq!(PodLabels::try_from(BTreeMap::new()), Err(IstioError::Labels(0)));
    }

    #[test]
    fn targets_overlap_by_name_labels_or_host() {
        let subset = |json: &str| serde_json::from_str::<IstioTarget>(json).unwrap();
        let v1 = subset(r#"{"subset": {"name": "v1", "labels": {"version": "v1"}}}"#);
        let v2 = subset(r#"{"subset": {"name": "v2", "labels": {"version": "v2"}}}"#);
        let relabelled = subset(r#"{"subset": {"name": "v3", "labels": {"version": "v1"}}}"#);
        let host = subset(r#"{"host": "order-v2.default.svc.cluster.local"}"#);
        assert!(v1.overlaps(&v1) && v1.overlaps(&relabelled) && host.overlaps(&host));
        assert!(!v1.overlaps(&v2) && !v1.overlaps(&host));
    }
}
