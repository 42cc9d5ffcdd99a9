//! Every host call answering every error there is: the VM must live, and the request must pass.

use crate::host::{Fault, ReportServer, Status, Vm};
use prost::Message as _;

use crate::support::{config, configured, ending, exchange, settle, vm};

const FUNCTIONS: [&str; 10] = [
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
];

/// Everything that a VM can be asked to do, with a call that fails throughout.
fn live_through(vm: &mut Vm, fault: Fault) {
    vm.world().fault = Some(fault);
    let new = vm.root(&config().to_string()).unwrap();
    let unconfigured = vm.unconfigured_root().unwrap();
    for root in [new, Some(unconfigured)].into_iter().flatten() {
        vm.exchange(root, exchange(&[])).unwrap();
        vm.exchange(root, exchange(&[("x-beta", b"yes")])).unwrap();
        let mut grpc = ending(exchange(&[]).finish);
        grpc.headers.push(("content-type".into(), b"application/grpc".to_vec()));
        vm.exchange(root, grpc).unwrap();
        let mut early = exchange(&[]);
        early.reaches_filter = false;
        vm.exchange(root, early).unwrap();
        vm.tick_after(root, 10_000).unwrap();
        for call in vm.world().take_calls() {
            vm.answer(root, call.token, b"\xff".to_vec()).unwrap();
        }
        vm.tick_after(root, 10_000).unwrap();
        for call in vm.world().take_calls() {
            vm.fail(root, call.token, 13).unwrap();
        }
        vm.delete(root).unwrap();
    }
    vm.world().fault = None;
}

#[test]
fn no_failing_call_kills_the_vm_or_loses_counts() {
    for function in FUNCTIONS {
        for status in Status::FAILURES {
            // The SDK's own gRPC call panics on statuses that Envoy does not answer to a cluster
            // name: the configuration refuses names that are anything else (see `host::report`).
            let answered_by_envoy =
                matches!(status, Status::ParseFailure | Status::InternalFailure);
            if function == "proxy_grpc_call" && !answered_by_envoy {
                continue;
            }
            let (mut vm, root) = configured(1);
            live_through(&mut vm, Fault { function, status });
            // Healthy again, the VM works on, and what it counts from now on arrives.
            let before = {
                let mut server = ReportServer::default();
                settle(&mut vm, root, &mut server);
                server
            };
            vm.exchange(root, exchange(&[])).unwrap();
            let mut server = ReportServer::default();
            settle(&mut vm, root, &mut server);
            let counted = server.version("order", "v1").requests;
            assert_eq!(counted, 1, "{function} {status:?} after {before:?}");
        }
    }
}

#[test]
fn every_call_that_the_filter_makes_is_in_the_table() {
    let (mut vm, root) = configured(1);
    vm.world().clusters.insert("tidegate".to_owned());
    vm.exchange(root, exchange(&[])).unwrap();
    let mut server = ReportServer::default();
    settle(&mut vm, root, &mut server);
    let made: Vec<_> = vm.world().counts.keys().copied().collect();
    for function in made {
        // The SDK calls it before it hands on an answer, for a context that it has just looked up.
        if function != "proxy_set_effective_context" {
            assert!(FUNCTIONS.contains(&function), "{function}");
        }
    }
}

#[test]
fn a_request_passes_even_if_nothing_can_be_read_or_written() {
    for function in ["proxy_get_header_map_value", "proxy_add_header_map_value"] {
        let (mut vm, root) = configured(1);
        vm.world().fault = Some(Fault { function, status: Status::InternalFailure });
        let done = vm.exchange(root, exchange(&[("x-user-id", b"u1")])).unwrap();
        assert_eq!(done.request.len(), 2, "{:?}", done.request);
        let warnings = vm.world().logs.iter().filter(|line| line.level == 3);
        assert_eq!(warnings.count(), 1);
    }
}

#[test]
fn answers_may_hold_anything() {
    let (mut vm, root) = configured(1);
    for answer in [b"".as_slice(), b"\x00", b"\xff\xff\xff\xff\xff", b"\x1a\x7f"] {
        vm.tick_after(root, 10_000).unwrap();
        for call in vm.world().take_calls() {
            vm.answer(root, call.token, answer.to_vec()).unwrap();
            // A second answer to the same call, and one to a call never made.
            vm.answer(root, call.token, answer.to_vec()).unwrap();
            vm.fail(root, 999_999, 2).unwrap();
        }
    }
    vm.exchange(root, exchange(&[])).unwrap();
    let mut server = ReportServer::default();
    settle(&mut vm, root, &mut server);
    assert_eq!(server.version("order", "v1").requests, 1);
    let encoded = vm.world().grpc_message.clone();
    assert!(tidegate_proto::report::v1::ReportResponse::decode(encoded.as_slice()).is_ok());
}

#[test]
fn properties_of_the_wrong_shape_are_survived() {
    for value in [b"".as_slice(), b"\x01", b"\xff\xff\xff\xff", &[0xff; 9]] {
        let mut vm = vm(1);
        for name in ["xds.node", "xds.cluster_name"] {
            vm.world().properties.insert(name.to_owned(), value.to_vec());
        }
        let root = vm.root(&config().to_string()).unwrap().unwrap();
        let context = vm.open(root, exchange(&[]).headers).unwrap();
        vm.on_request_headers(context).unwrap();
        vm.on_response_headers(context).unwrap();
        let finish = exchange(&[]).finish;
        vm.close(context, &finish).unwrap();
        vm.tick_after(root, 1000).unwrap();
        assert_eq!(vm.world().take_calls().len(), 1);
    }
}
