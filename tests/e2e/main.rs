//! The story's chapters as tests: each in a world of its own, on the newest and the oldest Envoy that Tidegate
//! supports, asked for its configuration as state of the world and as delta.

use anyhow::Result;
use tidegate_tests::control_plane::XdsMode;
use tidegate_tests::story::{self, Narrator};
use tidegate_tests::{World, WorldOptions, binaries};
use tokio::sync::Mutex;

/// Worlds share the machine's cores: under plain `cargo test` one at a time. nextest has its own limit.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());

async fn world(version: &'static str, mode: XdsMode) -> Result<World> {
    let envoy = tokio::task::spawn_blocking(move || binaries::envoy_version(version)).await??;
    let options = WorldOptions {
        mode,
        envoy_binary: Some(envoy),
        knobs: story::knobs(),
        ..WorldOptions::default()
    };
    World::start(options).await
}

macro_rules! chapters {
    ($module:ident, $version:literal, $mode:expr) => {
        mod $module {
            use super::*;

            chapters!(@ $version, $mode,
                good_version_climbs,
                bad_version_is_put_back,
                switches_at_once_and_goes_back_when_slow,
                flag_routes_at_weight_zero,
                release_survives_the_control_plane,
                clients_cannot_choose_a_version
            );
        }
    };
    (@ $version:literal, $mode:expr, $($chapter:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $chapter() {
                let _alone = ONE_WORLD.lock().await;
                let mut world = world($version, $mode).await.unwrap();
                story::$chapter(&mut world, &Narrator::default()).await.unwrap();
            }
        )+
    };
}

chapters!(envoy_1_40_delta, "1.40.0", XdsMode::Delta);
chapters!(envoy_1_40_sotw, "1.40.0", XdsMode::Sotw);
chapters!(envoy_1_36_delta, "1.36.4", XdsMode::Delta);
chapters!(envoy_1_36_sotw, "1.36.4", XdsMode::Sotw);
