//! Waiting for something to become true: by looking again, never by guessing how long it takes.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// How often one looks.
const PERIOD: Duration = Duration::from_millis(20);
/// How long one looks before giving up. Generous: it only decides when a failing test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until there is an answer, and returns it.
///
/// # Errors
/// If there is none within `patience`; the error says what was waited for.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited {} s in vain for {what}", patience.as_secs());
        }
        tokio::time::sleep(PERIOD).await;
    }
}
