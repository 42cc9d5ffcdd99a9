//! Hooks and notifications of a control plane that is killed while a receiver hangs.

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;
use tidegate_tests::receiver::{ReceivedRequest, Receiver};
use tidegate_tests::status::at;
use tidegate_tests::story::Operator;
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};

use super::{ONE_WORLD, one_sidecar, until_service};

const SECRET: &str = "the secret of the hooks";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_no_hook_call_and_no_notification() {
    deliver_through_a_crash().await.unwrap();
}

async fn deliver_through_a_crash() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let dir = tempfile::tempdir()?;
    let secret = dir.path().join("secret");
    fs::write(&secret, SECRET)?;
    let (cache, team) = (Receiver::start(None).await?, Receiver::start(Some(200)).await?);
    // A closed port.
    let dead = "http://127.0.0.1:9";
    let hook = |name: &str, on: &str, url: &str| {
        format!(
            "{{name: {name}, on: {on}, url: \"{url}\", timeout: 60s, retries: 3, secret_file: {secret:?}}}"
        )
    };
    let hooks = [
        hook("update-cache", "switched", &format!("{}/switched", cache.url)),
        hook("restore-cache", "rolled_back", &format!("{}/back", cache.url)),
    ];
    let knobs = Knobs {
        extras: [("product".to_owned(), vec![format!("hooks: [{}]", hooks.join(", "))])].into(),
        notifications: Some(format!(
            "[{{name: team, kind: slack, level: info, url: \"{}/team\", template: \"{{{{ event }}}} {{{{ release }}}}\"}}, \
             {{name: dead, kind: webhook, level: info, url: \"{dead}\"}}]",
            team.url
        )),
        ..Knobs::default()
    };
    let mut world = World::start(WorldOptions { knobs, ..one_sidecar() }).await?;
    Operator::new(&world.control).run(&["release", "start", "product", "--version", "v2"]).await?;
    cache.calls("/switched", 1).await?;
    world.control.kill9()?;
    cache.answer.send_replace(Some(200));
    world.control.restart().await?;

    let calls = cache.calls("/switched", 2).await?;
    let key = &calls.first().context("no call")?.key;
    assert!(key.starts_with("product.1/update-cache/"), "{key}");
    for call in &calls {
        assert_eq!(&call.key, key);
        assert_eq!(at(&call.body, "/from"), "v1");
        assert_eq!(at(&call.body, "/to"), "v2");
        assert!(call.signature.starts_with("t=") && call.signature.contains(",v1="), "{call:?}");
    }
    let service =
        until_service(&world, "product", |it| at(it, "/release/hooks/0/state") == "succeeded")
            .await?;
    assert_eq!(at(&service, "/release/phase"), "watching");

    let operator = Operator::new(&world.control);
    operator.run(&["release", "rollback", "product"]).await?;
    let back = cache.calls("/back", 1).await?;
    assert_eq!(at(&back.first().context("no call")?.body, "/to"), "v1");
    let received = team.calls("/team", 3).await?;
    let text = |it: &ReceivedRequest| at(&it.body, "/text").as_str().unwrap_or("").to_owned();
    let texts: Vec<String> = received.iter().map(text).collect();
    for event in ["release_started", "step_entered", "rolled_back"] {
        assert!(texts.contains(&format!("{event} product.1")), "{event} in {texts:#?}");
    }

    let events: Vec<Value> = world.control.get("events?after=0").await?;
    assert!(!serde_json::to_string(&events)?.contains(SECRET));
    let url = format!("http://{}/metrics", world.control.api());
    let metrics = reqwest::get(url).await?.error_for_status()?.text().await?;
    let failed = r#"tidegate_notifications_total{receiver="dead",result="failed"} "#;
    let failed =
        metrics.lines().find_map(|line| line.strip_prefix(failed)).context("not counted")?;
    assert_ne!(failed, "0");
    Ok(())
}
