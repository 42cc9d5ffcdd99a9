//! Random exchanges: snapshots, requests and responses in any order, and reconnections.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{BAD, ModelVariant, World};
use crate::protocol::tests::support::*;
use crate::protocol::{Delta, Sotw};
use crate::resources::Resource;

/// One step of an exchange.
#[derive(Debug, Clone)]
enum Step {
    Publish(Mesh),
    Request,
    Response,
    Reconnect,
}

/// A consistent mesh: the clusters in routes exist.
#[derive(Debug, Clone)]
struct Mesh {
    /// The content of each cluster, and of its endpoints.
    clusters: BTreeMap<&'static str, (u32, u32)>,
    /// The content of each listener and of its route, and a mask of the clusters in the route.
    listeners: BTreeMap<&'static str, (u32, u32, u8)>,
    filter: u32,
}

impl Mesh {
    fn resources(&self) -> Vec<Arc<Resource>> {
        let mut all = vec![extension(self.filter)];
        for (name, (of_cluster, of_endpoint)) in &self.clusters {
            all.extend([cluster(name, *of_cluster), endpoint(name, *of_endpoint)]);
        }
        for (name, (of_listener, of_route, mask)) in &self.listeners {
            let clusters = self.clusters.keys().enumerate();
            // One service for each cluster, and one without.
            let mut services = vec![("none", *of_route, &[][..])];
            let named: Vec<&str> = clusters
                .filter(|(index, _)| mask & (1 << index) != 0)
                .map(|(_, name)| *name)
                .collect();
            services.extend(named.chunks(1).map(|one| (one[0], *of_route, one)));
            all.extend([listener(name, *of_listener), routes(name, &services)]);
        }
        all
    }
}

/// Any mesh with contents from `least`.
fn mesh(least: u32) -> impl Strategy<Value = Mesh> {
    let content = least..4_u32;
    let clusters = prop::collection::btree_map(
        prop::sample::select(vec!["a", "b", "c", "d"]),
        (content.clone(), content.clone()),
        0..4,
    );
    let listeners = prop::collection::btree_map(
        prop::sample::select(vec!["l", "m"]),
        (content.clone(), content.clone(), any::<u8>()),
        0..3,
    );
    (clusters, listeners, content).prop_map(|(clusters, listeners, filter)| Mesh {
        clusters,
        listeners,
        filter,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => mesh(BAD).prop_map(Step::Publish),
        6 => Just(Step::Request),
        6 => Just(Step::Response),
        1 => Just(Step::Reconnect),
    ];
    prop::collection::vec(step, 0..80)
}

fn converge<D: ModelVariant>(steps: Vec<Step>, end: &Mesh, lenient: bool) {
    let mut world = World::<D>::new(snapshot(1, &[]), lenient);
    let mut serial = 1;
    for step in steps {
        match step {
            Step::Publish(mesh) => {
                serial += 1;
                world.publish(&snapshot(serial, &mesh.resources()));
            }
            Step::Request => world.deliver_request(),
            Step::Response => world.deliver_response(),
            Step::Reconnect => world.reconnect(),
        }
    }
    world.run_until_idle();
    world.publish(&snapshot(serial + 1, &end.resources()));
    world.run_until_idle();
    world.check_converged();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_exchange_converges_sotw(
        steps in steps(), end in mesh(BAD + 1), lenient in any::<bool>(),
    ) {
        converge::<Sotw>(steps, &end, lenient);
    }

    #[test]
    fn every_exchange_converges_delta(
        steps in steps(), end in mesh(BAD + 1), lenient in any::<bool>(),
    ) {
        converge::<Delta>(steps, &end, lenient);
    }
}
