//! A BIND server that is primary for a dynamic zone.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tidegate_tests::process::Process;
use tidegate_tests::wait::{WAIT_LIMIT, until};
use tidegate_tests::{binaries, ports};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Timeout of one response. A stopped BIND sends none.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// A TSIG key with fixed bytes.
const KEY: &str = r#"key "tidegate." { algorithm hmac-sha256; secret "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="; };"#;
const ZONE: &str =
    "$TTL 30\n@ IN SOA ns hostmaster 1 3600 600 86400 30\n@ IN NS ns\nns IN A 127.0.0.1\n";

pub(crate) struct Bind {
    pub(crate) address: SocketAddr,
    process: Process,
    pub(crate) dir: TempDir,
}

/// Address and directory of a killed server.
pub(crate) struct StoppedBind {
    address: SocketAddr,
    dir: TempDir,
}

impl Bind {
    pub(crate) async fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("tidegate-bind-").tempdir()?;
        let address = ports::free_address()?;
        let home = dir.path().display();
        let config = format!(
            "options {{ directory \"{home}\"; pid-file \"{home}/named.pid\"; session-keyfile \"{home}/session.key\";\n\
             listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; notify no;\n\
             dnssec-validation no; }};\ncontrols {{ }};\n{KEY}\n\
             zone \"example.org\" {{ type primary; file \"{home}/zone\";\n\
             update-policy {{ grant tidegate. name product.example.org. A AAAA CNAME; }}; }};\n",
            port = address.port(),
        );
        fs::write(dir.path().join("named.conf"), config)?;
        fs::write(dir.path().join("key"), KEY)?;
        Self::run(dir, address).await
    }

    /// Restarts a killed server with the initial zone.
    pub(crate) async fn restart_without_updates(stopped: StoppedBind) -> Result<Self> {
        fs::remove_file(stopped.dir.path().join("zone.jnl"))?;
        Self::run(stopped.dir, stopped.address).await
    }

    async fn run(dir: TempDir, address: SocketAddr) -> Result<Self> {
        let named = tokio::task::spawn_blocking(binaries::named).await??;
        fs::write(dir.path().join("zone"), ZONE)?;
        let mut command = Command::new(named);
        command.arg("-g").arg("-c").arg(dir.path().join("named.conf"));
        let process = Process::spawn("named", command, dir.path())?;
        let mut bind = Self { address, process, dir };
        let listens = async || {
            let connected =
                tokio::time::timeout(RESPONSE_TIMEOUT, TcpStream::connect(address)).await;
            connected.ok()?.ok().map(drop)
        };
        bind.process.wait_for("named to listen", listens).await?;
        Ok(bind)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill9(self) -> Result<StoppedBind> {
        self.process.kill9()?;
        Ok(StoppedBind { address: self.address, dir: self.dir })
    }

    /// Waits until the name has exactly this address.
    pub(crate) async fn until(&self, address: &str) -> Result<()> {
        let what = format!("the DNS answer {address}");
        until(&what, WAIT_LIMIT, async || (self.addresses().await.ok()? == [address]).then_some(()))
            .await
    }

    /// The addresses of the name.
    pub(crate) async fn addresses(&self) -> Result<Vec<String>> {
        tokio::time::timeout(RESPONSE_TIMEOUT, self.query())
            .await
            .context("no response from BIND")?
    }

    async fn query(&self) -> Result<Vec<String>> {
        let mut query = Message::query();
        let name = Name::from_ascii("product.example.org.")?;
        query.add_query(Query::query(name, RecordType::A));
        let query = query.to_vec()?;
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_u16(u16::try_from(query.len())?).await?;
        stream.write_all(&query).await?;
        let mut response = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut response).await?;
        let answers = Message::from_vec(&response)?.answers;
        let addresses = answers.iter().filter_map(|record| match &record.data {
            RData::A(address) => Some(address.to_string()),
            _ => None,
        });
        Ok(addresses.collect())
    }
}
