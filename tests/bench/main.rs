//! `make bench`: figures that need real Envoys under load.
#![expect(clippy::print_stdout, reason = "it prints its figures")]

mod rollback;
mod weight_steps;

use anyhow::Result;

#[tokio::main]
async fn main() -> Result<()> {
    rollback::run().await?;
    weight_steps::run().await
}
