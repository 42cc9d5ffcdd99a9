//! The YAML configuration of a [`World`](crate::World).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use crate::backends::{BLUE_GREEN, Backends, CANARY};

/// Parts of the configuration that tests change.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// `step_time` of canaries.
    pub step_time: String,
    /// `watch` of all services.
    pub watch: String,
    /// YAML for `defaults`, in one line: guardrails, false_rollback.
    pub defaults: Option<String>,
    /// YAML for a service's `strategy`, in one line, by service.
    pub strategies: BTreeMap<String, String>,
    /// YAML for `freeze`, in one line.
    pub freeze: Option<String>,
    /// Further YAML lines of a service, without indentation, by service.
    pub extras: BTreeMap<String, Vec<String>>,
    /// YAML for `notifications`, in one line.
    pub notifications: Option<String>,
    /// Initial flags, in flagd's format.
    pub flags: Option<String>,
    /// Whether each Envoy has a preview listener, for smoke tests.
    pub preview: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            step_time: "5m".to_owned(),
            watch: "30m".to_owned(),
            defaults: None,
            strategies: BTreeMap::new(),
            freeze: None,
            extras: BTreeMap::new(),
            notifications: None,
            flags: None,
            preview: false,
        }
    }
}

/// Addresses and paths in a configuration.
#[derive(Debug)]
pub(crate) struct Locations<'a> {
    pub(crate) xds: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) dir: &'a Path,
    pub(crate) filter: &'a Path,
    /// Fleets with the address of their traffic listener.
    pub(crate) fleets: &'a [(String, SocketAddr)],
    /// Addresses of the preview listeners, if any.
    pub(crate) previews: &'a [SocketAddr],
}

/// The complete configuration.
pub(crate) fn text(
    knobs: &Knobs,
    locations: &Locations<'_>,
    backends: &Backends,
) -> Result<String> {
    let Locations { xds, api, dir, filter, fleets, previews } = locations;
    let mut text = format!(
        "listen: {{xds: \"{xds}\", api: \"{api}\"}}\ndata_dir: {:?}\nfilter: {{wasm: {:?}}}\nfleets:\n",
        dir.join("data"),
        filter,
    );
    let mut previews = previews.iter();
    for (name, address) in *fleets {
        let preview = previews.next().map_or_else(String::new, |address| {
            format!(", {{name: preview, address: \"{address}\", services: [\"*\"], preview: true}}")
        });
        text += &format!(
            "  - name: {name}\n    listeners: [{{name: ingress, address: \"{address}\", services: [\"*\"]}}{preview}]\n"
        );
    }
    if let Some(defaults) = &knobs.defaults {
        text += &format!("defaults: {defaults}\n");
    }
    if let Some(freeze) = &knobs.freeze {
        text += &format!("freeze: {freeze}\n");
    }
    if let Some(notifications) = &knobs.notifications {
        text += &format!("notifications: {notifications}\n");
    }
    text += "services:\n";
    let Knobs { step_time, watch, .. } = knobs;
    let strategy =
        |name: &str, default: String| knobs.strategies.get(name).cloned().unwrap_or(default);
    let extras = |name: &str| {
        let lines = knobs.extras.get(name).into_iter().flatten();
        lines.map(|line| format!("    {line}\n")).collect::<String>()
    };
    for (name, steps) in CANARY {
        let default =
            format!("{{canary: {{steps: [{steps}], step_time: {step_time}, watch: {watch}}}}}");
        text += &format!(
            "  - name: {name}\n    hosts: [\"{name}.local\"]\n    identity: [{{header: x-user-id}}, {{cookie: sid}}]\n    \
             strategy: {}\n    stable: v1\n    versions:\n      - {{name: v1, endpoints: [\"{}\"]}}\n      \
             - {{name: v2, endpoints: [\"{}\"]}}\n",
            strategy(name, default),
            backends.get(name, "v1")?.address(),
            backends.get(name, "v2")?.address(),
        );
        text += &extras(name);
    }
    for name in BLUE_GREEN {
        let default = format!(
            "{{blue_green: {{watch: {watch}, smoke_tests: [{{path: /healthz, expect: 200}}]}}}}"
        );
        text += &format!(
            "  - name: {name}\n    hosts: [\"{name}.local\"]\n    identity: [{{header: x-user-id}}, {{cookie: sid}}]\n    \
             strategy: {}\n    environments:\n      blue: {{endpoints: [\"{}\"], version: v1}}\n      \
             green: {{endpoints: [\"{}\"], version: v2}}\n    active: blue\n",
            strategy(name, default),
            backends.get(name, "v1")?.address(),
            backends.get(name, "v2")?.address(),
        );
        text += &extras(name);
    }
    if knobs.flags.is_some() {
        text += &format!("flags: {:?}\n", dir.join("flags.json"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::{VERSIONS, names};

    #[tokio::test]
    async fn contains_every_backend_and_fleet_and_the_changes_of_a_test() {
        let backends = Backends::start().await.unwrap();
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let fleets = [("demo-1".to_owned(), address(3)), ("demo-2".to_owned(), address(4))];
        let locations = Locations {
            xds: address(1),
            api: address(2),
            dir: Path::new("/tmp/x"),
            filter: Path::new("/tmp/f.wasm"),
            fleets: &fleets,
            previews: &[],
        };
        let default = text(&Knobs::default(), &locations, &backends).unwrap();
        for (service, version) in names().flat_map(|name| VERSIONS.map(|version| (name, version))) {
            let address = backends.get(service, version).unwrap().address().to_string();
            assert_eq!(default.matches(&address).count(), 1, "{service}/{version} in\n{default}");
        }
        assert!(default.contains("127.0.0.1:3") && default.contains("127.0.0.1:4"), "{default}");
        assert!(!default.contains("defaults:") && !default.contains("flags:"), "{default}");

        let knobs = Knobs {
            defaults: Some("{false_rollback: 1%}".to_owned()),
            strategies: BTreeMap::from([(
                "order".to_owned(),
                "{canary: {steps: [7%, 100%]}}".to_owned(),
            )]),
            flags: Some("{}".to_owned()),
            ..Knobs::default()
        };
        let changed = text(&knobs, &locations, &backends).unwrap();
        for line in [
            "defaults: {false_rollback: 1%}",
            "strategy: {canary: {steps: [7%, 100%]}}",
            "flags: \"/tmp/x/flags.json\"",
        ] {
            assert!(changed.contains(line), "{line} in\n{changed}");
        }
        assert!(!changed.contains("[5%, 10%, 25%, 50%, 100%]"), "{changed}");
    }
}
