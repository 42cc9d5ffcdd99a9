//! The configuration that Envoy passes to the filter: a complete [`FilterConfig`], or in an Istio
//! mesh the `pluginConfig` of a `WasmPlugin`.
//!
//! Tidegate's own xDS server always sends a complete configuration. A filter that rejects it keeps
//! the one before, and the server learns of the error. In an Istio mesh a rejection makes the sidecar
//! answer every request with status 500, so there everything is accepted, whatever a user wrote.
//! [`Configuration::parse`] distinguishes the two:
//!
//! | Bytes | Configuration |
//! |---|---|
//! | an object with `version` and `services` | complete: must be valid |
//! | other JSON, or none | of a plugin |
//! | not JSON, begins like the server's encoding | complete: rejected |
//! | not JSON otherwise | of a plugin, with a problem |
//!
//! Istio prints a `pluginConfig` as JSON with sorted keys, so one that is broken never begins with
//! `version`.

use serde_json::{Map, Value};
use thiserror::Error;

use super::FilterConfig;
use crate::{
    routing::{MAX_CONFIG_BYTES, Router, RouterError},
    upstream::{Upstream, UpstreamError},
};

/// Limit of a fleet's name, in bytes.
const MAX_FLEET: usize = 256;
/// Envoy cluster of the control plane if the plugin configuration names none: the Kubernetes
/// `Service` `tidegate` in the namespace `tidegate`.
pub const DEFAULT_REPORT_CLUSTER: &str = "outbound|18000||tidegate.tidegate.svc.cluster.local";

/// A parsed configuration.
#[derive(Debug)]
pub enum Configuration {
    /// Tidegate is the mesh's xDS server.
    Complete(Box<FilterConfig>, Router),
    /// Istio is; the rest arrives in responses to reports.
    Plugin(PluginConfig),
}

/// A `pluginConfig`: which fleet the sidecar belongs to, and where it reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginConfig {
    /// `None`: the filter only removes Tidegate's headers.
    pub reporting: Option<Reporting>,
    /// What was ignored, for the log.
    pub problems: Vec<PluginProblem>,
}

/// Identity and destination of reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reporting {
    /// Name of the fleet.
    pub fleet: String,
    /// The control plane.
    pub upstream: Upstream,
}

/// An error in a plugin configuration, which does not reject it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message is its documentation")]
pub enum PluginProblem {
    #[error("it is not JSON: {0}")]
    NotJson(String),
    #[error("it is not an object")]
    NotAnObject,
    #[error("`fleet` is missing, so nothing is reported and no version is chosen")]
    NoFleet,
    #[error("`{0}` must be a text")]
    NotText(&'static str),
    #[error("`fleet` must have 1 to {MAX_FLEET} bytes")]
    FleetLength,
    #[error("`report` must be an object with `cluster` and optionally `authority`")]
    Report,
    #[error("`report`: {0}")]
    Upstream(#[from] UpstreamError),
    #[error("`{0}` is unknown")]
    Unknown(String),
}

impl Configuration {
    /// Parses a configuration.
    ///
    /// # Errors
    /// If it is a complete configuration that is invalid. See the module.
    pub fn parse(bytes: &[u8]) -> Result<Self, RouterError> {
        if bytes.len() > MAX_CONFIG_BYTES {
            return Err(RouterError::TooLarge { limit: MAX_CONFIG_BYTES });
        }
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::Plugin(PluginConfig::of(&Map::new())));
        }
        let value = match serde_json::from_slice(bytes) {
            Ok(value) => value,
            Err(error) if begins_like_complete(bytes) => {
                return Err(RouterError::Json(error.to_string()));
            }
            Err(error) => {
                let problem = PluginProblem::NotJson(error.to_string());
                return Ok(Self::Plugin(PluginConfig::without_fleet(problem)));
            }
        };
        let Value::Object(fields) = value else {
            return Ok(Self::Plugin(PluginConfig::without_fleet(PluginProblem::NotAnObject)));
        };
        if fields.contains_key("version") && fields.contains_key("services") {
            let (config, router) = Router::parse(bytes)?;
            return Ok(Self::Complete(Box::new(config), router));
        }
        Ok(Self::Plugin(PluginConfig::of(&fields)))
    }
}

impl PluginConfig {
    fn without_fleet(problem: PluginProblem) -> Self {
        Self { reporting: None, problems: vec![problem] }
    }

    fn of(fields: &Map<String, Value>) -> Self {
        let mut problems = Vec::new();
        let known = ["fleet", "report"];
        let unknown = fields.keys().filter(|key| !known.contains(&key.as_str()));
        problems.extend(unknown.map(|key| PluginProblem::Unknown(key.clone())));
        let mut accept = |result: Result<_, PluginProblem>| {
            result.map_err(|problem| problems.push(problem)).ok()
        };
        let fleet = accept(fleet(fields)).map(str::to_owned);
        let upstream = upstream(fields).map_err(|problem| problems.push(problem)).ok();
        let reporting = fleet.zip(upstream).map(|(fleet, upstream)| Reporting { fleet, upstream });
        Self { reporting, problems }
    }
}

fn fleet(fields: &Map<String, Value>) -> Result<&str, PluginProblem> {
    let fleet = text(fields, "fleet")?.ok_or(PluginProblem::NoFleet)?;
    if (1..=MAX_FLEET).contains(&fleet.len()) { Ok(fleet) } else { Err(PluginProblem::FleetLength) }
}

fn upstream(fields: &Map<String, Value>) -> Result<Upstream, PluginProblem> {
    let none = Map::new();
    let report = match fields.get("report") {
        None => &none,
        Some(Value::Object(report)) => report,
        Some(_) => return Err(PluginProblem::Report),
    };
    let cluster = text(report, "cluster")?.unwrap_or(DEFAULT_REPORT_CLUSTER);
    Ok(Upstream::envoy_grpc(cluster, text(report, "authority")?)?)
}

fn text<'a>(
    fields: &'a Map<String, Value>,
    key: &'static str,
) -> Result<Option<&'a str>, PluginProblem> {
    match fields.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(PluginProblem::NotText(key)),
    }
}

/// Whether bytes that are not JSON begin like the server's encoding of a complete configuration.
fn begins_like_complete(bytes: &[u8]) -> bool {
    let key = bytes.trim_ascii().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    key.is_some_and(|key| key.starts_with(br#""version""#))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(bytes: &[u8]) -> PluginConfig {
        match Configuration::parse(bytes) {
            Ok(Configuration::Plugin(plugin)) => plugin,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plugin_configuration_is_never_rejected() {
        use PluginProblem::{FleetLength, NoFleet, NotAnObject, NotJson, NotText, Report, Unknown};
        let json = |problems: &[PluginProblem]| matches!(problems, [NotJson(_)]);
        // An absent `pluginConfig` arrives as no bytes. The `Any` around it has the bytes 22 00.
        for (bytes, expected) in [
            (b"".as_slice(), vec![NoFleet]),
            (b" \n", vec![NoFleet]),
            (b"{}", vec![NoFleet]),
            (b"null", vec![NotAnObject]),
            (b"[1]", vec![NotAnObject]),
            (br#"{"fleet":7}"#, vec![NotText("fleet")]),
            (br#"{"fleet":""}"#, vec![FleetLength]),
            (br#"{"version":"1"}"#, vec![Unknown("version".into()), NoFleet]),
            (br#"{"fleet":"mesh","report":"x"}"#, vec![Report]),
            (br#"{"fleet":"mesh","report":{"cluster":1}}"#, vec![NotText("cluster")]),
        ] {
            let plugin = plugin(bytes);
            assert_eq!((plugin.reporting, plugin.problems), (None, expected));
        }
        for bytes in [b"\x22\x00".as_slice(), b"{", b"\xff", br#"{"fleet":"mesh""#] {
            let plugin = plugin(bytes);
            assert!(plugin.reporting.is_none() && json(&plugin.problems), "{plugin:?}");
        }
        let long = format!(r#"{{"fleet":"mesh","report":{{"cluster":"{}"}}}}"#, "x".repeat(200));
        assert!(matches!(*plugin(long.as_bytes()).problems, [PluginProblem::Upstream(_)]));
    }

    #[test]
    fn fleet_and_upstream_are_read_and_the_rest_is_ignored() {
        let mesh = plugin(br#"{"fleet":"mesh","future":{"a":1}}"#);
        let expected = Reporting {
            fleet: "mesh".into(),
            upstream: Upstream::envoy_grpc(DEFAULT_REPORT_CLUSTER, None).unwrap(),
        };
        assert_eq!(mesh.reporting, Some(expected));
        assert_eq!(mesh.problems, [PluginProblem::Unknown("future".into())]);
        let own = plugin(
            br#"{"fleet":"mesh","report":{"authority":"tide.example.com","cluster":"xds"}}"#,
        );
        let upstream = Upstream::envoy_grpc("xds", Some("tide.example.com")).unwrap();
        assert_eq!(own.reporting.unwrap().upstream, upstream);
    }

    #[test]
    fn a_broken_complete_configuration_is_rejected() {
        for bytes in [
            br#"{"version":"c1","services":[],"fleet":""}"#.as_slice(),
            br#"{"version":"c1","services":7}"#,
            br#"{"version":"c1","min_protocol":0,"fle"#,
            br#" { "version":"c1"#,
        ] {
            let text = String::from_utf8_lossy(bytes);
            assert!(Configuration::parse(bytes).is_err(), "{text}");
        }
        let huge = vec![b' '; MAX_CONFIG_BYTES + 1];
        assert!(matches!(Configuration::parse(&huge), Err(RouterError::TooLarge { .. })));
    }
}
