//! Releases of a controller, and what a collector receives by OTLP.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::controller::fakes::{World, anne};
use crate::effects::fakes::FAST;
use tidegate_delivery::fixtures::{start, verb};
use tidegate_delivery::model::command::ReleaseCommand;

/// A collector, and an exporter to it.
async fn collector() -> (SpanExporter, mpsc::UnboundedReceiver<ExportTraceServiceRequest>) {
    let (received, requests) = mpsc::unbounded_channel();
    let take = async |State(received): State<mpsc::UnboundedSender<_>>, body: Bytes| {
        received.send(ExportTraceServiceRequest::decode(body).unwrap()).unwrap();
    };
    let routes = Router::new().route("/v1/traces", post(take)).with_state(received);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, routes).into_future());
    let client = HyperClient::new(https_connector().unwrap(), EXPORT_TIMEOUT, None);
    let exporter = SpanExporter::builder().with_http().with_http_client(client);
    let exporter = exporter.with_endpoint(url).build().unwrap();
    (with_resource(exporter), requests)
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|it| it.key == key);
    match found.and_then(|it| it.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_release_that_is_rolled_back_is_a_trace_with_its_steps() {
    let (exporter, mut requests) = collector().await;
    // A sidecar does not ACK, so that the release stays where it is.
    let world = World::default();
    world.lag(true);
    let handle = world.start();
    let _task = tokio::spawn(run(handle.clone(), Some(exporter), Supervisor::new(FAST)));
    // The task follows the journal from its present end.
    tokio::task::yield_now().await;
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    handle.submit(verb("order.1", ReleaseCommand::Promote { all: false }), anne()).await.unwrap();
    handle.submit(verb("order.1", ReleaseCommand::Rollback), anne()).await.unwrap();

    let mut spans: BTreeMap<String, Span> = BTreeMap::new();
    while !spans.contains_key("release") {
        let request = requests.recv().await.unwrap();
        for resource in request.resource_spans {
            let attributes = &resource.resource.as_ref().unwrap().attributes;
            assert!(attributes.iter().any(|it| it.key == "service.name"), "{attributes:?}");
            let all = resource.scope_spans.into_iter().flat_map(|it| it.spans);
            spans.extend(all.map(|it| (it.name.clone(), it)));
        }
    }
    let names: Vec<_> = spans.keys().map(String::as_str).collect();
    assert_eq!(names, ["prepare", "release", "rollback", "step"]);
    let root = &spans["release"];
    assert_eq!(attribute(root, "deployment.id"), "order.1");
    assert_eq!(attribute(root, "deployment.status"), "failed");
    assert_eq!(attribute(root, "tidegate.actor"), "anne");
    assert!(root.parent_span_id.is_empty(), "{root:?}");
    let step = &spans["step"];
    assert_eq!(attribute(step, "tidegate.step"), "1");
    assert_eq!(attribute(step, "tidegate.weight_percent"), "5");
    for child in [&spans["prepare"], &spans["step"], &spans["rollback"]] {
        assert_eq!((&child.trace_id, &child.parent_span_id), (&root.trace_id, &root.span_id));
        assert!(child.start_time_unix_nano <= child.end_time_unix_nano, "{child:?}");
    }
}
