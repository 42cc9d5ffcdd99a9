//! Sidecars that refuse their configuration, or hang: the release holds, says by which and why, and can always go back.

mod refusal;
mod silence;

use tokio::sync::Mutex;

/// Worlds share the machine's cores: under plain `cargo test` one at a time. nextest has its own limit.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());
