//! `tidegate serve`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tidegate::config::{self, Config};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tracing::info;

use super::failure::Failure;
use super::logs;
use crate::wiring::{self, File, Listeners};

/// A file grew beyond the limit of the process (`ulimit -f`). The same number wherever tokio runs on Unix.
const SIGXFSZ: i32 = 25;

/// Run the control plane: xDS and reports on one port, REST and metrics on another.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration
    #[arg(short, long, env = "TIDEGATE_CONFIG", default_value = "tidegate.yaml")]
    config: PathBuf,
    #[command(flatten)]
    logs: logs::LogArgs,
}

/// Connections that may wait to be accepted. When a whole fleet reconnects at once, a connection that is dropped here
/// is retried by its kernel only after one second, then after three.
const BACKLOG: u32 = 4096;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = config::load(&args.config)?;
    let file = args.config.clone();
    logs::start(&args.logs)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    runtime.block_on(serve(config, file))
}

/// Takes both ports before anything else: a server that could not be reached must not decide.
async fn serve(config: Config, file: PathBuf) -> Result<(), Failure> {
    let listeners = Listeners {
        xds: bind("xDS", "xds", config.listen.xds)?,
        api: bind("the API", "api", config.listen.api)?,
    };
    let (stop, stopped) = watch::channel(false);
    // Registered before the journal is opened, so that an early signal also shuts down in order.
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(Failure::Runtime)?;
    // SIGXFSZ is ignored: a journal at its file size limit is a write error, not the end of the process.
    let _too_large = signal(SignalKind::from_raw(SIGXFSZ)).map_err(Failure::Runtime)?;
    let reread = Arc::new(Notify::new());
    let asked = Arc::clone(&reread);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            info!("SIGHUP: reading the configuration again");
            asked.notify_one();
        }
    });
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: stopping"),
            _ = interrupt.recv() => info!("SIGINT: stopping"),
        }
        // Fails only if all has stopped by itself.
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
