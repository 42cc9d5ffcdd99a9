//! A candidate that is slower than stable, within every limit.

use std::time::Duration;

use anyhow::Result;

use super::{Behaviour, ONE_WORLD, Outcomes, at};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_is_200_ms_slower_is_rolled_back_and_equal_ones_are_not() {
    slower().await.unwrap();
}

async fn slower() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let outcomes = Outcomes::start("{latency: {worse_than_stable: rollback}}", &[]).await?;
    let load = outcomes.traffic().await?;
    // The quantiles of stable are known from 1000 reported requests on.
    load.more(3_000).await?;
    outcomes.candidate.behave(Behaviour::Slow(Duration::from_millis(200)));
    outcomes.start_release().await?;
    let finding = outcomes.until_rolled_back("latency").await?;
    assert_eq!(at(&finding, "/limit/kind"), "stable", "{finding:#}");
    load.until_only("v1", 300).await?;
    outcomes.stable.behave(Behaviour::Slow(Duration::from_millis(200)));
    outcomes.start_release().await?;
    outcomes.until_completed().await?;
    load.end(None).await?;
    Ok(())
}
