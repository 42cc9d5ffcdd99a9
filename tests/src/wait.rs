//! Waiting for something to become true: by looking again, never by guessing how long it takes.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;

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
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(PERIOD).await;
        }
    };
    let answer = tokio::time::timeout(patience, asking).await;
    answer.with_context(|| format!("waited {} s in vain for {what}", patience.as_secs()))
}

/// A client whose calls end: a program that hangs must fail the test that asks it, not stop it.
pub(crate) fn http() -> Result<Client> {
    Ok(Client::builder().timeout(PATIENCE).build()?)
}
