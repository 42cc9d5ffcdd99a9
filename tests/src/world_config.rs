//! The configuration of a [`World`](crate::World), as the text an operator would have written.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use crate::backends::{BLUE_GREEN, Backends, CANARY};

/// What a test wants otherwise than the demo has it.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// How long a canary stays on a step.
    pub step_time: String,
    /// How long a release is watched at 100 %.
    pub watch: String,
    /// YAML for `defaults`, in one line: guardrails, false_rollback.
    pub defaults: Option<String>,
    /// YAML for a service's `strategy`, in one line, by service.
    pub strategies: BTreeMap<String, String>,
    /// YAML for `freeze`, in one line: times in which nothing goes forward.
    pub freeze: Option<String>,
    /// More YAML of a service, one key a line without indentation, by service.
    pub extras: BTreeMap<String, Vec<String>>,
    /// YAML for `notifications`, in one line.
    pub notifications: Option<String>,
    /// Flags in flagd's format, from the start.
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

/// The places that a configuration names.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    pub(crate) xds: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) dir: &'a Path,
    pub(crate) filter: &'a Path,
    /// Fleets, and the address of the one listener for traffic of each.
    pub(crate) fleets: &'a [(String, SocketAddr)],
    /// The address of the preview listener of each, if they have one.
    pub(crate) previews: &'a [SocketAddr],
}

/// The whole text.
pub(crate) fn text(knobs: &Knobs, places: &Places<'_>, backends: &Backends) -> Result<String> {
    let Places { xds, api, dir, filter, fleets, previews } = places;
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
    let strategy = |name: &str, usual: String| knobs.strategies.get(name).cloned().unwrap_or(usual);
    let extras = |name: &str| {
        let lines = knobs.extras.get(name).into_iter().flatten();
        lines.map(|line| format!("    {line}\n")).collect::<String>()
    };
    for (name, steps) in CANARY {
        let usual =
            format!("{{canary: {{steps: [{steps}], step_time: {step_time}, watch: {watch}}}}}");
        text += &format!(
            "  - name: {name}\n    hosts: [\"{name}.local\"]\n    identity: [{{header: x-user-id}}, {{cookie: sid}}]\n    \
             strategy: {}\n    stable: v1\n    versions:\n      - {{name: v1, endpoints: [\"{}\"]}}\n      \
             - {{name: v2, endpoints: [\"{}\"]}}\n",
            strategy(name, usual),
            backends.get(name, "v1")?.address(),
            backends.get(name, "v2")?.address(),
        );
        text += &extras(name);
    }
    for name in BLUE_GREEN {
        let usual = format!(
            "{{blue_green: {{watch: {watch}, smoke_tests: [{{path: /healthz, expect: 200}}]}}}}"
        );
        text += &format!(
            "  - name: {name}\n    hosts: [\"{name}.local\"]\n    identity: [{{header: x-user-id}}, {{cookie: sid}}]\n    \
             strategy: {}\n    environments:\n      blue: {{endpoints: [\"{}\"], version: v1}}\n      \
             green: {{endpoints: [\"{}\"], version: v2}}\n    active: blue\n",
            strategy(name, usual),
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
    async fn names_every_backend_and_fleet_and_says_what_a_test_wants_otherwise() {
        let backends = Backends::start().await.unwrap();
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let fleets = [("demo-1".to_owned(), address(3)), ("demo-2".to_owned(), address(4))];
        let places = Places {
            xds: address(1),
            api: address(2),
            dir: Path::new("/tmp/x"),
            filter: Path::new("/tmp/f.wasm"),
            fleets: &fleets,
            previews: &[],
        };
        let usual = text(&Knobs::default(), &places, &backends).unwrap();
        for (service, version) in names().flat_map(|name| VERSIONS.map(|version| (name, version))) {
            let address = backends.get(service, version).unwrap().address().to_string();
            assert_eq!(usual.matches(&address).count(), 1, "{service}/{version} in\n{usual}");
        }
        assert!(usual.contains("127.0.0.1:3") && usual.contains("127.0.0.1:4"), "{usual}");
        assert!(!usual.contains("defaults:") && !usual.contains("flags:"), "{usual}");

        let knobs = Knobs {
            defaults: Some("{false_rollback: 1%}".to_owned()),
            strategies: BTreeMap::from([(
                "order".to_owned(),
                "{canary: {steps: [7%, 100%]}}".to_owned(),
            )]),
            flags: Some("{}".to_owned()),
            ..Knobs::default()
        };
        let otherwise = text(&knobs, &places, &backends).unwrap();
        for line in [
            "defaults: {false_rollback: 1%}",
            "strategy: {canary: {steps: [7%, 100%]}}",
            "flags: \"/tmp/x/flags.json\"",
        ] {
            assert!(otherwise.contains(line), "{line} in\n{otherwise}");
        }
        assert!(!otherwise.contains("[5%, 10%, 25%, 50%, 100%]"), "{otherwise}");
    }
}
