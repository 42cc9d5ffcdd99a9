use std::net::SocketAddr;

use super::*;
use crate::auth::peer::{Credential, Peer};
use crate::xds::fleet::{Channel, MISSED_INTERVALS};
use tidegate_delivery::units::Ppm;
use tidegate_xds::kind::Kind;

const INTERVAL: u64 = 250;

/// Sidecars with two instances each, `1` and `2`.
struct World {
    reporters: Reporters,
    times: Arc<PublicationTimes>,
    now: u64,
    peers: BTreeMap<(String, u64), Peer>,
    /// `config_error` of the reports.
    error: &'static str,
}

impl World {
    fn new() -> Self {
        let times = Arc::default();
        let world = Self {
            reporters: Reporters::new(Arc::default(), Arc::clone(&times)),
            times,
            now: 1_000_000,
            peers: BTreeMap::new(),
            error: "",
        };
        world.publish(1, "c1");
        world
    }

    fn publish(&self, serial: u64, version: &str) {
        let fleet = |name: &str, version: &str| PublishedFleet {
            name: name.parse().unwrap(),
            services: Services::Named(["order".parse().unwrap()].into()),
            config_version: version.to_owned(),
        };
        self.times.begin(serial, Timestamp(self.now));
        self.reporters.published(serial, vec![fleet("mesh", version), fleet("other", "x")]);
    }

    fn report(&mut self, node: &str, instance: u64, config_version: &str) {
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let key = (node.to_owned(), instance);
        let peer = self.peers.entry(key).or_insert_with(|| Peer::new(address, Credential::None));
        let report = Reported {
            fleet: "mesh",
            node,
            instance,
            config_version,
            config_error: self.error,
            filter_version: None,
            interval: Duration::from_millis(INTERVAL),
            connection: peer.connection(),
        };
        assert!(self.reporters.record(&report, Timestamp(self.now)));
    }

    /// Lets these instances report at every interval.
    fn run(&mut self, millis: u64, instances: &[(&str, u64)], config_version: &str) {
        let end = self.now + millis;
        while self.now < end {
            self.now += INTERVAL;
            for (node, instance) in instances {
                self.report(node, *instance, config_version);
            }
            self.reporters.sweep(Timestamp(self.now));
        }
    }

    /// Acked and connected sidecars.
    fn convergence(&self, serial: u64) -> (u32, u32) {
        let mut convergence = Convergence::default();
        let order = "order".parse().unwrap();
        self.reporters.add_to(&mut convergence, serial, &order);
        (convergence.acked, convergence.connected)
    }

    /// Median and 99th percentile of the times until sidecars had a publication, in ms.
    fn times(&self, serial: u64) -> Option<(u128, u128)> {
        self.times.of(serial).map(|times| (times.p50.as_millis(), times.p99.as_millis()))
    }

    fn silent(&self) -> Vec<String> {
        self.silent_of("order")
    }

    fn silent_of(&self, service: &str) -> Vec<String> {
        let mut convergence = Convergence::default();
        self.reporters.add_to(&mut convergence, 1, &service.parse().unwrap());
        convergence.silent_nodes
    }
}

const ALL: [(&str, u64); 4] = [("a", 1), ("a", 2), ("b", 1), ("b", 2)];

#[test]
fn a_sidecar_has_a_publication_when_all_its_instances_have_it() {
    let mut world = World::new();
    assert_eq!(world.convergence(1), (0, 0));
    world.run(250, &ALL, "c1");
    assert_eq!(world.convergence(1), (2, 2));
    // Publications that do not change the fleet's configuration.
    assert_eq!(world.convergence(7), (2, 2));
    assert!(world.reporters.all_have_newest());
    world.publish(8, "c2");
    assert_eq!((world.convergence(7), world.convergence(8)), ((2, 2), (0, 2)));
    world.report("a", 1, "c2");
    assert_eq!(world.convergence(8), (0, 2));
    world.report("a", 2, "c2");
    assert_eq!(world.convergence(8), (1, 2));
    assert!(!world.reporters.all_have_newest());
    // A configuration that returns.
    world.publish(9, "c1");
    world.run(250, &ALL, "c1");
    assert_eq!(world.convergence(9), (2, 2));
    world.report("b", 1, "unknown");
    assert_eq!(world.convergence(1), (1, 2));
    let counts = &world.reporters.counts()["mesh"];
    assert_eq!((counts.synced, counts.lagging, counts.silent), (1, 1, 0));
}

/// As precise as a histogram is.
fn is_about(millis: u128, expected: u128) -> bool {
    millis.abs_diff(expected) * 16 <= expected
}

#[test]
fn a_sidecar_is_timed_when_all_its_instances_have_a_publication() {
    let mut world = World::new();
    world.run(250, &ALL, "c1");
    assert_eq!(world.times(1), None, "a sidecar that reports later than the publication");
    world.publish(8, "c2");
    world.now += 300;
    world.report("a", 1, "c2");
    assert_eq!(world.times(8), None);
    world.now += 100;
    world.report("a", 2, "c2");
    assert!(is_about(world.times(8).unwrap().1, 400), "{:?}", world.times(8));
    world.now += 600;
    world.report("b", 1, "c2");
    world.report("b", 2, "c2");
    let (p50, p99) = world.times(8).unwrap();
    assert!(is_about(p50, 400) && is_about(p99, 1_000), "{p50}, {p99}");
    assert_eq!(world.times.all().total(), 2);

    // One that is skipped, one that changes nothing, and one that brings a known configuration back.
    world.publish(9, "c3");
    world.now += 200;
    world.publish(10, "c4");
    world.publish(11, "c4");
    world.run(250, &ALL, "c4");
    assert!(is_about(world.times(9).unwrap().0, 450) && is_about(world.times(10).unwrap().0, 250));
    world.publish(12, "c5");
    world.publish(13, "c4");
    world.run(60_000, &ALL, "c4");
    assert_eq!([11, 12, 13].map(|serial| world.times(serial)), [None; 3]);
}

#[test]
fn a_time_without_reports_or_a_module_that_is_loaded_again_is_not_timed() {
    let mut world = World::new();
    world.run(20_000, &ALL, "c1");
    world.publish(2, "c2");
    world.run(250, &ALL[2..], "c2");
    let times = world.times(2);
    assert!(is_about(times.unwrap().1, 250), "{times:?}");
    // `a` was away, and a new instance of `b` begins without a configuration.
    world.run(30_000, &ALL[2..], "c2");
    world.report("a", 1, "c2");
    world.report("a", 2, "c2");
    world.report("b", 3, "");
    world.run(10_000, &[("b", 3)], "c2");
    assert_eq!(world.times(2), times);
}

#[test]
fn a_sidecar_that_rejects_a_configuration_is_a_nack() {
    let mut world = World::new();
    world.run(250, &ALL, "c1");
    world.publish(2, "c2");
    world.error = "no such operator";
    world.report("a", 2, "c1");
    let mut convergence = Convergence::default();
    world.reporters.add_to(&mut convergence, 2, &"order".parse().unwrap());
    assert_eq!((convergence.nacked, convergence.acked, convergence.connected), (1, 0, 2));
    let [nack] = &convergence.nacks[..] else { panic!("{convergence:?}") };
    assert_eq!((nack.node.as_str(), nack.message.as_str()), ("a", "no such operator"));
    assert!(world.reporters.nodes()[0].nacks.contains_key(&Kind::Extension));
    world.error = "";
    world.run(250, &ALL, "c2");
    assert_eq!(world.convergence(2), (2, 2));
    assert!(world.reporters.nodes()[0].nacks.is_empty());
}

#[test]
fn an_instance_that_stops_while_others_report_is_silent_within_three_intervals() {
    for stopped in ALL {
        let mut world = World::new();
        world.run(1_000, &ALL, "c1");
        let rest: Vec<_> = ALL.into_iter().filter(|it| *it != stopped).collect();
        world.run(INTERVAL * u64::from(MISSED_INTERVALS), &rest, "c1");
        assert!(world.silent().is_empty());
        world.run(250, &rest, "c1");
        assert_eq!(world.silent(), [stopped.0]);
        assert!(world.silent_of("user").is_empty());
        // Its other instance still counts.
        assert_eq!(world.convergence(1), (2, 2));
        let nodes = world.reporters.nodes();
        let node = nodes.iter().find(|it| it.node == stopped.0).unwrap();
        let Channel::Reports(reporting) = node.channel else { panic!("{node:?}") };
        assert_eq!((reporting.instances, reporting.silent, node.connected), (1, 1, true));
        world.run(250, &ALL, "c1");
        assert!(world.silent().is_empty(), "it reports again");
    }
}

#[test]
fn a_whole_sidecar_that_stops_no_longer_counts() {
    let mut world = World::new();
    world.run(1_000, &ALL, "c1");
    world.publish(2, "c2");
    world.run(1_250, &ALL[2..], "c2");
    assert_eq!(world.silent(), ["a"]);
    assert_eq!(world.convergence(2), (1, 1));
    let mut convergence = Convergence::default();
    world.reporters.add_to(&mut convergence, 2, &"order".parse().unwrap());
    let is_reported = |percent| convergence.is_reported(Ppm::percent(percent));
    assert!(convergence.known() == 2 && is_reported(50) && !is_reported(51), "{convergence:?}");
    assert!(!world.reporters.nodes()[0].connected);
    // In the end it is forgotten.
    let forget_after = u64::try_from(FORGET_AFTER.as_millis()).unwrap();
    world.run(forget_after + 1_000, &ALL[2..], "c2");
    assert!(world.silent().is_empty());
    assert_eq!(world.reporters.nodes().len(), 1);
}

#[test]
fn a_sidecar_whose_connections_are_closed_has_ended() {
    let mut world = World::new();
    world.run(1_000, &ALL, "c1");
    world.peers.retain(|(node, _), _| node != "a");
    world.run(1_250, &ALL[2..], "c1");
    assert!(world.silent().is_empty());
    assert_eq!(world.convergence(1), (1, 1));
}

#[test]
fn a_new_instance_replaces_one_of_an_earlier_generation() {
    let mut world = World::new();
    world.run(20_000, &ALL, "c1");
    // The module is loaded again in `a`, where the old VM still has requests in flight.
    let both = [&ALL[..], &[("a", 3), ("a", 4)]].concat();
    world.run(5_000, &both, "c1");
    let new = [("a", 3), ("a", 4), ("b", 1), ("b", 2)];
    world.run(5_000, &new, "c1");
    assert!(world.silent().is_empty());
    // Each replaces one: a failure of the new ones is found.
    world.run(5_000, &new[1..], "c1");
    assert_eq!(world.silent(), ["a"]);
    world.run(20_000, &new[1..], "c1");
    let reloaded = [&new[1..], &[("a", 5)]].concat();
    world.run(1_000, &reloaded, "c1");
    assert!(world.silent().is_empty(), "FAIL_RELOAD started the VM again");
}

#[test]
fn an_interruption_of_all_reports_is_not_silence() {
    let mut world = World::new();
    world.run(1_000, &ALL, "c1");
    world.run(60_000, &[], "c1");
    assert!(world.silent().is_empty());
    assert_eq!(world.convergence(1), (0, 0));
    // The filters retry at different times.
    world.run(4_000, &ALL[..1], "c1");
    assert!(world.silent().is_empty());
    world.run(1_000, &ALL, "c1");
    assert!(world.silent().is_empty());
    assert_eq!(world.convergence(1), (2, 2));
    // One that does not return is found.
    world.run(60_000, &[], "c1");
    world.run(11_000, &ALL[1..], "c1");
    assert_eq!(world.silent(), ["a"]);
}

#[test]
fn a_fleet_that_is_not_published_has_no_reporters() {
    let mut world = World::new();
    world.run(1_000, &ALL, "c1");
    world.reporters.published(2, Vec::new());
    assert_eq!(world.convergence(1), (0, 0));
    let peer = Peer::new("127.0.0.1:1".parse().unwrap(), Credential::None);
    let report = Reported {
        fleet: "mesh",
        node: "a",
        instance: 1,
        config_version: "c1",
        config_error: "",
        filter_version: None,
        interval: Duration::from_secs(1),
        connection: peer.connection(),
    };
    assert!(!world.reporters.record(&report, Timestamp(world.now)));
}
