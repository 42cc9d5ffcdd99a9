//! The TLS configuration of an Envoy that connects to the control plane.
//!
//! Envoy reads certificate files in its bootstrap once. Files referenced by an SDS secret are reloaded when they change, so
//! that a certificate can be renewed while Envoy runs. Such a secret is a file of its own.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Name of the secret with the client certificate, and of its file.
const CERTIFICATE: &str = "tidegate_certificate";
/// Name of the secret with the CA of the control plane, and of its file.
const CA: &str = "tidegate_ca";

/// Type URL prefix of Envoy's TLS messages.
const TYPES: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

/// The client side of mutual TLS. Paths are PEM files on Envoy's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The client certificate, an X509-SVID, followed by its intermediate certificates.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// The CA of the control plane's certificate.
    pub ca: PathBuf,
    /// The subject alternative name of the control plane's certificate: a DNS name, an IP address or a SPIFFE ID.
    pub server_name: String,
    /// The directory of the secret files. With it, Envoy reloads renewed certificates.
    pub secrets: Option<PathBuf>,
}

impl UpstreamTls {
    /// The transport socket of the control plane cluster.
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

    /// The path and content of each secret file; none without a directory.
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

/// The directory of a file; `.` if the path has none.
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
    fn the_server_name_selects_the_type_of_its_san() {
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
    fn secret_files_match_the_paths_of_the_transport_socket() {
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
