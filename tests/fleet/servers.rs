//! The two servers that are compared, each a process of its own: `tidegate serve` with a release on its way, and the
//! raw one with the messages that Tidegate sends.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use prost::Message;
use serde_json::json;
use tidegate_proto::envoy::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tidegate_proto::envoy::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use tidegate_tests::control_plane::ControlPlane;
use tidegate_tests::process::Process;
use tidegate_tests::story::{Operator, Phase};
use tidegate_tests::{binaries, ports};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::certificates::{Authority, CA, CERTIFICATE, IDENTITIES, KEY};
use crate::raw::PUSH;
use crate::sidecar::{FLEET, Server, Sidecars};

/// The service whose weight changes.
const SERVICE: &str = "s0";
/// Steps of its plan: the maximum of pushes in a run.
pub(crate) const STEPS: usize = 99;

/// A control plane with a release of [`SERVICE`], which stays on its step until it is promoted.
pub(crate) struct Tidegate {
    control: ControlPlane,
    pub(crate) server: Server,
    pub(crate) process: u32,
    release: String,
}

impl Tidegate {
    /// Starts it with files in `dir`, with mutual TLS if there is an authority.
    pub(crate) async fn start(
        services: usize,
        dir: &Path,
        authority: Option<&Authority>,
    ) -> Result<Self> {
        let (xds, api) = (ports::free_address()?, ports::free_address()?);
        let text = config(services, xds, api, dir, authority.is_some())?;
        let mut control = ControlPlane::start(&binaries::tidegate()?, &text, xds, api, dir).await?;
        let process = control.process()?.id();
        // A release begins its first step when a sidecar is connected.
        let server = Server::new(xds, authority);
        let first = Sidecars::start(&server, 1, 1)?;
        first.ack_rounds.last().await?;
        let started = json!({"version": "v2"});
        let answer = control.post(&format!("services/{SERVICE}/releases"), &started).await?;
        ensure!(answer.status.is_success(), "release start: {}", answer.body);
        let stepping = |it: &tidegate_tests::story::ReleaseView| it.phase == Phase::Stepping;
        let release = Operator::new(&control).until(SERVICE, stepping).await?.id;
        first.stop().await;
        Ok(Self { control, server, process, release })
    }

    /// One weight change. Returns when it is committed and answered.
    pub(crate) async fn push(&self) -> Result<()> {
        let path = format!("releases/{}/promote", self.release);
        let answer = self.control.post(&path, &json!({})).await?;
        ensure!(answer.status.is_success(), "promote: {}", answer.body);
        Ok(())
    }
}

/// The raw server process.
pub(crate) struct Raw {
    pub(crate) server: Server,
    process: Process,
    trigger: mpsc::Sender<DeltaDiscoveryRequest>,
}

impl Raw {
    /// Starts it with these messages, with mutual TLS if there is an authority.
    pub(crate) async fn start(
        messages: &[u8],
        dir: &Path,
        authority: Option<&Authority>,
    ) -> Result<Self> {
        let address = ports::free_address()?;
        let file = dir.join("messages");
        std::fs::write(&file, messages)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--raw").arg(address.to_string()).arg("--messages").arg(&file);
        if let Some(authority) = authority {
            command.arg("--certificates").arg(authority.dir());
        }
        let mut process = Process::spawn("raw", command, dir)?;
        let open = async || TcpStream::connect(address).await.ok().map(drop);
        process.wait_for("the raw server listens", open).await?;
        let (trigger, requests) = mpsc::channel(1);
        let server = Server::new(address, authority);
        let mut client = AggregatedDiscoveryServiceClient::new(server.channel().await?);
        let replies = client.delta_aggregated_resources(ReceiverStream::new(requests)).await?;
        let mut replies = replies.into_inner();
        // The push is also sent to the stream that triggers it, which must read it.
        tokio::spawn(async move { while let Ok(Some(_)) = replies.message().await {} });
        Ok(Self { server, process, trigger })
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// One message to every stream.
    pub(crate) async fn push(&self) -> Result<()> {
        let push = DeltaDiscoveryRequest { type_url: PUSH.to_owned(), ..Default::default() };
        self.trigger.send(push).await.context("the raw server ended")
    }
}

/// The responses that a server sends to a sidecar, one for each type, length-delimited; and the length of the one with
/// the routes.
pub(crate) async fn messages(server: &Server) -> Result<(Vec<u8>, usize)> {
    let mut client = AggregatedDiscoveryServiceClient::new(server.channel().await?)
        .max_decoding_message_size(usize::MAX);
    let (sender, requests) = mpsc::channel(8);
    sender.send(crate::sidecar::hello(usize::MAX)).await?;
    let replies = client.delta_aggregated_resources(ReceiverStream::new(requests)).await?;
    let mut replies = replies.into_inner();
    let (mut all, mut routes) = (Vec::new(), 0);
    let mut subscribed = crate::sidecar::Subscribed::default();
    for _ in crate::sidecar::TYPES {
        let reply = replies.message().await?.context("the stream ended")?;
        sender.send(crate::sidecar::accept(&reply.type_url, &reply.nonce)).await?;
        let names: Vec<_> = reply.resources.iter().map(|it| it.name.as_str()).collect();
        for request in subscribed.after(&reply.type_url, &names) {
            sender.send(request).await?;
        }
        if reply.type_url == crate::sidecar::ROUTE {
            routes = reply.encoded_len();
        }
        reply.encode_length_delimited(&mut all)?;
    }
    Ok((all, routes))
}

fn config(
    services: usize,
    xds: SocketAddr,
    api: SocketAddr,
    dir: &Path,
    certificates: bool,
) -> Result<String> {
    let steps = (1..=STEPS).map(|step| format!("{step}%")).collect::<Vec<_>>().join(", ");
    let (tls, identities) = if certificates {
        (
            format!(", tls: {{cert: {CERTIFICATE}, key: {KEY}, client_ca: {CA}}}"),
            format!("    identities: [\"{IDENTITIES}\"]\n"),
        )
    } else {
        (String::new(), String::new())
    };
    let mut text = format!(
        "listen: {{xds: \"{xds}\", api: \"{api}\"{tls}}}\ndata_dir: {:?}\n\
         filter: {{wasm: \"/filter.wasm\"}}\nfleets:\n  - name: {FLEET}\n{identities}    \
         listeners: [{{name: ingress, address: \"127.0.0.1:10000\", services: [\"*\"]}}]\n\
         services:\n",
        dir.join("data"),
    );
    for number in 0..services {
        // The endpoints do not exist: there is no traffic.
        let steps = if number == 0 { steps.as_str() } else { "50%" };
        writeln!(
            text,
            "  - name: s{number}\n    hosts: [\"s{number}.local\"]\n    \
             identity: [{{header: x-user-id}}, {{cookie: sid}}]\n    \
             strategy: {{canary: {{steps: [{steps}, 100%], step_time: 1h, watch: 1h}}}}\n    \
             stable: v1\n    versions:\n      \
             - {{name: v1, endpoints: [\"127.0.0.1:9101\"]}}\n      \
             - {{name: v2, endpoints: [\"127.0.0.1:9102\"]}}",
        )?;
    }
    Ok(text)
}
