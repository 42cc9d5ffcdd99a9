//! Clients that give up, and clients that are slow.

use std::time::Duration;

use anyhow::Result;
use tidegate_demo_app::load::LoadConfig;
use tidegate_tests::story::Traffic;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Behaviour, ONE_WORLD, Outcomes, at};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_hangs_while_clients_give_up_is_rolled_back() {
    hanging().await.unwrap();
}

async fn hanging() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    // Only unanswered requests count: whether it is seen while it hangs is another test.
    let outcomes = Outcomes::start("{latency: {worse_than_stable: hold}}", &[]).await?;
    outcomes.candidate.behave(Behaviour::Hanging);
    let config = LoadConfig { timeout: Duration::from_secs(2), ..outcomes.load()? };
    let load = Traffic::with("payment", &config).await?;
    outcomes.start_release().await?;
    let finding = outcomes.until_rolled_back("error_rate").await?;
    assert_eq!(at(&finding, "/bad"), at(&finding, "/requests"), "{finding:#}");
    load.until_only("v1", 300).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_hangs_is_seen_while_it_hangs() {
    waiting().await.unwrap();
}

async fn waiting() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let outcomes = Outcomes::start("{}", &[]).await?;
    outcomes.candidate.behave(Behaviour::Hanging);
    // No client gives up before the test ends.
    let config = LoadConfig { timeout: Duration::from_secs(120), ..outcomes.load()? };
    let load = Traffic::with("payment", &config).await?;
    load.more(1_200).await?;
    outcomes.start_release().await?;
    outcomes.until_rolled_back("latency").await?;
    load.until_only("v1", 300).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_uploads_roll_nothing_back() {
    slow_uploads().await.unwrap();
}

async fn slow_uploads() -> Result<()> {
    const LIMITS: &str = "{latency: {quantile: p90, warning: 300ms, critical: 600ms, rollback: 1500ms}, min_requests: 20}";
    let _alone = ONE_WORLD.lock().await;
    let outcomes = Outcomes::start(LIMITS, &[]).await?;
    // Few other requests, so that 12 uploads would be more than a tenth of all.
    let config = LoadConfig { rate: 40.0, ..outcomes.load()? };
    let load = Traffic::with("payment", &config).await?;
    let ingress = config.targets.first().copied();
    let mut uploads = JoinSet::new();
    for user in 0..12 {
        uploads.spawn(async move {
            let Some(ingress) = ingress else { return Ok(0) };
            let mut finished = 0;
            while finished < 4 {
                upload(TcpStream::connect(ingress).await?, user).await?;
                finished += 1;
            }
            Ok::<_, anyhow::Error>(finished)
        });
    }
    outcomes.start_release().await?;
    outcomes.until_completed().await?;
    let mut finished = 0;
    while let Some(done) = uploads.join_next().await {
        finished += done??;
    }
    assert_eq!(finished, 48);
    load.end(None).await?;
    Ok(())
}

/// Uploads ten bytes within three seconds.
async fn upload(mut stream: TcpStream, user: u32) -> Result<()> {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: payment.local\r\nx-user-id: slow-{user}\r\ncontent-length: 10\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stream.write_all(b"x").await?;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(())
}
