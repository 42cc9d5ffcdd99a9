//! `make bench`: the figures of the design that only real Envoys under load can give.
#![expect(clippy::print_stdout, reason = "printing figures is what a bench is for")]

mod rollback;
mod weight_steps;

use anyhow::Result;

#[tokio::main]
async fn main() -> Result<()> {
    rollback::run().await?;
    weight_steps::run().await
}
