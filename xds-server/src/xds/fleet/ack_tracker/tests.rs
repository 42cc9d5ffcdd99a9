use super::*;
use crate::xds::fleet::ReceivedReport;
use tidegate_core::version::FilterVersion;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::Kind;

fn ack_tracker() -> Arc<AckTracker> {
    AckTracker::new(Clock::new(|| Timestamp(7)))
}

fn connect(ack_tracker: &Arc<AckTracker>, node: &str) -> Connection {
    ack_tracker.connect("demo".parse().unwrap(), node, Mode::Delta)
}

fn nacked(message: &str) -> Event {
    let message = message.to_owned();
    Event::Nacked { kind: Kind::Route, version: "v".into(), message }
}

fn report(ack_tracker: &AckTracker, filter_version: Option<&FilterVersion>, is_current: bool) {
    let (fleet, node) = ("demo", "one");
    ack_tracker.record_report(&ReceivedReport { fleet, node, filter_version, is_current });
}

fn resumed() -> Event {
    Event::Resumed { kind: Kind::Cluster }
}

fn acked_of(ack_tracker: &AckTracker, serial: u64) -> (u32, u32) {
    let convergence = ack_tracker.convergence(serial, |_| true);
    (convergence.acked, convergence.connected)
}

#[test]
fn convergence_counts_connected_sidecars() {
    let ack_tracker = ack_tracker();
    assert_eq!(acked_of(&ack_tracker, 1), (0, 0));
    let mut one = connect(&ack_tracker, "one");
    let two = connect(&ack_tracker, "two");
    one.record(std::iter::empty(), 3);
    assert_eq!(acked_of(&ack_tracker, 3), (1, 2));
    assert_eq!(acked_of(&ack_tracker, 4), (0, 2));
    drop(two);
    assert_eq!(acked_of(&ack_tracker, 3), (1, 1));
}

/// A sidecar with a stream for each type has ACKed a publication when all streams have.
#[test]
fn a_sidecar_is_as_far_as_its_slowest_stream() {
    let ack_tracker = ack_tracker();
    let mut clusters = connect(&ack_tracker, "one");
    let mut routes = connect(&ack_tracker, "one");
    clusters.record(std::iter::empty(), 2);
    assert_eq!(acked_of(&ack_tracker, 2), (0, 1));
    routes.record(std::iter::empty(), 2);
    assert_eq!(acked_of(&ack_tracker, 2), (1, 1));
}

#[test]
fn a_slow_stream_that_ends_does_not_delay_its_sidecar() {
    let ack_tracker = ack_tracker();
    let mut clusters = connect(&ack_tracker, "one");
    let routes = connect(&ack_tracker, "one");
    clusters.record(std::iter::empty(), 2);
    drop(routes);
    assert_eq!(acked_of(&ack_tracker, 2), (1, 1));
    drop(clusters);
    assert_eq!(acked_of(&ack_tracker, 2), (0, 0));
    assert!(ack_tracker.fleets.lock().values().all(|fleet| fleet.counts.is_empty()));
}

#[test]
fn a_nack_is_listed_until_it_is_cleared() {
    let ack_tracker = ack_tracker();
    let mut one = connect(&ack_tracker, "one");
    one.record([nacked("bad")].into_iter(), 0);
    let nacks = ack_tracker.nodes().remove(0).nacks;
    assert_eq!(nacks[&Kind::Route].message, "bad");
    assert_eq!(nacks[&Kind::Route].at, Timestamp(7));
    let acked = Event::Acked { kind: Kind::Route, version: "w".into() };
    one.record([acked, Event::Cleared { kind: Kind::Route }].into_iter(), 1);
    let status = ack_tracker.nodes().remove(0);
    assert!(status.nacks.is_empty());
    assert_eq!(status.acked[&Kind::Route], "w");
    let (kind, nack) = status.last_nack.unwrap();
    assert_eq!((kind, &*nack.message), (Kind::Route, "bad"), "the last NACK stays listed");
}

#[test]
fn a_sidecar_with_a_nack_does_not_count_as_acked() {
    let ack_tracker = ack_tracker();
    let mut one = connect(&ack_tracker, "one");
    let mut changes = ack_tracker.changes();
    one.record([nacked("not\nlike this")].into_iter(), 0);
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    one.record(std::iter::empty(), 9);
    let seen = ack_tracker.convergence(9, |_| true);
    assert_eq!((seen.acked, seen.nacked, seen.connected, seen.pending()), (0, 1, 1, 0));
    let message = "not like this".to_owned();
    assert_eq!(
        seen.nacks,
        [Nack { node: "one".to_owned(), resource: "route".to_owned(), message }]
    );
    assert_eq!(seen.times, None);
    changes.mark_unchanged();
    one.record([Event::Cleared { kind: Kind::Route }].into_iter(), 9);
    assert!(changes.has_changed().unwrap());
    assert_eq!(acked_of(&ack_tracker, 9), (1, 1));
}

fn filter_acked(version: &str) -> Event {
    Event::Acked { kind: Kind::Extension, version: version.into() }
}

/// A sidecar that NACKed version `bad` of the filter's configuration, and has reconnected.
fn reconnected(ack_tracker: &Arc<AckTracker>) -> Connection {
    let mut before = connect(ack_tracker, "one");
    let (version, message) = ("bad".into(), "no such file".to_owned());
    let nacked = Event::Nacked { kind: Kind::Extension, version, message };
    before.record([filter_acked("old"), nacked].into_iter(), 1);
    drop(before);
    let mut after = connect(ack_tracker, "one");
    after.record([resumed()].into_iter(), 0);
    after
}

fn acked_and_nacked(ack_tracker: &AckTracker, serial: u64) -> (u32, u32) {
    let convergence = ack_tracker.convergence(serial, |_| true);
    (convergence.acked, convergence.nacked)
}

/// After a reconnection Envoy ACKs a filter configuration that it has NACKed, without applying it.
#[test]
fn a_nacked_filter_stays_nacked_after_a_reconnection() {
    let ack_tracker = ack_tracker();
    let mut one = reconnected(&ack_tracker);
    assert_eq!(acked_and_nacked(&ack_tracker, 1), (0, 1));
    one.record([filter_acked("bad")].into_iter(), 1);
    assert_eq!(acked_and_nacked(&ack_tracker, 1), (0, 1));
    let status = ack_tracker.nodes().remove(0);
    assert_eq!(status.nacks[&Kind::Extension].message, "no such file");
    assert_eq!(status.last_nack.unwrap().1.version, "bad");

    // Also after more of them.
    drop(one);
    let mut one = connect(&ack_tracker, "one");
    one.record([resumed(), filter_acked("bad")].into_iter(), 1);
    assert_eq!(acked_and_nacked(&ack_tracker, 1), (0, 1));
    let mut changes = ack_tracker.changes();
    changes.mark_unchanged();
    one.record([filter_acked("good")].into_iter(), 1);
    assert_eq!(acked_and_nacked(&ack_tracker, 1), (1, 0));
    assert!(changes.has_changed().unwrap());
}

/// A report proves that the filter runs the configuration that Envoy NACKed before its reconnection.
#[test]
fn a_report_of_the_published_configuration_ends_the_nack_of_an_earlier_stream() {
    let ack_tracker = ack_tracker();
    let mut one = reconnected(&ack_tracker);
    one.record([filter_acked("bad")].into_iter(), 1);
    report(&ack_tracker, None, false);
    assert_eq!(acked_and_nacked(&ack_tracker, 1), (0, 1), "of an older configuration");
    let mut changes = ack_tracker.changes();
    changes.mark_unchanged();
    report(&ack_tracker, None, true);
    assert_eq!(acked_and_nacked(&ack_tracker, 1), (1, 0));
    assert!(changes.has_changed().unwrap());
    assert!(ack_tracker.nodes().remove(0).nacks.is_empty());
}

/// The new stream of a sidecar may open before the server detects the end of the old one.
#[test]
fn a_nacked_filter_stays_nacked_if_streams_overlap() {
    let ack_tracker = ack_tracker();
    let mut before = connect(&ack_tracker, "one");
    let (version, message) = ("bad".into(), "no such file".to_owned());
    before.record([Event::Nacked { kind: Kind::Extension, version, message }].into_iter(), 1);
    let mut after = connect(&ack_tracker, "one");
    after.record([resumed()].into_iter(), 0);
    drop(before);
    after.record([filter_acked("bad")].into_iter(), 1);
    assert_eq!(acked_and_nacked(&ack_tracker, 1), (0, 1));
    after.record([filter_acked("good")].into_iter(), 1);
    assert_eq!(acked_and_nacked(&ack_tracker, 1), (1, 0));
}

/// A new process has compared the content with nothing: its ACK means that the filter is in use.
#[test]
fn a_restarted_sidecar_may_ack_what_it_nacked() {
    let ack_tracker = ack_tracker();
    drop(reconnected(&ack_tracker));
    let mut restarted = connect(&ack_tracker, "one");
    assert_eq!(acked_and_nacked(&ack_tracker, 1), (0, 1));
    restarted.record([filter_acked("bad")].into_iter(), 1);
    assert_eq!(acked_and_nacked(&ack_tracker, 1), (1, 0));
}

#[test]
fn nacks_of_disconnected_sidecars_are_bounded() {
    let ack_tracker = ack_tracker();
    for node in 0..MAX_FILTER_NACKS + 5 {
        let mut one = connect(&ack_tracker, &node.to_string());
        let (version, message) = ("bad".into(), String::new());
        let nacked = Event::Nacked { kind: Kind::Extension, version, message };
        one.record([nacked].into_iter(), 1);
    }
    assert_eq!(ack_tracker.filter_nacks.lock().len(), MAX_FILTER_NACKS);
}

#[test]
fn names_are_sorted_and_bounded() {
    let ack_tracker = ack_tracker();
    let names = (0..2 * MAX_NAMED).map(|it| format!("node-{it}")).rev();
    let all: Vec<_> = names.map(|name| connect(&ack_tracker, &name)).collect();
    let mut long = connect(&ack_tracker, "refuses");
    long.record([nacked(&"é".repeat(MAX_MESSAGE + 1))].into_iter(), 0);
    let seen = ack_tracker.convergence(1, |_| true);
    assert_eq!(seen.lagging.len(), MAX_NAMED);
    assert!(seen.lagging.is_sorted_by(|a, b| a < b), "{:?}", seen.lagging);
    assert!(seen.lagging.iter().all(|name| name.starts_with("node-")), "{:?}", seen.lagging);
    assert_eq!(usize::try_from(seen.pending()).unwrap(), all.len());
    assert_eq!(seen.nacks[0].message, format!("{}…", "é".repeat(MAX_MESSAGE)));
}

#[test]
fn ack_times_are_measured() {
    let now = Arc::new(AtomicU64::new(1_000));
    let time = Arc::clone(&now);
    let ack_tracker = AckTracker::new(Clock::new(move || Timestamp(time.load(Ordering::Relaxed))));
    let mut clusters = connect(&ack_tracker, "one");
    let mut routes = connect(&ack_tracker, "one");
    ack_tracker.publishing(1);
    now.store(1_100, Ordering::Relaxed);
    clusters.record(std::iter::empty(), 1);
    assert_eq!(ack_tracker.times().all().total(), 0, "the slowest stream is measured");
    now.store(2_000, Ordering::Relaxed);
    routes.record(std::iter::empty(), 1);
    let times = ack_tracker.convergence(1, |_| true).times.unwrap();
    assert!(times.p99.as_millis().abs_diff(1_000) <= 63, "{times:?}");

    // A stream that opens later is not measured for earlier publications.
    let mut late = connect(&ack_tracker, "one");
    now.store(90_000, Ordering::Relaxed);
    late.record(std::iter::empty(), 1);
    assert_eq!(ack_tracker.convergence(1, |_| true).times, Some(times));
}

/// Checklist line 56: the state of a sidecar ends with its last stream, except for a bounded list of recently disconnected ones.
#[test]
fn recently_disconnected_sidecars_are_listed() {
    let ack_tracker = ack_tracker();
    for node in 0..MAX_DISCONNECTED + 5 {
        drop(connect(&ack_tracker, &node.to_string()));
    }
    let nodes = ack_tracker.nodes();
    assert_eq!(nodes.len(), MAX_DISCONNECTED);
    assert!(nodes.iter().all(|node| !node.connected));
    let back = connect(&ack_tracker, &nodes[0].node);
    let nodes = ack_tracker.nodes();
    assert_eq!(nodes.iter().filter(|node| node.connected).count(), 1);
    assert_eq!(nodes.len(), MAX_DISCONNECTED);
    drop(back);
}

#[test]
fn only_progress_is_a_change() {
    let ack_tracker = ack_tracker();
    let mut one = connect(&ack_tracker, "one");
    let mut changes = ack_tracker.changes();
    one.record(std::iter::empty(), 0);
    assert!(!changes.has_changed().unwrap());
    one.record(std::iter::empty(), 1);
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    drop(one);
    assert!(changes.has_changed().unwrap());
}

/// The task of a stream whose client does not read cannot answer. The inspection ends without it.
#[tokio::test]
async fn a_stream_that_does_not_answer_is_counted_as_silent() {
    let ack_tracker = ack_tracker();
    let demo = "demo".parse().unwrap();
    let stuck = connect(&ack_tracker, "one");
    let mut well = connect(&ack_tracker, "one");
    well.pushed(Kind::Route, "v".into());
    let answering = async {
        let inquiry = well.inquiry().await.unwrap();
        well.tell(inquiry, [(Kind::Route, Vec::new())].into());
    };
    let (inspection, ()) = tokio::join!(ack_tracker.inspect(&demo, "one"), answering);
    assert_eq!((inspection.streams.len(), inspection.silent), (1, 1));
    let push = inspection.streams[0].types[&Kind::Route].pushed.clone().unwrap();
    assert_eq!((&*push.version, push.at, push.answered), ("v", Timestamp(7), None));

    drop((stuck, well));
    let gone = ack_tracker.inspect(&demo, "one").await;
    assert_eq!((gone.streams.len(), gone.silent), (0, 0));
}

fn filter(package: &str) -> FilterVersion {
    FilterVersion::parse(package, 1).unwrap()
}

#[test]
fn the_version_of_the_filter_is_kept_over_a_reconnection() {
    let ack_tracker = ack_tracker();
    report(&ack_tracker, Some(&filter("0.1.0")), false);
    assert!(ack_tracker.nodes().is_empty(), "only connected sidecars are recorded");
    let version = || ack_tracker.nodes().remove(0).filter_version;
    let stream = connect(&ack_tracker, "one");
    assert_eq!(version(), None);
    report(&ack_tracker, Some(&filter("0.1.0")), false);
    assert_eq!(version(), Some(filter("0.1.0")));
    drop(stream);
    assert_eq!(version(), Some(filter("0.1.0")));
    let _stream = connect(&ack_tracker, "one");
    assert_eq!(version(), Some(filter("0.1.0")));
    report(&ack_tracker, Some(&filter("0.2.0")), false);
    assert_eq!(version(), Some(filter("0.2.0")));
}

#[test]
fn an_older_filter_is_logged_once() {
    let current = filter("0.2.0");
    let mut node = Node::default();
    let mut is_logged = |package| node.set_filter_version(&filter(package), &current);
    assert!(!is_logged("0.2.0"));
    assert!(is_logged("0.1.0"));
    assert!(!is_logged("0.1.0"));
    assert!(!is_logged("0.3.0"));
    assert!(!is_logged("0.1.1"));
}
