//! The host functions that the filter imports, with the statuses that Envoy returns.

use anyhow::{Context as _, Result};
use prost::Message as _;
use wasmi::{Caller, Error, Extern, Linker, Memory, Module, Val, errors::LinkerError};

use super::{
    Call, HostState, Phase, Status,
    state::{Fault, LogLine},
};

/// The fields of `envoy.config.core.v3.GrpcService` that the filter sets.
#[derive(Clone, PartialEq, prost::Message)]
struct GrpcService {
    #[prost(message, optional, tag = "1")]
    envoy_grpc: Option<EnvoyGrpc>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EnvoyGrpc {
    #[prost(string, tag = "1")]
    cluster_name: String,
    #[prost(string, tag = "2")]
    authority: String,
}

type Host<'a> = Caller<'a, HostState>;

const GRPC_MESSAGE: u32 = 5;
const PLUGIN_CONFIGURATION: u32 = 7;
const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;
const RESPONSE_TRAILERS: u32 = 3;

/// Defines all functions. The macro adds fault injection and call counting to each of them.
pub(super) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    macro_rules! define {
        ($($module:literal $name:ident($($argument:ident),*);)*) => {$(
            linker.func_wrap(
                $module,
                stringify!($name),
                |mut host: Host<'_>, $($argument: u32),*| -> Result<u32, Error> {
                    let name = stringify!($name);
                    *host.data_mut().counts.entry(name).or_default() += 1;
                    match host.data().fault {
                        Some(Fault { function, status }) if function == name => Ok(status as u32),
                        _ => $name(&mut host, $($argument),*)
                            .map(|status| status as u32)
                            .map_err(trap),
                    }
                },
            )?;
        )*};
    }
    define! {
        "env" proxy_log(level, text, size);
        "env" proxy_get_current_time_nanoseconds(time);
        "env" proxy_set_tick_period_milliseconds(period);
        "env" proxy_get_buffer_bytes(buffer, start, max, data, size);
        "env" proxy_get_header_map_value(map, name, name_size, data, size);
        "env" proxy_add_header_map_value(map, name, name_size, value, value_size);
        "env" proxy_remove_header_map_value(map, name, name_size);
        "env" proxy_get_property(path, path_size, data, size);
        "env" proxy_set_effective_context(context);
        "env" proxy_grpc_call(
            upstream, upstream_size, service, service_size, method, method_size,
            metadata, metadata_size, message, message_size, timeout, token
        );
        "wasi_snapshot_preview1" random_get(buffer, size);
    }
    // Its second argument has 64 bits.
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "clock_time_get",
        |mut host: Host<'_>, clock: u32, _precision: u64, time: u32| -> Result<u32, Error> {
            let name = "clock_time_get";
            *host.data_mut().counts.entry(name).or_default() += 1;
            match host.data().fault {
                Some(Fault { function, status }) if function == name => Ok(status as u32),
                _ if clock > 1 => Ok(UNSUPPORTED),
                _ => proxy_get_current_time_nanoseconds(&mut host, time)
                    .map(|it| it as u32)
                    .map_err(trap),
            }
        },
    )?;
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
fn trap(error: anyhow::Error) -> Error {
    Error::new(format!("{error:#}"))
}

/// Defines the imports of a module that [`link`] does not define as functions that trap.
pub(super) fn link_as_traps(linker: &mut Linker<HostState>, module: &Module) -> Result<()> {
    for import in module.imports() {
        let (from, name) = (import.module(), import.name());
        let Some(function) = import.ty().func() else { continue };
        let missing = format!("the host has no {from}.{name}");
        let is_defined =
            linker.func_new(from, name, function.clone(), move |_, _, _: &mut [Val]| {
                Err(Error::new(missing.clone()))
            });
        match is_defined {
            Ok(_) | Err(LinkerError::DuplicateDefinition { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
/// WASI's `ENOTSUP`.
const UNSUPPORTED: u32 = 58;

fn proxy_log(host: &mut Host<'_>, level: u32, text: u32, size: u32) -> Result<Status> {
    let text = String::from_utf8_lossy(&read(host, text, size)?).into_owned();
    host.data_mut().logs.push(LogLine { level, text });
    Ok(Status::Ok)
}

fn proxy_get_current_time_nanoseconds(host: &mut Host<'_>, time: u32) -> Result<Status> {
    let now = host.data().now_nanos();
    write(host, time, &now.to_le_bytes())
}

#[expect(clippy::unnecessary_wraps, reason = "one shape for all host functions")]
fn proxy_set_tick_period_milliseconds(host: &mut Host<'_>, period: u32) -> Result<Status> {
    host.data_mut().tick_period = Some(period);
    Ok(Status::Ok)
}

fn proxy_get_buffer_bytes(
    host: &mut Host<'_>,
    buffer: u32,
    start: u32,
    max: u32,
    data: u32,
    size: u32,
) -> Result<Status> {
    let bytes = match buffer {
        GRPC_MESSAGE => &host.data().grpc_message,
        PLUGIN_CONFIGURATION => host.data().configuration.as_bytes(),
        _ => return Ok(Status::NotFound),
    };
    let bytes: Vec<u8> = bytes.iter().skip(start as usize).take(max as usize).copied().collect();
    return_bytes(host, &bytes, data, size)
}

fn proxy_get_header_map_value(
    host: &mut Host<'_>,
    map: u32,
    name: u32,
    name_size: u32,
    data: u32,
    size: u32,
) -> Result<Status> {
    let name = text(host, name, name_size)?;
    let state = host.data();
    let headers = match (map, state.phase) {
        (REQUEST_HEADERS, Phase::RequestHeaders | Phase::Log) => &state.request_headers,
        (RESPONSE_HEADERS, Phase::ResponseHeaders | Phase::Log) => &state.response_headers,
        (RESPONSE_TRAILERS, Phase::Log) if !state.response_trailers.is_empty() => {
            &state.response_trailers
        }
        // In the log phase a missing map behaves like an empty one.
        (RESPONSE_TRAILERS, Phase::Log) => return Ok(Status::NotFound),
        _ => return Ok(Status::BadArgument),
    };
    // As in Envoy, only the first value of a repeated header.
    let Some((_, value)) = headers.iter().find(|(known, _)| *known == name) else {
        return Ok(Status::NotFound);
    };
    let value = value.clone();
    return_bytes(host, &value, data, size)
}

fn proxy_add_header_map_value(
    host: &mut Host<'_>,
    map: u32,
    name: u32,
    name_size: u32,
    value: u32,
    value_size: u32,
) -> Result<Status> {
    let name = text(host, name, name_size)?;
    let value = read(host, value, value_size)?;
    Ok(change_map(host.data_mut(), map, |headers| headers.push((name, value))))
}

fn proxy_remove_header_map_value(
    host: &mut Host<'_>,
    map: u32,
    name: u32,
    name_size: u32,
) -> Result<Status> {
    let name = text(host, name, name_size)?;
    Ok(change_map(host.data_mut(), map, |headers| {
        headers.retain(|(known, _)| *known != name);
    }))
}

fn proxy_get_property(
    host: &mut Host<'_>,
    path: u32,
    path_size: u32,
    data: u32,
    size: u32,
) -> Result<Status> {
    let path = read(host, path, path_size)?;
    match host.data().property(&path).map(<[u8]>::to_vec) {
        Some(value) => return_bytes(host, &value, data, size),
        None => Ok(Status::NotFound),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one shape for all host functions")]
fn proxy_set_effective_context(host: &mut Host<'_>, context: u32) -> Result<Status> {
    Ok(host.data_mut().set_effective_context(context))
}

#[expect(clippy::too_many_arguments, reason = "the ABI's")]
fn proxy_grpc_call(
    host: &mut Host<'_>,
    upstream: u32,
    upstream_size: u32,
    service: u32,
    service_size: u32,
    method: u32,
    method_size: u32,
    _metadata: u32,
    _metadata_size: u32,
    message: u32,
    message_size: u32,
    timeout: u32,
    token: u32,
) -> Result<Status> {
    // The result would be delivered to the request.
    if host.data().is_in_request() {
        return Ok(Status::BadArgument);
    }
    let upstream = text(host, upstream, upstream_size)?;
    // Envoy parses the upstream as a serialized message before it treats it as a cluster name.
    let (cluster, authority) = match GrpcService::decode(upstream.as_bytes()) {
        Err(_) if !host.data().clusters.contains(&upstream) => return Ok(Status::ParseFailure),
        Err(_) => (upstream.clone(), upstream),
        Ok(GrpcService { envoy_grpc: None }) => return Ok(Status::BadArgument),
        Ok(GrpcService { envoy_grpc: Some(it) }) => (it.cluster_name, it.authority),
    };
    if !host.data().clusters.contains(&cluster) {
        return Ok(Status::InternalFailure);
    }
    let call = Call {
        token: host.data_mut().next_token(),
        cluster,
        authority,
        method: format!(
            "{}/{}",
            text(host, service, service_size)?,
            text(host, method, method_size)?
        ),
        message: read(host, message, message_size)?,
        timeout_millis: timeout,
    };
    write(host, token, &call.token.to_le_bytes())?;
    host.data_mut().calls.push(call);
    Ok(Status::Ok)
}

fn random_get(host: &mut Host<'_>, buffer: u32, size: u32) -> Result<Status> {
    let bytes: Vec<u8> =
        (0..size).map(|_| host.data_mut().next_random().to_le_bytes()[7]).collect();
    write(host, buffer, &bytes)
}

/// Changes a header map; `BadArgument` outside the phase in which it is writable.
fn change_map(
    state: &mut HostState,
    map: u32,
    change: impl FnOnce(&mut Vec<(String, Vec<u8>)>),
) -> Status {
    match (map, state.phase) {
        (REQUEST_HEADERS, Phase::RequestHeaders) => change(&mut state.request_headers),
        (RESPONSE_HEADERS, Phase::ResponseHeaders) => change(&mut state.response_headers),
        _ => return Status::BadArgument,
    }
    Status::Ok
}

fn memory(host: &mut Host<'_>) -> Result<Memory> {
    host.get_export("memory").and_then(Extern::into_memory).context("the module exports no memory")
}

fn read(host: &mut Host<'_>, at: u32, size: u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size as usize];
    memory(host)?.read(&*host, at as usize, &mut bytes)?;
    Ok(bytes)
}

fn text(host: &mut Host<'_>, at: u32, size: u32) -> Result<String> {
    Ok(String::from_utf8(read(host, at, size)?)?)
}

fn write(host: &mut Host<'_>, at: u32, bytes: &[u8]) -> Result<Status> {
    memory(host)?.write(&mut *host, at as usize, bytes)?;
    Ok(Status::Ok)
}

/// Copies bytes into memory allocated by the VM. As in Envoy, no bytes are a null pointer.
fn return_bytes(host: &mut Host<'_>, bytes: &[u8], data: u32, size: u32) -> Result<Status> {
    let length = u32::try_from(bytes.len())?;
    let at = if bytes.is_empty() {
        0
    } else {
        let allocate = host
            .get_export("malloc")
            .and_then(Extern::into_func)
            .context("the module exports no allocator")?;
        let allocate = allocate.typed::<u32, u32>(&*host)?;
        allocate.call(&mut *host, length)?
    };
    write(host, at, bytes)?;
    write(host, data, &at.to_le_bytes())?;
    write(host, size, &length.to_le_bytes())
}
