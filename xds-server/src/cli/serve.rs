//! `tidegate serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use tidegate::config::{self, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

use super::failure::Failure;
use super::logs;
use crate::wiring::{self, Listeners};

/// Run the control plane: xDS and reports on one port, REST and metrics on another.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration
    #[arg(short, long, env = "TIDEGATE_CONFIG", default_value = "tidegate.yaml")]
    config: PathBuf,
    #[command(flatten)]
    logs: logs::LogArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = config::load(&args.config)?;
    logs::start(&args.logs)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    runtime.block_on(serve(config))
}

/// Takes both ports before anything else: a server that could not be reached must not decide.
async fn serve(config: Config) -> Result<(), Failure> {
    let listeners = Listeners {
        xds: bind("xDS", "xds", config.listen.xds).await?,
        api: bind("the API", "api", config.listen.api).await?,
    };
    let (stop, stopped) = watch::channel(false);
    // Before the journal is opened: whoever stops us early stops us well.
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: stopping"),
            _ = interrupt.recv() => info!("SIGINT: stopping"),
        }
        // Fails only if all has stopped by itself.
        stop.send(true).ok();
    });
    wiring::run(config, listeners, stopped).await?;
    info!("stopped");
    Ok(())
}

async fn bind(
    what: &'static str,
    key: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, Failure> {
    let fail = |source| Failure::Bind { what, key, address, source };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    info!(address = %bound, "listening for {what}");
    Ok(listener)
}
