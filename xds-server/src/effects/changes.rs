//! Waiting on values that others replace.

use tokio::sync::watch;

/// Returns when there is another value; never, if nobody is left who could bring one.
pub(super) async fn next<T>(values: &mut watch::Receiver<T>) {
    if values.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns when nobody is left who could bring another value.
pub(super) async fn gone<T>(values: &mut watch::Receiver<T>) {
    while values.changed().await.is_ok() {}
}
