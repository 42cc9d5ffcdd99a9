//! A backend whose response body is its version, and a client that reads it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Starts a backend that responds to every request with its version, until the runtime is dropped.
pub(crate) async fn start(version: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection, version));
        }
    });
    address
}

async fn serve(mut connection: TcpStream, version: &str) -> std::io::Result<()> {
    let (reader, mut writer) = connection.split();
    let mut lines = BufReader::new(reader).lines();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{version}", version.len());
    while let Some(line) = lines.next_line().await? {
        if line.is_empty() {
            writer.write_all(answer.as_bytes()).await?;
        }
    }
    Ok(())
}

/// Sends a GET for `host` to `target`. Returns the version that responded; `Err` for a failed request or status.
pub(crate) async fn get(
    client: &reqwest::Client,
    target: SocketAddr,
    host: &str,
    headers: &[(&str, &str)],
) -> Result<String, String> {
    let mut request = client.get(format!("http://{target}/")).header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = response.text().await.map_err(|error| error.to_string())?;
    if status.is_success() { Ok(body) } else { Err(format!("{status}: {body}")) }
}

/// Requests at a steady rate, until stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Starts four clients, each with one request at a time.
    pub(crate) fn start(target: SocketAddr, host: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let tasks = (0..4)
            .map(|_| {
                let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
                tokio::spawn(async move {
                    let client = reqwest::Client::new();
                    let mut failures = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        failures.extend(get(&client, target, host, &[]).await.err());
                        sent.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    failures
                })
            })
            .collect();
        Self { stop, sent, tasks }
    }

    /// Waits until so many more requests were sent.
    pub(crate) async fn wait_for(&self, requests: u64) {
        let until = self.sent.load(Ordering::Relaxed) + requests;
        while self.sent.load(Ordering::Relaxed) < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Stops the clients. Returns the number of requests sent, and the errors.
    pub(crate) async fn stop(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        for task in self.tasks {
            failures.extend(task.await.unwrap());
        }
        (self.sent.load(Ordering::Relaxed), failures)
    }
}
