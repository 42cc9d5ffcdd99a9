//! Traces of releases, for OpenTelemetry. Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is
//! set; the other standard variables (headers, timeout, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`) apply as well.
//!
//! Delivery is best effort: a batch that the collector does not accept after the retries of the exporter is dropped and
//! logged, and spans that end while the server is down are missing. The event log is the complete record.

mod spans;

use std::env;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use self::spans::Traces;
use super::supervisor::{Supervisor, Task};
use super::webhook::{TlsError, https_connector};
use crate::controller::Handle;
use crate::journal::Record;

/// Records per read of the journal.
const PAGE: usize = 200;
/// Timeout of one read of the journal.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a read that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of one export, with its retries.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(30);

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// A standard variable is invalid.
    #[error("cannot export traces: {0}; check the variables OTEL_EXPORTER_OTLP_…")]
    Exporter(#[from] ExporterBuildError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The exporter that the environment configures; `None` without an endpoint.
///
/// # Errors
/// If the environment is invalid.
pub fn exporter() -> Result<Option<SpanExporter>, TracesError> {
    let endpoints = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_disabled = env::var("OTEL_SDK_DISABLED").is_ok_and(|it| it.eq_ignore_ascii_case("true"));
    if is_disabled || !endpoints.iter().any(is_set) {
        return Ok(None);
    }
    let client = HyperClient::new(https_connector()?, EXPORT_TIMEOUT, None);
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build()?;
    Ok(Some(with_resource(exporter)))
}

fn with_resource(mut exporter: SpanExporter) -> SpanExporter {
    let resource = Resource::builder();
    let resource = if env::var_os("OTEL_SERVICE_NAME").is_some() {
        resource
    } else {
        resource.with_service_name("tidegate")
    };
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    exporter.set_resource(&resource.with_attribute(version).build());
    exporter
}

/// Exports the spans of all releases until the controller stops.
pub async fn run(controller: Handle, exporter: Option<SpanExporter>, supervisor: Supervisor) {
    let Some(exporter) = exporter else {
        return std::future::pending().await;
    };
    let follow = || follow(&controller, &exporter);
    supervisor.run_until_stopped(Task::Traces, &controller, follow).await;
}

async fn follow(controller: &Handle, exporter: &SpanExporter) {
    let mut view = controller.view();
    let (mut seq, mut traces) = {
        let view = view.borrow_and_update();
        (view.seq, Traces::of(&view.state))
    };
    while view.changed().await.is_ok() {
        let newest = view.borrow_and_update().seq;
        while seq < newest {
            let Some(page) = read(controller, seq).await else {
                sleep(RETRY_INTERVAL).await;
                continue;
            };
            let Some(last) = page.last() else { break };
            seq = last.seq;
            let spans: Vec<SpanData> =
                page.iter().flat_map(|record| traces.apply(record)).collect();
            if !spans.is_empty() {
                export(exporter, spans).await;
            }
        }
    }
}

async fn read(controller: &Handle, after: u64) -> Option<Vec<Record>> {
    match timeout(READ_TIMEOUT, controller.events(after, PAGE)).await {
        Ok(Ok(page)) => Some(page),
        Ok(Err(error)) => {
            debug!(%error, "traces: cannot read the journal");
            None
        }
        Err(_) => None,
    }
}

async fn export(exporter: &SpanExporter, spans: Vec<SpanData>) {
    let count = spans.len();
    match timeout(EXPORT_TIMEOUT, exporter.export(spans)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(count, %error, "spans dropped: the collector did not accept them"),
        Err(_) => {
            warn!(count, timeout = ?EXPORT_TIMEOUT, "spans dropped: no response of the collector")
        }
    }
}

#[cfg(test)]
mod tests;
