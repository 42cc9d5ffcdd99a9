//! Sidecars that NACK their configuration or hang: the release is blocked, names the sidecar and the reason, and can be rolled
//! back.

mod hang;
mod rejection;

use tokio::sync::Mutex;

/// Worlds share the machine's cores. `cargo test` runs one at a time by this lock, nextest by its test groups.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());
