//! Bindings of the proxy-wasm host calls that return a `Result`.
//!
//! The SDK's wrappers panic on unexpected statuses, and a panic kills the VM of the Envoy thread.
//! These bindings return every status. The exception is [`report`], which must use the SDK because
//! the SDK dispatches gRPC responses only to calls that it made itself.
#![expect(unsafe_code, reason = "this module is the boundary to the host")]

use std::{ptr, time::Duration};

use thiserror::Error;
use tidegate_core::upstream::Upstream;

/// A proxy-wasm status other than `Ok` and `NotFound`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("host status {0}")]
pub(crate) struct HostError(u32);

/// `proxy_map_type` of the ABI.
#[derive(Debug, Clone, Copy)]
enum HeaderMap {
    RequestHeaders = 0,
    ResponseHeaders = 2,
    ResponseTrailers = 3,
}

/// `proxy_buffer_type` of the ABI.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Buffer {
    /// The response message of a gRPC call.
    GrpcMessage = 5,
    /// The plugin configuration.
    Configuration = 7,
}

/// `proxy_log_level` of the ABI.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LogLevel {
    Info = 2,
    Warn = 3,
    Error = 4,
    Critical = 5,
}

/// Paths of Envoy's attributes, with the ABI's separator, a zero byte.
pub(crate) mod property {
    pub(crate) const NODE: &str = "xds\0node";
    /// In the request headers callback: the cluster of the route that Envoy selected before.
    pub(crate) const CLUSTER: &str = "xds\0cluster_name";
    pub(crate) const CODE: &str = "response\0code";
    pub(crate) const CODE_DETAILS: &str = "response\0code_details";
    pub(crate) const FLAGS: &str = "response\0flags";
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

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_set_effective_context(context: u32) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, size: usize) -> u32;
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
}

/// WASI's monotonic clock.
const MONOTONIC: u32 = 1;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;

const fn check(status: u32) -> Result<(), HostError> {
    match status {
        OK => Ok(()),
        other => Err(HostError(other)),
    }
}

/// Calls a host function that returns bytes. `NotFound` and a null pointer are `None`.
fn bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Option<Vec<u8>>, HostError> {
    let mut data = ptr::null_mut();
    let mut size = 0;
    match call(&raw mut data, &raw mut size) {
        OK if data.is_null() => Ok(None),
        // SAFETY: by the ABI the host allocated these `size` bytes with the module's allocation
        // export (`proxy_wasm::allocator`, an exact boxed slice) and passes ownership to the
        // module.
        OK => Ok(Some(unsafe { Vec::from_raw_parts(data, size, size) })),
        NOT_FOUND => Ok(None),
        other => Err(HostError(other)),
    }
}

/// Writes a line to Envoy's log. Errors are ignored, as there is nowhere to report them.
pub(crate) fn log(level: LogLevel, text: &str) {
    // SAFETY: pointer and size are of one live string, which the host only reads.
    let _ = unsafe { proxy_log(level as u32, text.as_ptr(), text.len()) };
}

/// Time since 1970.
pub(crate) fn now() -> Result<Duration, HostError> {
    let mut nanos = 0;
    // SAFETY: the host writes one u64 to a live u64.
    check(unsafe { proxy_get_current_time_nanoseconds(&raw mut nanos) })?;
    Ok(Duration::from_nanos(nanos))
}

/// Time since a fixed moment, from WASI's `clock_time_get`, which proxies offer to modules of any
/// target. It does not follow changes of the system's clock.
pub(crate) fn monotonic() -> Result<Duration, HostError> {
    let mut nanos = 0;
    // SAFETY: the host writes one u64 to a live u64.
    check(unsafe { clock_time_get(MONOTONIC, 1, &raw mut nanos) })?;
    Ok(Duration::from_nanos(nanos))
}

/// Makes another context the current one, until the end of the callback.
pub(crate) fn set_context(context: u32) -> Result<(), HostError> {
    // SAFETY: only a number is passed.
    check(unsafe { proxy_set_effective_context(context) })
}

/// Sets the tick period of the current root context.
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
    header(HeaderMap::RequestHeaders, name)
}

/// The first value of a response header. An error if there is no response yet.
pub(crate) fn response_header(name: &str) -> Result<Option<Vec<u8>>, HostError> {
    header(HeaderMap::ResponseHeaders, name)
}

/// The first value of a response trailer. An error if there are no trailers yet.
pub(crate) fn response_trailer(name: &str) -> Result<Option<Vec<u8>>, HostError> {
    header(HeaderMap::ResponseTrailers, name)
}

fn header(map: HeaderMap, name: &str) -> Result<Option<Vec<u8>>, HostError> {
    // SAFETY: the name outlives the call; `bytes` passes two live out-pointers.
    bytes(|data, size| unsafe {
        proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, size)
    })
}

/// Whether a request has a header, which may be empty.
pub(crate) fn has_request_header(name: &str) -> Result<bool, HostError> {
    let mut found = true;
    bytes(|data, size| {
        let map = HeaderMap::RequestHeaders as u32;
        // SAFETY: the name outlives the call; `bytes` passes two live out-pointers.
        let status =
            unsafe { proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size) };
        found = status != NOT_FOUND;
        status
    })?;
    Ok(found)
}

/// Removes all values of a request header. Valid only in the request headers callback.
pub(crate) fn remove_request_header(name: &str) -> Result<(), HostError> {
    let map = HeaderMap::RequestHeaders as u32;
    // SAFETY: the host only reads the name, which outlives the call.
    check(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// Adds a request header. Valid only in the request headers callback.
pub(crate) fn add_request_header(name: &str, value: &str) -> Result<(), HostError> {
    add_header(HeaderMap::RequestHeaders, name, value)
}

/// Adds a response header. Valid only in the response headers callback.
pub(crate) fn add_response_header(name: &str, value: &str) -> Result<(), HostError> {
    add_header(HeaderMap::ResponseHeaders, name, value)
}

fn add_header(map: HeaderMap, name: &str, value: &str) -> Result<(), HostError> {
    let (name, name_size) = (name.as_ptr(), name.len());
    let (value, value_size) = (value.as_ptr(), value.len());
    // SAFETY: the host only reads both strings, which outlive the call.
    check(unsafe { proxy_add_header_map_value(map as u32, name, name_size, value, value_size) })
}

/// An attribute of Envoy, by a path of the module [`property`].
pub(crate) fn property(path: &str) -> Result<Option<Vec<u8>>, HostError> {
    // SAFETY: the path outlives the call; `bytes` passes two live out-pointers.
    bytes(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// Random bytes, from WASI's `random_get`, which proxies offer to modules of any target.
pub(crate) fn random() -> Result<[u8; 16], HostError> {
    let mut bytes = [0; 16];
    // SAFETY: the host writes as many bytes as the live array has.
    check(unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) })?;
    Ok(bytes)
}

/// Sends a report and returns the token of the gRPC call.
///
/// The SDK's function panics on `BadArgument`, which Envoy returns for an upstream that parses as
/// an invalid `GrpcService`. An [`Upstream`] is either a valid one or not one at all, so this status
/// cannot occur. An unknown cluster is an ordinary error.
pub(crate) fn report(
    upstream: &Upstream,
    message: &[u8],
    timeout: Duration,
) -> Result<u32, HostError> {
    const SERVICE: &str = "tidegate.report.v1.ReportService";
    const METHOD: &str = "Report";
    proxy_wasm::hostcalls::dispatch_grpc_call(
        upstream.as_str(),
        SERVICE,
        METHOD,
        Vec::new(),
        Some(message),
        timeout,
    )
    .map_err(|status| HostError(status as u32))
}
