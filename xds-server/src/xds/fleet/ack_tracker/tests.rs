use super::*;
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

fn acked_of(ack_tracker: &AckTracker, serial: u64) -> (u32, u32) {
    let convergence = ack_tracker.convergence(serial);
    (convergence.acked, convergence.connected)
}

#[test]
fn convergence_counts_who_is_connected_and_has_it() {
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

/// With a stream for each type a sidecar has a publication when all of them have.
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
fn a_slow_stream_that_leaves_holds_its_sidecar_back_no_more() {
    let ack_tracker = ack_tracker();
    let mut clusters = connect(&ack_tracker, "one");
    let routes = connect(&ack_tracker, "one");
    clusters.record(std::iter::empty(), 2);
    drop(routes);
    assert_eq!(acked_of(&ack_tracker, 2), (1, 1));
    drop(clusters);
    assert_eq!(acked_of(&ack_tracker, 2), (0, 0));
    assert!(ack_tracker.tally.lock().is_empty(), "what left is forgotten");
}

#[test]
fn a_refusal_is_shown_until_it_is_cleared() {
    let ack_tracker = ack_tracker();
    let mut one = connect(&ack_tracker, "one");
    one.record([nacked("bad")].into_iter(), 0);
    let refused = ack_tracker.nodes().remove(0).refused;
    assert_eq!(refused[&Kind::Route].message, "bad");
    assert_eq!(refused[&Kind::Route].at, Timestamp(7));
    let acked = Event::Acked { kind: Kind::Route, version: "w".into() };
    one.record([acked, Event::Cleared { kind: Kind::Route }].into_iter(), 1);
    let status = ack_tracker.nodes().remove(0);
    assert!(status.refused.is_empty());
    assert_eq!(status.acked[&Kind::Route], "w");
    let (kind, nack) = status.last_refusal.unwrap();
    assert_eq!((kind, &*nack.message), (Kind::Route, "bad"), "the last one stays to be seen");
}

#[test]
fn who_refuses_has_not_got_it_whatever_else_it_answered() {
    let ack_tracker = ack_tracker();
    let mut one = connect(&ack_tracker, "one");
    let mut changes = ack_tracker.changes();
    one.record([nacked("not\nlike this")].into_iter(), 0);
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    one.record(std::iter::empty(), 9);
    let seen = ack_tracker.convergence(9);
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

#[test]
fn a_few_are_named_in_order_and_briefly() {
    let ack_tracker = ack_tracker();
    let names = (0..2 * MAX_NAMED).map(|it| format!("node-{it}")).rev();
    let all: Vec<_> = names.map(|name| connect(&ack_tracker, &name)).collect();
    let mut long = connect(&ack_tracker, "refuses");
    long.record([nacked(&"é".repeat(MAX_TOLD + 1))].into_iter(), 0);
    let seen = ack_tracker.convergence(1);
    assert_eq!(seen.lagging.len(), MAX_NAMED);
    assert!(seen.lagging.is_sorted_by(|a, b| a < b), "{:?}", seen.lagging);
    assert!(seen.lagging.iter().all(|name| name.starts_with("node-")), "{:?}", seen.lagging);
    assert_eq!(usize::try_from(seen.pending()).unwrap(), all.len());
    assert_eq!(seen.nacks[0].message, format!("{}…", "é".repeat(MAX_TOLD)));
}

#[test]
fn the_way_to_the_sidecars_is_timed() {
    let now = Arc::new(AtomicU64::new(1_000));
    let time = Arc::clone(&now);
    let ack_tracker = AckTracker::new(Clock::new(move || Timestamp(time.load(Ordering::Relaxed))));
    let mut clusters = connect(&ack_tracker, "one");
    let mut routes = connect(&ack_tracker, "one");
    ack_tracker.publishing(1);
    now.store(1_100, Ordering::Relaxed);
    clusters.record(std::iter::empty(), 1);
    assert_eq!(ack_tracker.newest_times(), None, "the slowest stream counts");
    now.store(2_000, Ordering::Relaxed);
    routes.record(std::iter::empty(), 1);
    let times = ack_tracker.convergence(1).times.unwrap();
    assert!(times.p99.as_millis().abs_diff(1_000) <= 63, "{times:?}");

    // A stream that opens late starts anew, and says nothing of what was had before.
    let mut late = connect(&ack_tracker, "one");
    now.store(90_000, Ordering::Relaxed);
    late.record(std::iter::empty(), 1);
    assert_eq!(ack_tracker.convergence(1).times, Some(times));
}

/// Checklist line 56: what is known of a sidecar goes with its last stream, but for a bounded
/// list of those that left lately.
#[test]
fn the_gone_are_remembered_for_a_while() {
    let ack_tracker = ack_tracker();
    for node in 0..MAX_GONE + 5 {
        drop(connect(&ack_tracker, &node.to_string()));
    }
    let nodes = ack_tracker.nodes();
    assert_eq!(nodes.len(), MAX_GONE);
    assert!(nodes.iter().all(|node| !node.connected));
    let back = connect(&ack_tracker, &nodes[0].node);
    let nodes = ack_tracker.nodes();
    assert_eq!(nodes.iter().filter(|node| node.connected).count(), 1);
    assert_eq!(nodes.len(), MAX_GONE);
    drop(back);
}

#[test]
fn progress_wakes_who_waits_and_nothing_else_does() {
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

#[test]
fn a_status_is_plain_json() {
    let ack_tracker = ack_tracker();
    let mut one = connect(&ack_tracker, "one");
    let acked = Event::Acked { kind: Kind::Route, version: "w".into() };
    one.record([acked].into_iter(), 1);
    let json = serde_json::to_value(ack_tracker.nodes()).unwrap();
    let expected = serde_json::json!([{
        "node": "one", "fleet": "demo", "connected": true, "since": 7, "mode": "delta",
        "synced": 1, "acked": {"route": "w"}, "refused": {}, "last_refusal": null
    }]);
    assert_eq!(json, expected);
}

/// A stream whose client does not read cannot tell; who asks is not kept waiting for ever.
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
