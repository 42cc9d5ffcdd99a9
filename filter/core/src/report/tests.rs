use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const IN_FORCE: InForce<'_> = InForce { fleet: "demo", config_version: "c1", config_requested: false };
const ORDER_V1: Key<'_> = Key { service: "order", version: "v1", release: "" };
const ORDER_V2: Key<'_> = Key { service: "order", version: "v2", release: "r1" };

fn reporter() -> Reporter {
    let mut reporter = Reporter::new(Reporting { node_id: "edge-1".to_owned(), instance: 7 });
    reporter.set_interval(250);
    reporter
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn success(reporter: &mut Reporter, key: Key<'_>) {
    reporter.record(key, &Seen::new(Outcome::Success, ms(5)));
}

fn poll(reporter: &mut Reporter, now: Duration) -> Option<ReportRequest> {
    let bytes = reporter.poll(now, IN_FORCE)?;
    Some(ReportRequest::decode(bytes).unwrap())
}

fn acknowledge(sequence: u64) -> Vec<u8> {
    ReportResponse { acknowledged: sequence, interval_ms: 0, config: None }.encode_to_vec()
}

#[test]
fn counts_by_version_and_outcome() {
    let mut reporter = reporter();
    success(&mut reporter, ORDER_V2);
    success(&mut reporter, ORDER_V1);
    for outcome in [Outcome::Error, Outcome::ClientError, Outcome::Cancelled] {
        reporter.record(ORDER_V2, &Seen::new(outcome, ms(10)));
    }
    let report = poll(&mut reporter, ms(0)).unwrap();
    assert_eq!((report.sequence, report.instance), (1, 7));
    assert_eq!((report.node_id.as_str(), report.fleet.as_str()), ("edge-1", "demo"));
    let [v1, v2] = report.counts.as_slice() else { panic!("{report:?}") };
    assert_eq!((v1.version.as_str(), v1.requests, v1.errors), ("v1", 1, 0));
    assert_eq!((v2.version.as_str(), v2.release.as_str()), ("v2", "r1"));
    assert_eq!((v2.requests, v2.errors, v2.client_errors, v2.cancelled), (3, 1, 1, 1));
    let latency = v2.latency.as_ref().unwrap();
    assert_eq!(latency.count.iter().sum::<u64>(), v2.requests);
}

#[test]
fn counts_load_and_business_beside() {
    let mut reporter = reporter();
    let seen = Seen {
        load: Load { cpu: Some(0.9), memory: None, disk: Some(0.1) },
        business: vec![("order_success", false), ("payment_success", true)],
        ..Seen::new(Outcome::Success, ms(5))
    };
    reporter.record(ORDER_V2, &seen);
    reporter.record(ORDER_V2, &Seen { business: vec![("order_success", true)], ..seen.clone() });
    // Nobody was served: neither is counted.
    reporter.record(ORDER_V2, &Seen { outcome: Outcome::Cancelled, ..seen });
    let report = poll(&mut reporter, ms(0)).unwrap();
    let [v2] = report.counts.as_slice() else { panic!("{report:?}") };
    let cpu = v2.cpu.as_ref().unwrap();
    assert_eq!((cpu.index.as_slice(), cpu.count.as_slice()), (&[90][..], &[2][..]));
    assert_eq!(v2.memory, None, "nothing was said of it");
    let business: Vec<_> =
        v2.business.iter().map(|it| (it.rule.as_str(), it.requests, it.bad)).collect();
    assert_eq!(business, [("order_success", 2, 1), ("payment_success", 1, 0)]);
}

#[test]
fn rules_counted_for_a_version_are_bounded() {
    let mut reporter = reporter();
    let names: Vec<String> = (0..100).map(|number| format!("rule-{number}")).collect();
    for name in names.iter().chain(&names) {
        let business = vec![(name.as_str(), false)];
        reporter.record(ORDER_V2, &Seen { business, ..Seen::new(Outcome::Success, ms(5)) });
    }
    let report = poll(&mut reporter, ms(0)).unwrap();
    let business = &report.counts[0].business;
    assert_eq!(business.len(), 16);
    assert!(business.iter().all(|counts| counts.requests == 2), "{business:?}");
}

#[test]
fn one_report_is_in_flight_and_its_bytes_stay() {
    let mut reporter = reporter();
    success(&mut reporter, ORDER_V1);
    let first = poll(&mut reporter, ms(0)).unwrap();
    success(&mut reporter, ORDER_V1);
    assert_eq!(poll(&mut reporter, ms(1000)), None);
    reporter.failed(ms(1000));
    assert_eq!(poll(&mut reporter, ms(1100)), None);
    let again = poll(&mut reporter, ms(1250)).unwrap();
    assert_eq!(again, first);
    reporter.answered(&acknowledge(1), ms(1260)).unwrap();
    let next = poll(&mut reporter, ms(1500)).unwrap();
    assert_eq!((next.sequence, next.counts[0].requests), (2, 1));
}

#[test]
fn a_call_that_is_never_answered_is_given_up() {
    let mut reporter = reporter();
    let first = poll(&mut reporter, ms(0)).unwrap();
    assert_eq!(poll(&mut reporter, ms(9_000)), None);
    assert_eq!(poll(&mut reporter, ms(10_000)), None);
    assert_eq!(poll(&mut reporter, ms(10_250)), Some(first));
}

#[test]
fn idle_sidecars_say_that_they_are_there() {
    let mut reporter = reporter();
    assert_eq!(poll(&mut reporter, ms(0)).unwrap().sequence, 1);
    reporter.answered(&acknowledge(1), ms(5)).unwrap();
    assert_eq!(poll(&mut reporter, ms(4_500)), None);
    assert_eq!(poll(&mut reporter, ms(5_000)).unwrap().sequence, 2);
}

#[test]
fn the_reply_sets_the_interval_within_bounds() {
    let mut reporter = reporter();
    let set = |reporter: &mut Reporter, interval_ms| {
        let response =
            ReportResponse { acknowledged: 0, interval_ms, config: Some("{}".to_owned()) };
        let config = reporter.answered(&response.encode_to_vec(), ms(0));
        assert_eq!(config.unwrap().as_deref(), Some("{}"));
        reporter.tick()
    };
    assert_eq!(set(&mut reporter, 100), ms(100));
    assert_eq!(set(&mut reporter, 1), ms(50));
    assert_eq!(set(&mut reporter, 0), ms(50));
    assert_eq!(set(&mut reporter, u32::MAX), ms(1000));
    poll(&mut reporter, ms(0)).unwrap();
    reporter.answered(&acknowledge(1), ms(0)).unwrap();
    success(&mut reporter, ORDER_V1);
    assert_eq!(poll(&mut reporter, ms(59_000)), None);
    assert!(poll(&mut reporter, ms(60_000)).is_some());
}

#[test]
fn retries_wait_longer_and_longer() {
    let mut reporter = reporter();
    let mut now = ms(0);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let began = now;
        while poll(&mut reporter, now).is_none() {
            now += ms(250);
        }
        waits.push((now - began).as_millis());
        reporter.failed(now);
    }
    assert_eq!(waits, [0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
}

#[test]
fn a_clock_that_jumps_back_delays_nothing() {
    let mut reporter = reporter();
    poll(&mut reporter, ms(1_000_000)).unwrap();
    reporter.answered(&acknowledge(1), ms(1_000_000)).unwrap();
    assert_eq!(poll(&mut reporter, ms(5)).unwrap().sequence, 2);
}

#[test]
fn garbage_for_an_answer_is_a_failure() {
    let mut reporter = reporter();
    let first = poll(&mut reporter, ms(0)).unwrap();
    assert!(reporter.answered(b"\xff\xff", ms(10)).is_err());
    assert_eq!(poll(&mut reporter, ms(1000)), Some(first));
}

#[test]
fn what_is_given_up_is_told() {
    let mut reporter = reporter();
    success(&mut reporter, ORDER_V1);
    poll(&mut reporter, ms(0)).unwrap();
    reporter.refused(ms(10));
    let next = poll(&mut reporter, ms(1000)).unwrap();
    assert_eq!((next.sequence, next.dropped, next.counts.len()), (2, 1, 0));

    let mut reporter = self::reporter();
    let names: Vec<_> = (0..600).map(|n| format!("v{n}")).collect();
    for version in &names {
        success(&mut reporter, Key { version, ..ORDER_V1 });
    }
    let report = poll(&mut reporter, ms(0)).unwrap();
    assert_eq!((report.counts.len(), report.dropped), (512, 88));
}

/// What may happen between a sidecar and its control plane.
#[derive(Debug, Clone)]
enum Step {
    Count(bool),
    Tick(u64),
    /// A message in the network arrives: the oldest (or, out of order, the newest) is delivered,
    /// perhaps twice, and its answer comes back or is lost.
    Deliver {
        newest: bool,
        twice: bool,
        answer: bool,
    },
    Lose,
    Interval(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Count),
        4 => (0_u64..6000).prop_map(Step::Tick),
        4 => any::<(bool, bool, bool)>()
            .prop_map(|(newest, twice, answer)| Step::Deliver { newest, twice, answer }),
        1 => Just(Step::Lose),
        1 => any::<u32>().prop_map(Step::Interval),
    ]
}

/// The server's half of the bargain: count a number that is higher than the last, once.
#[derive(Default)]
struct Server {
    last: u64,
    counted: BTreeMap<String, u64>,
    dropped: u64,
}

impl Server {
    fn receive(&mut self, bytes: &[u8]) -> u64 {
        let report = ReportRequest::decode(bytes).unwrap();
        if report.sequence > self.last {
            assert_eq!(report.sequence, self.last + 1, "a number was left out");
            self.last = report.sequence;
            self.dropped += report.dropped;
            for counts in report.counts {
                *self.counted.entry(counts.version).or_default() += counts.requests;
            }
        }
        self.last
    }
}

proptest! {
    /// Under loss, repetition and reordering each request is counted exactly once.
    #[test]
    fn counting_is_exactly_once(steps in prop::collection::vec(step(), 0..120)) {
        let mut reporter = reporter();
        let mut server = Server::default();
        let mut network: Vec<Vec<u8>> = Vec::new();
        let mut recorded = BTreeMap::<String, u64>::new();
        let mut now = ms(0);
        for step in steps {
            match step {
                Step::Count(second) => {
                    let key = if second { ORDER_V2 } else { ORDER_V1 };
                    success(&mut reporter, key);
                    *recorded.entry(key.version.to_owned()).or_default() += 1;
                }
                Step::Tick(millis) => {
                    now += ms(millis);
                    network.extend(reporter.poll(now, IN_FORCE).map(<[u8]>::to_vec));
                }
                Step::Deliver { newest, twice, answer } if !network.is_empty() => {
                    let at = if newest { network.len() - 1 } else { 0 };
                    let bytes = network.remove(at);
                    let mut acknowledged = server.receive(&bytes);
                    if twice { acknowledged = server.receive(&bytes); }
                    if answer {
                        reporter.answered(&acknowledge(acknowledged), now).unwrap();
                    }
                }
                Step::Lose if !network.is_empty() => {
                    network.pop();
                    reporter.failed(now);
                }
                Step::Interval(millis) => reporter.set_interval(millis),
                _ => {}
            }
        }
        // The network heals: everything still unsaid gets through.
        for _ in 0..4 {
            now += ms(70_000);
            reporter.failed(now);
            now += ms(70_000);
            let bytes = reporter.poll(now, IN_FORCE).unwrap().to_vec();
            let acknowledged = server.receive(&bytes);
            reporter.answered(&acknowledge(acknowledged), now).unwrap();
        }
        prop_assert_eq!(server.counted, recorded);
        prop_assert_eq!(server.dropped, 0);
    }
}
