//! `tidegate serve`, and its logs.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use tidegate::config::{self, Config};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tracing::info;
use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use crate::wiring::{self, File, Listeners};

/// A file exceeded the limit of the process (`ulimit -f`). The number is the same on every Unix that tokio supports.
const SIGXFSZ: i32 = 25;

/// Run the control plane: xDS and reports on one port, REST and metrics on another.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file
    #[arg(short, long, env = "TIDEGATE_CONFIG", default_value = "tidegate.yaml")]
    config: PathBuf,
    #[command(flatten)]
    logs: LogArgs,
}

/// Connections waiting to be accepted. A kernel retries a dropped connection after one second, then after three, which
/// would delay a fleet that reconnects at once.
const BACKLOG: u32 = 4096;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = config::load(&args.config)?;
    let file = args.config.clone();
    start_logs(&args.logs)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    runtime.block_on(serve(config, file))
}

/// Binds both ports first: a server that cannot be reached must not take decisions.
async fn serve(config: Config, file: PathBuf) -> Result<(), Failure> {
    let listeners = Listeners {
        xds: bind("xDS", "xds", config.listen.xds)?,
        api: bind("the API", "api", config.listen.api)?,
    };
    let (stop, stopped) = watch::channel(false);
    // Registered before the journal is opened: an early signal also shuts down in order.
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(Failure::Runtime)?;
    // SIGXFSZ is ignored: a journal at its file size limit is a write error, not the end of the process.
    let _too_large = signal(SignalKind::from_raw(SIGXFSZ)).map_err(Failure::Runtime)?;
    let reread = Arc::new(Notify::new());
    let notify = Arc::clone(&reread);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            info!("SIGHUP: reading the configuration again");
            notify.notify_one();
        }
    });
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: stopping"),
            _ = interrupt.recv() => info!("SIGINT: stopping"),
        }
        // Fails only if the server has stopped already.
        stop.send(true).ok();
    });
    wiring::run(config, File { path: file, reread }, listeners, stopped).await?;
    info!("stopped");
    Ok(())
}

fn bind(
    what: &'static str,
    key: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, Failure> {
    let fail = |source| Failure::Bind { what, key, address, source };
    let listener = listen(address).map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    info!(address = %bound, "listening for {what}");
    Ok(listener)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // SO_REUSEADDR: a restart binds the same port at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[derive(Debug, Clone, clap::Args)]
struct LogArgs {
    /// Log filter by module: info, or tidegate=debug,info
    #[arg(long, env = "TIDEGATE_LOG")]
    log: Option<String>,
    /// Log format
    #[arg(long, env = "TIDEGATE_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// One line per event
    Text,
    /// One JSON object per event
    Json,
}

/// Starts logging to stderr.
fn start_logs(args: &LogArgs) -> Result<(), Failure> {
    let filter = args.log.clone().or_else(|| std::env::var("RUST_LOG").ok());
    let filter = filter.unwrap_or_else(|| "info".to_owned());
    let parsed = EnvFilter::try_new(&filter).map_err(|source| Failure::Log { filter, source })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match args.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
