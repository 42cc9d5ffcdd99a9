//! The calls out of the sandbox, each with a `Result`.
//!
//! The SDK's own wrappers panic on any status they do not expect, and a panic kills the VM of a
//! whole Envoy thread. Here every status is an answer. The one exception is [`report`]: replies to
//! gRPC calls reach only callers that the SDK knows of.
#![expect(unsafe_code, reason = "this module is the boundary to the host")]

use std::{ptr, time::Duration};

use thiserror::Error;

/// A status other than "ok" and "not found".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("host status {0}")]
pub(crate) struct HostError(u32);

/// Header maps, by their numbers in the ABI.
#[derive(Debug, Clone, Copy)]
enum Map {
    RequestHeaders = 0,
    ResponseHeaders = 2,
    ResponseTrailers = 3,
}

/// Buffers, by their numbers in the ABI.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Buffer {
    /// The message that answered a gRPC call.
    GrpcMessage = 5,
    /// The configuration of the plugin.
    Configuration = 7,
}

/// Log levels, by their numbers in the ABI.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Level {
    Info = 2,
    Warn = 3,
    Error = 4,
    Critical = 5,
}

/// Properties of a request or of Envoy, as the ABI spells their paths.
pub(crate) mod property {
    pub(crate) const NODE: &str = "xds\0node";
    pub(crate) const CLUSTER: &str = "xds\0cluster_name";
    pub(crate) const DURATION: &str = "request\0duration";
    pub(crate) const CODE: &str = "response\0code";
    pub(crate) const FLAGS: &str = "response\0flags";
    pub(crate) const GRPC_STATUS: &str = "response\0grpc_status";
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, size: usize) -> u32;
}

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;

const fn check(status: u32) -> Result<(), HostError> {
    match status {
        OK => Ok(()),
        other => Err(HostError(other)),
    }
}

/// Calls a function that hands out bytes. "Not found" and a null pointer are `None`.
fn bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Option<Vec<u8>>, HostError> {
    let mut data = ptr::null_mut();
    let mut size = 0;
    match call(&raw mut data, &raw mut size) {
        OK if data.is_null() => Ok(None),
        // SAFETY: by the ABI the host took these `size` bytes from our allocation export
        // (`proxy_wasm::allocator`, an exact boxed slice), filled them, and left them to us.
        OK => Ok(Some(unsafe { Vec::from_raw_parts(data, size, size) })),
        NOT_FOUND => Ok(None),
        other => Err(HostError(other)),
    }
}

/// Writes a line to Envoy's log. A log that cannot be written has nowhere to say so.
pub(crate) fn log(level: Level, text: &str) {
    // SAFETY: pointer and size are of one live string, which the host only reads.
    let _ = unsafe { proxy_log(level as u32, text.as_ptr(), text.len()) };
}

/// The time since 1970.
pub(crate) fn now() -> Result<Duration, HostError> {
    let mut nanos = 0;
    // SAFETY: the host writes one u64 to a live u64.
    check(unsafe { proxy_get_current_time_nanoseconds(&raw mut nanos) })?;
    Ok(Duration::from_nanos(nanos))
}

/// Has the current root ticked this often.
pub(crate) fn set_tick_period(period: Duration) -> Result<(), HostError> {
    let millis = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: only a number is passed.
    check(unsafe { proxy_set_tick_period_milliseconds(millis) })
}

/// At most `limit` bytes of a buffer.
pub(crate) fn buffer(buffer: Buffer, limit: usize) -> Result<Option<Vec<u8>>, HostError> {
    // SAFETY: `bytes` passes two live out-pointers.
    bytes(|data, size| unsafe { proxy_get_buffer_bytes(buffer as u32, 0, limit, data, size) })
}

/// The first value of a request header.
pub(crate) fn request_header(name: &str) -> Result<Option<Vec<u8>>, HostError> {
    header(Map::RequestHeaders, name)
}

/// The first value of a response header. Only once there is a response.
pub(crate) fn response_header(name: &str) -> Result<Option<Vec<u8>>, HostError> {
    header(Map::ResponseHeaders, name)
}

/// The first value of a response trailer. Only once there are trailers.
pub(crate) fn response_trailer(name: &str) -> Result<Option<Vec<u8>>, HostError> {
    header(Map::ResponseTrailers, name)
}

fn header(map: Map, name: &str) -> Result<Option<Vec<u8>>, HostError> {
    // SAFETY: the name outlives the call; `bytes` passes two live out-pointers.
    bytes(|data, size| unsafe {
        proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, size)
    })
}

/// Removes all values of a request header. Only while request headers are being processed.
pub(crate) fn remove_request_header(name: &str) -> Result<(), HostError> {
    let map = Map::RequestHeaders as u32;
    // SAFETY: the host only reads the name, which outlives the call.
    check(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// Adds a request header. Only while request headers are being processed.
pub(crate) fn add_request_header(name: &str, value: &str) -> Result<(), HostError> {
    add_header(Map::RequestHeaders, name, value)
}

/// Adds a response header. Only while response headers are being processed.
pub(crate) fn add_response_header(name: &str, value: &str) -> Result<(), HostError> {
    add_header(Map::ResponseHeaders, name, value)
}

fn add_header(map: Map, name: &str, value: &str) -> Result<(), HostError> {
    let (name, name_size) = (name.as_ptr(), name.len());
    let (value, value_size) = (value.as_ptr(), value.len());
    // SAFETY: the host only reads both strings, which outlive the call.
    check(unsafe { proxy_add_header_map_value(map as u32, name, name_size, value, value_size) })
}

/// A property, by one of the paths of [`property`].
pub(crate) fn property(path: &str) -> Result<Option<Vec<u8>>, HostError> {
    // SAFETY: the path outlives the call; `bytes` passes two live out-pointers.
    bytes(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// Random bytes. A WASI call: proxies offer it to every module, whatever its target.
pub(crate) fn random() -> Result<[u8; 16], HostError> {
    let mut bytes = [0; 16];
    // SAFETY: the host writes as many bytes as the live array has.
    check(unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) })?;
    Ok(bytes)
}

/// Sends a report, and returns the token that its answer will bear.
///
/// This is the SDK's function, because the SDK hands on only answers to calls that it made. It would
/// panic on "bad argument", which Envoy returns for an upstream that parses as a broken
/// `GrpcService`; the router has refused cluster names that parse as protobuf at all. An unknown or
/// unreachable cluster is an error like any other.
pub(crate) fn report(cluster: &str, message: &[u8], timeout: Duration) -> Result<u32, HostError> {
    const SERVICE: &str = "tidegate.report.v1.ReportService";
    const METHOD: &str = "Report";
    proxy_wasm::hostcalls::dispatch_grpc_call(
        cluster,
        SERVICE,
        METHOD,
        Vec::new(),
        Some(message),
        timeout,
    )
    .map_err(|status| HostError(status as u32))
}
