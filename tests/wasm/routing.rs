//! Requests: the headers that the filter removes, adds and leaves unchanged.

use tidegate_core::bucket::bucket;

use crate::support::{config, configured, exchange, values, vm};

const BUCKET: &str = "x-tidegate-bucket";
const VERSION: &str = "x-tidegate-version";

fn bucket_of(identity: &[u8]) -> String {
    bucket(b"order/1", identity).to_string()
}

#[test]
fn a_user_gets_the_bucket_that_the_server_computes() {
    let (mut vm, root) = configured(1);
    for identity in [b"u1".as_slice(), b"\xff\xfe\x80", "Zo\u{eb}".as_bytes()] {
        let done = vm.exchange(root, exchange(&[("x-user-id", identity)])).unwrap();
        assert_eq!(values(&done, BUCKET), [bucket_of(identity)]);
        assert!(values(&done, VERSION).is_empty());
        assert_eq!(done.response.len(), 1, "{:?}", done.response);
    }
    let done = vm.exchange(root, exchange(&[("cookie", b"a=b; sid=s1")])).unwrap();
    assert_eq!(values(&done, BUCKET), [bucket_of(b"s1")]);
}

#[test]
fn clients_cannot_set_tidegates_headers() {
    let (mut vm, root) = configured(1);
    let forged: &[(&str, &[u8])] =
        &[(BUCKET, b"0"), (BUCKET, b"1"), (VERSION, b"v2"), ("x-user-id", b"u1")];
    let done = vm.exchange(root, exchange(forged)).unwrap();
    assert_eq!(values(&done, BUCKET), [bucket_of(b"u1")]);
    assert!(values(&done, VERSION).is_empty());
}

#[test]
fn tidegates_headers_are_removed_from_requests_of_other_hosts() {
    let (mut vm, root) = configured(1);
    let mut other = exchange(&[(BUCKET, b"0"), (VERSION, b"v2")]);
    other.headers[0].1 = b"elsewhere".to_vec();
    let done = vm.exchange(root, other).unwrap();
    assert_eq!(done.request.len(), 1, "{:?}", done.request);
    assert_eq!(done.response.len(), 1, "{:?}", done.response);
}

#[test]
fn a_flag_pins_a_version() {
    let (mut vm, root) = configured(1);
    let pin = |vm: &mut crate::host::Vm, beta: &[u8]| {
        let headers: &[(&str, &[u8])] = &[("x-user-id", b"u1"), ("x-beta", beta)];
        let done = vm.exchange(root, exchange(headers)).unwrap();
        assert_eq!(values(&done, BUCKET), [bucket_of(b"u1")]);
        values(&done, VERSION)
    };
    assert_eq!(pin(&mut vm, b"yes"), ["v2"]);
    assert!(pin(&mut vm, b"no").is_empty());
    assert!(pin(&mut vm, b"\xffyes").is_empty());
}

#[test]
fn the_first_value_of_a_repeated_header_is_used() {
    let (mut vm, root) = configured(1);
    let done =
        vm.exchange(root, exchange(&[("x-user-id", b"first"), ("x-user-id", b"second")])).unwrap();
    assert_eq!(values(&done, BUCKET), [bucket_of(b"first")]);
}

#[test]
fn users_without_identity_get_a_cookie_that_is_read_back() {
    let (mut vm, root) = configured(1);
    let first = vm.exchange(root, exchange(&[])).unwrap();
    let cookie = first.response.iter().find(|(name, _)| name == "set-cookie");
    let cookie = String::from_utf8(cookie.unwrap().1.clone()).unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000");
    let second = vm.exchange(root, exchange(&[("cookie", pair.as_bytes())])).unwrap();
    assert_eq!(values(&second, BUCKET), values(&first, BUCKET));
    assert_eq!(second.response.len(), 1, "{:?}", second.response);

    let other = vm.exchange(root, exchange(&[])).unwrap();
    assert_ne!(values(&other, BUCKET), values(&first, BUCKET));
}

#[test]
fn requests_without_any_header_pass() {
    let (mut vm, root) = configured(1);
    let mut bare = exchange(&[]);
    bare.headers.clear();
    let done = vm.exchange(root, bare).unwrap();
    assert!(done.request.is_empty());
}

#[test]
fn a_root_without_configuration_removes_tidegates_headers() {
    let mut vm = vm(1);
    // Envoy creates no streams on a rejected root, so the test uses one without configuration.
    let root = vm.unconfigured_root().unwrap();
    let done = vm.exchange(root, exchange(&[(BUCKET, b"0")])).unwrap();
    assert_eq!(done.request.len(), 1, "{:?}", done.request);
}

#[test]
fn a_request_costs_few_host_calls() {
    let (mut vm, releasing) = configured(1);
    let mut idle = config();
    idle["services"][0]["release"] = "".into();
    idle["services"][0]["business"] = serde_json::json!([]);
    let idle = vm.root(&idle.to_string()).unwrap().unwrap();
    let mut cost = |root| {
        vm.host().counts.clear();
        let mut exchange = exchange(&[("x-user-id", b"u1")]);
        let content_type = ("content-type".to_owned(), b"application/json".to_vec());
        exchange.completion.response_headers.push(content_type);
        vm.exchange(root, exchange).unwrap();
        vm.host().counts.values().sum::<u64>()
    };
    // Two removals, four reads (host, user, the flag's header, the user agent), one write, and the
    // clock twice; then three attributes and the content type.
    assert_eq!(cost(idle), 13);
    // Also the two load report headers, and the method of the business metric.
    assert_eq!(cost(releasing), 16);
}
