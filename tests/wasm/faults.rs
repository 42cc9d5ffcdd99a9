//! Faults: with any host call failing with any status, the VM must not trap and requests must pass.

use crate::host::{Fault, ReportServer, Status, Vm};
use prost::Message as _;

use crate::support::{config, configured, exchange, exchange_with, flush_reports, vm};

const FUNCTIONS: [&str; 11] = [
    "proxy_log",
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_get_buffer_bytes",
    "proxy_get_header_map_value",
    "proxy_add_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_property",
    "proxy_grpc_call",
    "random_get",
    "clock_time_get",
];

/// Runs all callbacks of a VM while one host call fails.
fn exercise_with_fault(vm: &mut Vm, fault: Fault) {
    vm.host().fault = Some(fault);
    let new = vm.root(&config().to_string()).unwrap();
    let plugin = vm.root(crate::istio::PLUGIN).unwrap();
    let unconfigured = vm.unconfigured_root().unwrap();
    for root in [new, plugin, Some(unconfigured)].into_iter().flatten() {
        vm.exchange(root, exchange(&[])).unwrap();
        vm.exchange(root, exchange(&[("x-beta", b"yes")])).unwrap();
        let mut grpc = exchange_with(exchange(&[]).completion);
        grpc.headers.push(("content-type".into(), b"application/grpc".to_vec()));
        vm.exchange(root, grpc).unwrap();
        let mut early = exchange(&[]);
        early.reaches_filter = false;
        vm.exchange(root, early).unwrap();
        vm.tick_after(root, 10_000).unwrap();
        for call in vm.host().take_calls() {
            vm.respond(root, call.token, b"\xff".to_vec()).unwrap();
        }
        vm.tick_after(root, 10_000).unwrap();
        for call in vm.host().take_calls() {
            vm.fail(root, call.token, 13).unwrap();
        }
        vm.delete(root).unwrap();
    }
    vm.host().fault = None;
}

#[test]
fn no_failing_host_call_traps_the_vm_or_loses_later_counts() {
    for function in FUNCTIONS {
        for status in Status::FAILURES {
            // The SDK's gRPC call panics on other statuses. Envoy does not return them for cluster
            // names, which the configuration guarantees (see `host::report` of the filter).
            let returned_by_envoy =
                matches!(status, Status::ParseFailure | Status::InternalFailure);
            if function == "proxy_grpc_call" && !returned_by_envoy {
                continue;
            }
            let (mut vm, root) = configured(1);
            exercise_with_fault(&mut vm, Fault { function, status });
            // Without the fault, the same VM counts and reports.
            let before = {
                let mut server = ReportServer::default();
                flush_reports(&mut vm, root, &mut server);
                server
            };
            vm.exchange(root, exchange(&[])).unwrap();
            let mut server = ReportServer::default();
            flush_reports(&mut vm, root, &mut server);
            let counted = server.version("order", "v1").requests;
            assert_eq!(counted, 1, "{function} {status:?} after {before:?}");
        }
    }
}

#[test]
fn the_table_contains_every_host_call_of_the_filter() {
    let (mut vm, root) = configured(1);
    vm.host().clusters.insert("tidegate".to_owned());
    vm.exchange(root, exchange(&[])).unwrap();
    let mut server = ReportServer::default();
    flush_reports(&mut vm, root, &mut server);
    let made: Vec<_> = vm.host().counts.keys().copied().collect();
    for function in made {
        // The SDK calls it before it dispatches a gRPC response to a context, and panics if it fails.
        if function != "proxy_set_effective_context" {
            assert!(FUNCTIONS.contains(&function), "{function}");
        }
    }
}

#[test]
fn a_request_passes_if_headers_cannot_be_read_or_written() {
    for function in ["proxy_get_header_map_value", "proxy_add_header_map_value"] {
        let (mut vm, root) = configured(1);
        vm.host().fault = Some(Fault { function, status: Status::InternalFailure });
        let done = vm.exchange(root, exchange(&[("x-user-id", b"u1")])).unwrap();
        assert_eq!(done.request.len(), 2, "{:?}", done.request);
        let warnings = vm.host().logs.iter().filter(|line| line.level == 3);
        assert_eq!(warnings.count(), 1);
    }
}

#[test]
fn malformed_report_responses_do_not_trap() {
    let (mut vm, root) = configured(1);
    for response in [b"".as_slice(), b"\x00", b"\xff\xff\xff\xff\xff", b"\x1a\x7f"] {
        vm.tick_after(root, 10_000).unwrap();
        for call in vm.host().take_calls() {
            vm.respond(root, call.token, response.to_vec()).unwrap();
            // A second response to the same call, and a failure of an unknown call.
            vm.respond(root, call.token, response.to_vec()).unwrap();
            vm.fail(root, 999_999, 2).unwrap();
        }
    }
    vm.exchange(root, exchange(&[])).unwrap();
    let mut server = ReportServer::default();
    flush_reports(&mut vm, root, &mut server);
    assert_eq!(server.version("order", "v1").requests, 1);
    let encoded = vm.host().grpc_message.clone();
    assert!(tidegate_proto::report::v1::ReportResponse::decode(encoded.as_slice()).is_ok());
}

#[test]
fn malformed_properties_do_not_trap() {
    for value in [b"".as_slice(), b"\x01", b"\xff\xff\xff\xff", &[0xff; 9]] {
        let mut vm = vm(1);
        for name in ["xds.node", "xds.cluster_name"] {
            vm.host().properties.insert(name.to_owned(), value.to_vec());
        }
        let root = vm.root(&config().to_string()).unwrap().unwrap();
        let context = vm.open(root, exchange(&[]).headers).unwrap();
        vm.on_request_headers(context).unwrap();
        vm.on_response_headers(context).unwrap();
        let completion = exchange(&[]).completion;
        vm.close(context, &completion).unwrap();
        vm.tick_after(root, 1000).unwrap();
        assert_eq!(vm.host().take_calls().len(), 1);
    }
}
