//! How an Envoy reaches the control plane by mutual TLS.
//!
//! Envoy reads files that stand in its bootstrap once. Files that stand in a *secret* of its own it
//! reads again when they change, so that its certificate can be renewed while it runs; such a secret
//! must be a file itself.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// What Envoy calls its own certificate, and the file of it.
const CERTIFICATE: &str = "tidegate_certificate";
/// What Envoy calls the CA of the control plane, and the file of it.
const CA: &str = "tidegate_ca";

/// Where Envoy's types of TLS are.
const TYPES: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

/// An Envoy's side of mutual TLS. The paths are on Envoy's disk, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Its certificate, an X509-SVID, and those between it and its CA.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// The CA of the control plane's certificate.
    pub ca: PathBuf,
    /// What the control plane's certificate must be of: a DNS name, an IP address or a SPIFFE id.
    pub server_name: String,
    /// Where the secrets' files are, if Envoy is to take renewed certificates while it runs.
    pub secrets: Option<PathBuf>,
}

impl UpstreamTls {
    /// The transport socket of the cluster that leads to the control plane.
    pub(super) fn transport_socket(&self) -> Value {
        let name = &self.server_name;
        let (kind, sni) = if name.starts_with("spiffe://") {
            ("URI", None)
        } else if name.parse::<IpAddr>().is_ok() {
            ("IP_ADDRESS", None)
        } else {
            ("DNS", Some(name))
        };
        let names = json!([{"san_type": kind, "matcher": {"exact": name}}]);
        let common = match &self.secrets {
            Some(dir) => json!({
                "alpn_protocols": ["h2"],
                "tls_certificate_sds_secret_configs": [secret(dir, CERTIFICATE)],
                "combined_validation_context": {
                    "default_validation_context": {"match_typed_subject_alt_names": names},
                    "validation_context_sds_secret_config": secret(dir, CA)
                }
            }),
            None => json!({
                "alpn_protocols": ["h2"],
                "tls_certificates": [{
                    "certificate_chain": {"filename": self.cert},
                    "private_key": {"filename": self.key}
                }],
                "validation_context": {
                    "trusted_ca": {"filename": self.ca},
                    "match_typed_subject_alt_names": names
                }
            }),
        };
        json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": format!("{TYPES}.UpstreamTlsContext"),
                "sni": sni,
                "common_tls_context": common
            }
        })
    }

    /// The files of the secrets, each with its path.
    #[must_use]
    pub fn secret_files(&self) -> Vec<(PathBuf, String)> {
        let Some(dir) = &self.secrets else {
            return Vec::new();
        };
        let file = |name: &str, kind: &str, content: Value| {
            let secret = json!({"@type": format!("{TYPES}.Secret"), "name": name, kind: content});
            (secret_file(dir, name), format!("{:#}\n", json!({"resources": [secret]})))
        };
        let certificate = json!({
            "certificate_chain": {"filename": self.cert},
            "private_key": {"filename": self.key},
            "watched_directory": {"path": directory(&self.cert)}
        });
        let ca = json!({
            "trusted_ca": {"filename": self.ca},
            "watched_directory": {"path": directory(&self.ca)}
        });
        vec![file(CERTIFICATE, "tls_certificate", certificate), file(CA, "validation_context", ca)]
    }
}

fn secret(dir: &Path, name: &str) -> Value {
    json!({
        "name": name,
        "sds_config": {
            "resource_api_version": "V3",
            "path_config_source": {"path": secret_file(dir, name)}
        }
    })
}

fn secret_file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.json"))
}

/// Where a file is; `.` if its path does not say.
fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(server_name: &str, secrets: Option<&str>) -> UpstreamTls {
        UpstreamTls {
            cert: "/tls/cert.pem".into(),
            key: "/tls/key.pem".into(),
            ca: "ca.pem".into(),
            server_name: server_name.to_owned(),
            secrets: secrets.map(Into::into),
        }
    }

    #[test]
    fn the_server_is_checked_by_what_it_is_called() {
        for (name, kind, sni) in [
            ("tidegate.internal", "DNS", json!("tidegate.internal")),
            ("10.0.0.1", "IP_ADDRESS", Value::Null),
            ("spiffe://example.org/tidegate", "URI", Value::Null),
        ] {
            let socket = tls(name, None).transport_socket();
            let config = &socket["typed_config"];
            assert_eq!(config["sni"], sni);
            let context = &config["common_tls_context"]["validation_context"];
            assert_eq!(context["trusted_ca"], json!({"filename": "ca.pem"}));
            let expected = json!([{"san_type": kind, "matcher": {"exact": name}}]);
            assert_eq!(context["match_typed_subject_alt_names"], expected);
        }
        assert!(tls("x", None).secret_files().is_empty());
    }

    #[test]
    fn secrets_are_in_the_files_that_the_socket_names() {
        let tls = tls("tidegate.internal", Some("/etc/envoy"));
        let socket = tls.transport_socket().to_string();
        let files = tls.secret_files();
        assert_eq!(files.len(), 2);
        for (path, text) in &files {
            assert!(socket.contains(path.to_str().unwrap()), "{socket}");
            let secret = &serde_json::from_str::<Value>(text).unwrap()["resources"][0];
            assert!(socket.contains(secret["name"].as_str().unwrap()), "{socket}");
        }
        assert!(files[0].1.contains("/tls/key.pem") && !socket.contains("/tls/key.pem"));
        assert!(files[1].1.contains("\"path\": \".\""), "{}", files[1].1);
    }
}
