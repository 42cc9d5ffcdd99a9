//! The configuration file, and how it changes: services, plans, versions and listeners.

use std::time::Duration;

use tidegate_delivery::fixtures::{name, order, product, version};
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::names::Services;
use tidegate_xds::mesh::{Fleet, Listener, Mesh, Purpose};

use super::random::Random;

pub(crate) const FLEET: &str = "edge";
/// Every configuration has these services.
pub(crate) const SERVICES: [&str; 2] = ["order", "product"];

#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) services: Vec<ServiceSpec>,
    pub(crate) mesh: Mesh,
    number: u64,
}

impl File {
    pub(crate) fn first() -> Self {
        let mut order = order();
        order.versions.insert(name("v3"), version(9103, None));
        let mut product = order.clone();
        product.name = name("product");
        product.hosts = vec!["product.local".parse().unwrap()];
        let mut services = vec![order, product];
        for service in &mut services {
            for step in &mut service.plan.steps {
                step.time = Duration::from_secs(2);
            }
            service.plan.watch = Duration::from_secs(4);
        }
        // Blue/green, with smoke tests before any traffic.
        services[1].plan.smoke_tests = self::product().plan.smoke_tests;
        services[1].plan.steps.drain(..2);
        Self { services, mesh: mesh(1), number: 0 }
    }

    /// Another configuration. The control plane may apply a part of it while a release runs.
    pub(crate) fn changed(&self, random: &mut Random) -> Self {
        let mut file = self.clone();
        file.number += 1;
        let index = usize::try_from(random.below(2)).unwrap();
        match random.below(5) {
            0 => file.mesh = mesh(1 + u16::try_from(random.below(3)).unwrap()),
            1 => file.services[index].guardrails.min_requests = 80 + random.below(40),
            2 => {
                let port = 9110 + u16::try_from(random.below(9)).unwrap();
                file.services[index].versions.insert(name("v3"), version(port, None));
            }
            3 => file.services[index].plan.steps[0].time = Duration::from_secs(1 + random.below(3)),
            _ if file.services.len() == 2 => {
                let mut extra = file.services[0].clone();
                extra.name = name("extra");
                extra.hosts = vec!["extra.local".parse().unwrap()];
                file.services.push(extra);
            }
            _ => file.services.truncate(2),
        }
        file
    }

    pub(crate) fn version(&self) -> Version {
        Version { hash: self.number.to_string(), source: Source::File }
    }

    pub(crate) fn command(&self) -> Command {
        // A service and listeners come and go, and a version moves while it may be stable.
        let services = ["order", "product", "extra"].map(|it| format!("endpoints:{it}/v3"));
        let listeners = (0..3).map(|number| format!("listener:{FLEET}/listener-{number}"));
        let losses = services.into_iter().chain(listeners).chain(["service:extra".to_owned()]);
        Command::ApplyConfiguration {
            version: self.version(),
            fleets: self.mesh.fleets.clone(),
            services: self.services.clone(),
            freeze_windows: Vec::new(),
            allow: losses.map(|it| name(&it)).collect(),
        }
    }
}

fn mesh(listeners: u16) -> Mesh {
    let listener = |number: u16| Listener {
        name: format!("listener-{number}"),
        address: ([127, 0, 0, 1], 10_000 + number).into(),
        services: Services::All,
        purpose: Purpose::Traffic,
    };
    let fleet = Fleet::new(name(FLEET), (0..listeners).map(listener).collect());
    Mesh::new("filter.wasm".to_owned(), vec![fleet])
}
