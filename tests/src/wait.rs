//! Waiting by polling, without fixed delays.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;

/// Poll interval.
const PERIOD: Duration = Duration::from_millis(20);
/// Longest wait. It only matters for failing tests.
pub const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// Calls `poll` until it returns a value.
///
/// # Errors
/// If it returns none within `limit`. The error contains `what`.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut poll: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let polling = async {
        loop {
            if let Some(answer) = poll().await {
                return answer;
            }
            tokio::time::sleep(PERIOD).await;
        }
    };
    let answer = tokio::time::timeout(limit, polling).await;
    answer.with_context(|| format!("timed out after {} s: {what}", limit.as_secs()))
}

/// A client with a timeout, so a program that hangs fails the test.
pub(crate) fn http() -> Result<Client> {
    Ok(Client::builder().timeout(WAIT_LIMIT).build()?)
}
