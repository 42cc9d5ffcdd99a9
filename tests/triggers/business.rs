//! A critical business metric: somebody is told, the release waits, and one word puts it back.

use anyhow::Result;
use tidegate_demo_app::faults::FaultSettings;
use tidegate_tests::status::{at, release, until_release, waiting_for};
use tidegate_tests::story::Operator;

use super::{ONE_WORLD, break_candidate, in_mid_canary, until_alert};

const PAID: &str = "{business: [{name: payment_success, of: {method: GET, path: /*}, \
                    good: {status: 200, header: {name: x-outcome, value: paid}}, at_least: 95%}]}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declined_payments_hold_the_release_for_a_person_to_decide() {
    declines().await.unwrap();
}

async fn declines() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let (world, load) = in_mid_canary(PAID).await?;
    let outcome = |outcome: &str| FaultSettings {
        outcome: Some(outcome.to_owned()),
        ..FaultSettings::default()
    };
    break_candidate(&world, outcome("declined"))?;
    let held = until_alert(&world, "business/payment_success", "critical").await?;
    let waits = waiting_for(&held);
    assert!(waits.contains("the share of bad `payment_success` to fall below 5%"), "{waits}");
    // Longer than the step, at this rate, and every one of them declined: still a person's decision.
    load.more(600).await?;
    assert_eq!(at(&release(&world, "payment").await?, "/phase"), "stepping");

    let operator = Operator::new(&world.control);
    operator.run(&["release", "rollback", "payment"]).await?;
    let back = until_release(&world, "payment", |it| at(it, "/phase") == "rolled_back").await?;
    assert_eq!(at(&back, "/cause/cause"), "operator", "{back:#}");
    load.until_only("v1", 300).await?;
    load.end(None).await?;

    break_candidate(&world, outcome("paid"))?;
    let load = tidegate_tests::status::traffic(&world, "payment").await?;
    operator.run(&["release", "start", "payment", "--version", "v2"]).await?;
    until_release(&world, "payment", |it| at(it, "/phase") == "completed").await?;
    load.end(None).await?;
    Ok(())
}
