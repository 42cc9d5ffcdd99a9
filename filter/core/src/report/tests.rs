use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const ACTIVE: ActiveConfig<'_> =
    ActiveConfig { fleet: "demo", config_version: "c1", config_error: "", config_requested: false };
const ORDER_V1: VersionKey<'_> = VersionKey { service: "order", version: "v1", release: "" };
const ORDER_V2: VersionKey<'_> = VersionKey { service: "order", version: "v2", release: "r1" };

fn reporter() -> Reporter {
    let id = ReporterId { node_id: "edge-1".to_owned(), instance: 7, filter_version: "0.3.0" };
    let mut reporter = Reporter::new(id);
    reporter.set_interval(250);
    reporter
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn success(reporter: &mut Reporter, key: VersionKey<'_>) {
    reporter.record(key, &RequestRecord::new(Outcome::Success, ms(5)));
}

fn poll(reporter: &mut Reporter, now: Duration) -> Option<ReportRequest> {
    let bytes = reporter.poll(now, ACTIVE)?;
    Some(ReportRequest::decode(bytes).unwrap())
}

fn acknowledge(sequence: u64) -> Vec<u8> {
    ReportResponse { acknowledged: sequence, interval_ms: 0, config: None }.encode_to_vec()
}

#[test]
fn requests_are_counted_by_version_and_outcome() {
    let mut reporter = reporter();
    success(&mut reporter, ORDER_V2);
    success(&mut reporter, ORDER_V1);
    for outcome in [Outcome::Error, Outcome::ClientError, Outcome::Cancelled] {
        reporter.record(ORDER_V2, &RequestRecord::new(outcome, ms(10)));
    }
    let report = poll(&mut reporter, ms(0)).unwrap();
    assert_eq!((report.sequence, report.instance), (1, 7));
    assert_eq!((report.node_id.as_str(), report.fleet.as_str()), ("edge-1", "demo"));
    assert_eq!((report.filter_version.as_str(), report.filter_protocol), ("0.3.0", PROTOCOL));
    let [v1, v2] = report.counts.as_slice() else { panic!("{report:?}") };
    assert_eq!((v1.version.as_str(), v1.requests, v1.errors), ("v1", 1, 0));
    assert_eq!((v2.version.as_str(), v2.release.as_str()), ("v2", "r1"));
    assert_eq!((v2.requests, v2.errors, v2.client_errors, v2.cancelled), (3, 1, 1, 1));
    let latency = v2.latency.as_ref().unwrap();
    assert_eq!(latency.count.iter().sum::<u64>(), v2.requests);
}

#[test]
fn a_request_that_the_client_gave_up_is_counted_with_its_age() {
    let mut reporter = reporter();
    let gave_up = RequestRecord::new(Outcome::Cancelled, ms(2_000));
    reporter.record(ORDER_V2, &gave_up);
    // The client left in the middle of its request.
    reporter.record(ORDER_V2, &RequestRecord { wait: None, ..gave_up });
    let report = poll(&mut reporter, ms(0)).unwrap();
    let [v2] = report.counts.as_slice() else { panic!("{report:?}") };
    assert_eq!((v2.requests, v2.cancelled), (0, 2));
    assert_eq!(v2.abandoned.as_ref().unwrap().count, [1]);
    assert!(v2.latency.as_ref().unwrap().count.is_empty());
}

#[test]
fn requests_of_a_client_that_failed_are_repeated() {
    let mut reporter = reporter();
    let client = |identity: &[u8]| {
        let scope = ClientScope::new(ORDER_V2.service, ORDER_V2.release);
        Some(Client::new(scope, ORDER_V2.service, identity))
    };
    let request = |outcome, wait, identity: &[u8]| RequestRecord {
        client: client(identity),
        ..RequestRecord::new(outcome, ms(wait))
    };
    let failure = request(Outcome::Error, 5, b"a");
    (0..50).for_each(|_| reporter.record(ORDER_V2, &failure));
    reporter.record(ORDER_V2, &request(Outcome::Success, 5, b"a"));
    reporter.record(ORDER_V2, &request(Outcome::Cancelled, 900, b"a"));
    reporter.record(ORDER_V2, &request(Outcome::Cancelled, 3_000, b"a"));
    // Gives up twice. The one before left too soon to say anything.
    for wait in [900, 2_000, 3_000] {
        reporter.record(ORDER_V2, &request(Outcome::Cancelled, wait, b"b"));
    }
    reporter.record(ORDER_V2, &request(Outcome::Success, 5, b"c"));
    // Without identity each request is a client.
    let unknown = RequestRecord::new(Outcome::Error, ms(5));
    (0..3).for_each(|_| reporter.record(ORDER_V2, &unknown));

    let report = poll(&mut reporter, ms(0)).unwrap();
    let [v2] = report.counts.as_slice() else { panic!("{report:?}") };
    let number = |identity| client(identity).map(Client::number).unwrap();
    assert_eq!((v2.requests, v2.errors), (55, 53));
    assert_eq!((v2.repeated_requests, v2.repeated_errors), (50, 49));
    assert_eq!(v2.repeated_abandoned.as_ref().unwrap().count, [2]);
    assert_eq!(v2.failed_clients, [number(b"a")]);
    assert_eq!(v2.gave_up_clients, [number(b"b")]);
    assert!(v2.failing_clients.is_empty());

    // The set survives reports. After five minutes of failures the server is reminded.
    reporter.on_response(&acknowledge(1), ms(5)).unwrap();
    reporter.record(ORDER_V2, &failure);
    let report = poll(&mut reporter, ms(400_000)).unwrap();
    assert_eq!((report.counts[0].requests, report.counts[0].repeated_errors), (1, 1));
    assert!(report.counts[0].failed_clients.is_empty());
    reporter.on_response(&acknowledge(2), ms(400_005)).unwrap();
    reporter.record(ORDER_V2, &failure);
    let report = poll(&mut reporter, ms(401_000)).unwrap();
    assert_eq!(report.counts[0].failing_clients, [number(b"a")]);
    assert_eq!(report.counts[0].repeated_errors, 1);
}

#[test]
fn what_waits_is_reported_as_it_is_and_without_the_delay_of_a_heartbeat() {
    let mut reporter = reporter();
    poll(&mut reporter, ms(0)).unwrap();
    reporter.on_response(&acknowledge(1), ms(5)).unwrap();
    reporter.set_waiting([(ORDER_V2, ms(300)), (ORDER_V2, ms(900)), (ORDER_V1, ms(300))]);
    reporter.set_waiting([(ORDER_V2, ms(550)), (ORDER_V2, ms(1_150))]);
    let report = poll(&mut reporter, ms(250)).unwrap();
    let [v2] = report.counts.as_slice() else { panic!("{report:?}") };
    assert_eq!(v2.version, "v2");
    assert_eq!((v2.requests, v2.waiting.as_ref().unwrap().count.as_slice()), (0, &[1, 1][..]));
    // No request waits twice.
    reporter.on_response(&acknowledge(2), ms(255)).unwrap();
    reporter.set_waiting([]);
    assert_eq!(poll(&mut reporter, ms(500)), None);
    success(&mut reporter, ORDER_V2);
    let report = poll(&mut reporter, ms(750)).unwrap();
    assert_eq!((report.counts[0].requests, &report.counts[0].waiting), (1, &None));
}

#[test]
fn load_and_business_metrics_are_counted_per_version() {
    let mut reporter = reporter();
    let request = RequestRecord {
        load: OrcaLoad { cpu: Some(0.9), memory: None, disk: Some(0.1) },
        business: vec![("order_success", false), ("payment_success", true)],
        ..RequestRecord::new(Outcome::Success, ms(5))
    };
    reporter.record(ORDER_V2, &request);
    reporter.record(
        ORDER_V2,
        &RequestRecord { business: vec![("order_success", true)], ..request.clone() },
    );
    // A cancelled request has neither load nor business metrics.
    reporter.record(ORDER_V2, &RequestRecord { outcome: Outcome::Cancelled, ..request });
    let report = poll(&mut reporter, ms(0)).unwrap();
    let [v2] = report.counts.as_slice() else { panic!("{report:?}") };
    let cpu = v2.cpu.as_ref().unwrap();
    assert_eq!((cpu.index.as_slice(), cpu.count.as_slice()), (&[90][..], &[2][..]));
    assert_eq!(v2.memory, None, "no report contained it");
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
        reporter.record(
            ORDER_V2,
            &RequestRecord { business, ..RequestRecord::new(Outcome::Success, ms(5)) },
        );
    }
    let report = poll(&mut reporter, ms(0)).unwrap();
    let business = &report.counts[0].business;
    assert_eq!(business.len(), 16);
    assert!(business.iter().all(|counts| counts.requests == 2), "{business:?}");
}

#[test]
fn one_report_is_in_flight_and_is_retransmitted_unchanged() {
    let mut reporter = reporter();
    success(&mut reporter, ORDER_V1);
    let first = poll(&mut reporter, ms(0)).unwrap();
    success(&mut reporter, ORDER_V1);
    assert_eq!(poll(&mut reporter, ms(1000)), None);
    reporter.on_failure(ms(1000));
    assert_eq!(poll(&mut reporter, ms(1100)), None);
    let again = poll(&mut reporter, ms(1250)).unwrap();
    assert_eq!(again, first);
    reporter.on_response(&acknowledge(1), ms(1260)).unwrap();
    let next = poll(&mut reporter, ms(1500)).unwrap();
    assert_eq!((next.sequence, next.counts[0].requests), (2, 1));
}

#[test]
fn a_call_without_a_result_times_out() {
    let mut reporter = reporter();
    let first = poll(&mut reporter, ms(0)).unwrap();
    assert_eq!(poll(&mut reporter, ms(9_000)), None);
    assert_eq!(poll(&mut reporter, ms(10_000)), None);
    assert_eq!(poll(&mut reporter, ms(10_250)), Some(first));
}

#[test]
fn idle_sidecars_send_heartbeats() {
    let mut reporter = reporter();
    assert_eq!(poll(&mut reporter, ms(0)).unwrap().sequence, 1);
    reporter.on_response(&acknowledge(1), ms(5)).unwrap();
    assert_eq!(poll(&mut reporter, ms(4_500)), None);
    assert_eq!(poll(&mut reporter, ms(5_000)).unwrap().sequence, 2);
}

#[test]
fn a_sidecar_that_takes_its_configuration_from_responses_reports_at_every_interval() {
    let mut reporter = reporter();
    let error = "ä".repeat(MAX_CONFIG_ERROR);
    let active = ActiveConfig { config_requested: true, config_error: &error, ..ACTIVE };
    assert!(reporter.poll(ms(0), active).is_some());
    reporter.on_response(&acknowledge(1), ms(5)).unwrap();
    assert_eq!(reporter.poll(ms(100), active), None);
    let bytes = reporter.poll(ms(250), active).unwrap();
    let report = ReportRequest::decode(bytes).unwrap();
    assert_eq!((report.config_requested, report.config_error.len()), (true, MAX_CONFIG_ERROR));
}

#[test]
fn a_configuration_is_acknowledged_at_once_and_never_twice_in_a_row() {
    let mut reporter = reporter();
    let answer = |reporter: &mut Reporter, sequence, now| {
        reporter.on_response(&acknowledge(sequence), now).unwrap();
        reporter.expedite();
    };
    assert_eq!(poll(&mut reporter, ms(0)).unwrap().sequence, 1);
    answer(&mut reporter, 1, ms(3));
    assert_eq!(poll(&mut reporter, ms(3)).unwrap().sequence, 2);
    answer(&mut reporter, 2, ms(6));
    success(&mut reporter, ORDER_V1);
    assert_eq!(poll(&mut reporter, ms(100)), None);
    assert_eq!(poll(&mut reporter, ms(253)).unwrap().sequence, 3);
    answer(&mut reporter, 3, ms(256));
    assert_eq!(poll(&mut reporter, ms(256)).unwrap().sequence, 4);
    reporter.on_failure(ms(300));
    reporter.expedite();
    assert_eq!(poll(&mut reporter, ms(310)), None, "a failed report is sent again after a delay");
}

#[test]
fn the_response_sets_the_interval_within_bounds() {
    let mut reporter = reporter();
    let set = |reporter: &mut Reporter, interval_ms| {
        let response =
            ReportResponse { acknowledged: 0, interval_ms, config: Some("{}".to_owned()) };
        let config = reporter.on_response(&response.encode_to_vec(), ms(0));
        assert_eq!(config.unwrap().as_deref(), Some("{}"));
        reporter.tick_period()
    };
    assert_eq!(set(&mut reporter, 100), ms(100));
    assert_eq!(set(&mut reporter, 1), ms(50));
    assert_eq!(set(&mut reporter, 0), ms(50));
    assert_eq!(set(&mut reporter, u32::MAX), ms(1000));
    poll(&mut reporter, ms(0)).unwrap();
    reporter.on_response(&acknowledge(1), ms(0)).unwrap();
    success(&mut reporter, ORDER_V1);
    assert_eq!(poll(&mut reporter, ms(59_000)), None);
    assert!(poll(&mut reporter, ms(60_000)).is_some());
}

#[test]
fn retries_back_off_exponentially() {
    let mut reporter = reporter();
    let mut now = ms(0);
    let mut delays = Vec::new();
    for _ in 0..8 {
        let began = now;
        while poll(&mut reporter, now).is_none() {
            now += ms(250);
        }
        delays.push((now - began).as_millis());
        reporter.on_failure(now);
    }
    assert_eq!(delays, [0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
}

#[test]
fn a_clock_step_back_makes_the_next_report_due() {
    let mut reporter = reporter();
    poll(&mut reporter, ms(1_000_000)).unwrap();
    reporter.on_response(&acknowledge(1), ms(1_000_000)).unwrap();
    assert_eq!(poll(&mut reporter, ms(5)).unwrap().sequence, 2);
}

#[test]
fn a_malformed_response_is_a_failure() {
    let mut reporter = reporter();
    let first = poll(&mut reporter, ms(0)).unwrap();
    assert!(reporter.on_response(b"\xff\xff", ms(10)).is_err());
    assert_eq!(poll(&mut reporter, ms(1000)), Some(first));
}

#[test]
fn dropped_requests_are_reported() {
    let mut reporter = reporter();
    success(&mut reporter, ORDER_V1);
    poll(&mut reporter, ms(0)).unwrap();
    reporter.on_rejected(ms(10));
    let next = poll(&mut reporter, ms(1000)).unwrap();
    assert_eq!((next.sequence, next.dropped, next.counts.len()), (2, 1, 0));

    let mut reporter = self::reporter();
    let names: Vec<_> = (0..600).map(|n| format!("v{n}")).collect();
    for version in &names {
        success(&mut reporter, VersionKey { version, ..ORDER_V1 });
    }
    let report = poll(&mut reporter, ms(0)).unwrap();
    assert_eq!((report.counts.len(), report.dropped), (512, 88));
}

/// An event of the simulated network.
#[derive(Debug, Clone)]
enum NetworkEvent {
    /// A request finishes; true for the second version.
    Count(bool),
    /// Time passes, in milliseconds, and the reporter is polled.
    Tick(u64),
    /// The oldest or, out of order, the newest message is delivered, perhaps twice. The response
    /// arrives or is lost.
    Deliver {
        newest: bool,
        twice: bool,
        respond: bool,
    },
    Lose,
    Interval(u32),
}

fn network_event() -> impl Strategy<Value = NetworkEvent> {
    prop_oneof![
        4 => any::<bool>().prop_map(NetworkEvent::Count),
        4 => (0_u64..6000).prop_map(NetworkEvent::Tick),
        4 => any::<(bool, bool, bool)>()
            .prop_map(|(newest, twice, respond)| NetworkEvent::Deliver { newest, twice, respond }),
        1 => Just(NetworkEvent::Lose),
        1 => any::<u32>().prop_map(NetworkEvent::Interval),
    ]
}

/// The server's part of the protocol: each sequence number above the last one is counted once.
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
            assert_eq!(report.sequence, self.last + 1, "a sequence number was skipped");
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
    /// Whatever clients do, the counts of a report agree as its receiver demands.
    #[test]
    fn repeated_requests_are_among_the_requests(
        requests in prop::collection::vec((0_u8..4, 0_u8..6, 0_u64..4_000), 1..100),
        times in prop::collection::vec(0_u64..400_000, 3),
    ) {
        let mut reporter = reporter();
        let scope = ClientScope::new("order", "r1");
        for (part, time) in requests.chunks(40).zip(times.iter().scan(0, |sum, it| { *sum += it + 1; Some(*sum) })) {
            for (outcome, identity, wait) in part {
                let outcome = match outcome {
                    0 => Outcome::Success,
                    1 => Outcome::ClientError,
                    2 => Outcome::Error,
                    _ => Outcome::Cancelled,
                };
                let client = (*identity > 0).then(|| Client::new(scope, "order", &[*identity]));
                let record = RequestRecord { client, ..RequestRecord::new(outcome, ms(*wait)) };
                reporter.record(ORDER_V2, &record);
            }
            let report = poll(&mut reporter, ms(time)).unwrap();
            reporter.on_response(&acknowledge(report.sequence), ms(time)).unwrap();
            let counts = &report.counts[0];
            let total = |it: &Option<tidegate_proto::report::v1::Histogram>| {
                it.as_ref().map_or(0, |it| it.count.iter().sum::<u64>())
            };
            let repeated_good = counts.repeated_requests - counts.repeated_errors;
            prop_assert!(repeated_good <= counts.requests - counts.errors);
            prop_assert!(counts.repeated_errors + counts.failed_clients.len() as u64 <= counts.errors);
            let given_up = total(&counts.repeated_abandoned) + counts.gave_up_clients.len() as u64;
            prop_assert!(given_up <= total(&counts.abandoned));
        }
    }

    /// Under loss, repetition and reordering each request is counted exactly once.
    #[test]
    fn counting_is_exactly_once(events in prop::collection::vec(network_event(), 0..120)) {
        let mut reporter = reporter();
        let mut server = Server::default();
        let mut network: Vec<Vec<u8>> = Vec::new();
        let mut recorded = BTreeMap::<String, u64>::new();
        let mut now = ms(0);
        for event in events {
            match event {
                NetworkEvent::Count(second) => {
                    let key = if second { ORDER_V2 } else { ORDER_V1 };
                    success(&mut reporter, key);
                    *recorded.entry(key.version.to_owned()).or_default() += 1;
                }
                NetworkEvent::Tick(millis) => {
                    now += ms(millis);
                    network.extend(reporter.poll(now, ACTIVE).map(<[u8]>::to_vec));
                }
                NetworkEvent::Deliver { newest, twice, respond } if !network.is_empty() => {
                    let at = if newest { network.len() - 1 } else { 0 };
                    let bytes = network.remove(at);
                    let mut acknowledged = server.receive(&bytes);
                    if twice { acknowledged = server.receive(&bytes); }
                    if respond {
                        reporter.on_response(&acknowledge(acknowledged), now).unwrap();
                    }
                }
                NetworkEvent::Lose if !network.is_empty() => {
                    network.pop();
                    reporter.on_failure(now);
                }
                NetworkEvent::Interval(millis) => reporter.set_interval(millis),
                _ => {}
            }
        }
        // The network recovers: all remaining counts are delivered.
        for _ in 0..4 {
            now += ms(70_000);
            reporter.on_failure(now);
            now += ms(70_000);
            let bytes = reporter.poll(now, ACTIVE).unwrap().to_vec();
            let acknowledged = server.receive(&bytes);
            reporter.on_response(&acknowledge(acknowledged), now).unwrap();
        }
        prop_assert_eq!(server.counted, recorded);
        prop_assert_eq!(server.dropped, 0);
    }
}
