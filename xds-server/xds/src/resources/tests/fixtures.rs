//! Builders for states and meshes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::mesh::{ControlPlane, Fleet, IstioMesh, Listener, Mesh, Purpose};
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::model::catalogue::{Endpoint, ServiceSpec, VersionSpec};
use tidegate_delivery::model::istio::{IstioService, IstioSubset, IstioTarget};
use tidegate_delivery::model::plan::{ConvergenceThreshold, OnFail, Plan, Step, Strategy};
use tidegate_delivery::model::release::{Phase, Release};
use tidegate_delivery::model::requirements::Requirements;
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::ReleaseId;
use tidegate_delivery::names::Services;
use tidegate_delivery::units::{Ppm, Timestamp};

/// A service with these versions, each with its own address.
pub(super) fn service(name: &str, versions: &[&str], stable: &str) -> ServiceState {
    let version = |(port, version): (u16, &&str)| {
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port };
        let spec =
            VersionSpec { endpoints: vec![endpoint], istio: None, environment: None, commit: None };
        (version.parse().unwrap(), spec)
    };
    ServiceState::new(ServiceSpec {
        name: name.parse().unwrap(),
        hosts: vec![format!("{name}.local").parse().unwrap()],
        identity: Vec::new(),
        istio: None,
        versions: (9000..).zip(versions).map(version).collect(),
        stable: stable.parse().unwrap(),
        environments: None,
        plan: plan(Ppm::ALL),
        guardrails: Guardrails::default(),
        excluded: Vec::new(),
        hooks: Vec::new(),
        dns: None,
    })
}

fn plan(weight: Ppm) -> Plan {
    Plan {
        strategy: Strategy::Canary,
        steps: vec![Step { weight, time: Duration::ZERO, min_requests: 0, approval: None }],
        watch: Duration::ZERO,
        holdback: None,
        smoke_tests: Vec::new(),
        health: None,
        convergence: ConvergenceThreshold::default(),
        requirements: Requirements::default(),
        on_fail: OnFail::default(),
        rollback_window: Duration::ZERO,
        rollback_after_completion: Duration::ZERO,
    }
}

/// The same service while its `number`th release is at a weight.
pub(super) fn releasing(
    service: ServiceState,
    number: u64,
    candidate: &str,
    weight: Ppm,
) -> ServiceState {
    let release = Release {
        id: ReleaseId::of(&service.spec.name, number).unwrap(),
        service: service.spec.name.clone(),
        candidate: candidate.parse().unwrap(),
        stable: service.stable.clone(),
        plan: plan(weight),
        started_at: Timestamp(0),
        started_by: "anne".to_owned(),
        phase: Phase::Stepping { step: 0, since: Timestamp(0) },
        paused_at: None,
        converged: true,
        alerts: Default::default(),
        paused_by_guardrail: None,
        overridden: Default::default(),
        approvals: Vec::new(),
        calls: Vec::new(),
        dns: None,
        health: None,
    };
    ServiceState { release: Some(release), releases: number, ..service }
}

/// The same service after its release is over.
pub(super) fn completed(mut service: ServiceState) -> ServiceState {
    let release = service.release.as_mut().unwrap();
    release.phase = Phase::Completed { at: Timestamp(1) };
    service.stable = release.candidate.clone();
    service
}

/// These services, and no flags.
pub(super) fn state(services: &[ServiceState]) -> State {
    let services = services.iter();
    State {
        services: services
            .map(|service| (service.spec.name.clone(), Arc::new(service.clone())))
            .collect(),
        ..State::default()
    }
}

/// A flag that routes requests of a service.
pub(super) fn routing_flag(service: &str) -> serde_json::Value {
    json!({
        "state": "ENABLED", "variants": {"on": "v2"}, "defaultVariant": "on",
        "metadata": {"service": service}
    })
}

/// The fleet `demo` with one listener, `ingress`, for these services.
pub(super) fn mesh(services: Services) -> Mesh {
    let listener = Listener {
        name: "ingress".to_owned(),
        address: "127.0.0.1:10000".parse().unwrap(),
        services,
        purpose: Purpose::Traffic,
    };
    let fleet = Fleet::new("demo".parse().unwrap(), vec![listener]);
    Mesh::new("/filter.wasm".to_owned(), vec![fleet])
}

/// A fleet without listeners.
pub(super) fn mesh_without_listeners() -> Mesh {
    let mut mesh = mesh(Services::All);
    listeners(&mut mesh).clear();
    mesh
}

/// The listeners of the first fleet.
pub(super) fn listeners(mesh: &mut Mesh) -> &mut Vec<Listener> {
    match &mut mesh.fleets[0].control_plane {
        ControlPlane::Tidegate { listeners, .. } => listeners,
        ControlPlane::Istio(_) => panic!("an Istio fleet has no listeners"),
    }
}

/// The fleet `mesh` of an Istio mesh with these services.
pub(super) fn istio_mesh(services: Services) -> Mesh {
    let control_plane = ControlPlane::Istio(IstioMesh {
        report_cluster: "outbound|18000||tidegate.tidegate.svc.cluster.local".to_owned(),
        authority: "tidegate.tidegate.svc.cluster.local".to_owned(),
        services,
    });
    let fleet = Fleet { name: "mesh".parse().unwrap(), control_plane };
    Mesh::new("/filter.wasm".to_owned(), vec![fleet])
}

/// The same service in Istio, its versions subsets without endpoints.
pub(super) fn in_istio(mut service: ServiceState) -> ServiceState {
    let host = format!("{}.default.svc.cluster.local", service.spec.name);
    service.spec.istio =
        Some(IstioService { host: host.parse().unwrap(), port: 80.try_into().unwrap() });
    for (name, version) in &mut service.spec.versions {
        let labels = BTreeMap::from([("version".to_owned(), name.to_string())]);
        let subset = IstioSubset {
            name: name.as_str().parse().unwrap(),
            labels: labels.try_into().unwrap(),
        };
        version.istio = Some(IstioTarget::Subset(subset));
        version.endpoints.clear();
    }
    service
}
