//! The chapters of the story as tests, each in a world of its own.
//!
//! `make test` runs all of them on the newest Envoy with delta xDS, and on the oldest one with state of the world the
//! chapter that needs the filter's reports soonest. What else depends on Envoy's version and on the xDS variant
//! (connect, update, NACK, reconnect) is tested by `xds_envoy`. `make test-matrix` runs every combination.

use anyhow::Result;
use tidegate_tests::control_plane::XdsMode;
use tidegate_tests::story::{self, Narrator};
use tidegate_tests::{World, WorldOptions, binaries};
use tokio::sync::Mutex;

/// Worlds share the machine's cores. `cargo test` runs one at a time by this lock, nextest by its test groups.
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

/// One test for each chapter, all with the same attribute.
macro_rules! chapters {
    ($module:ident: $version:literal, $mode:ident, #[$attribute:meta]) => {
        chapters! {
            $module: $version, $mode, #[$attribute]
            good_version_climbs
            bad_version_is_put_back
            switches_at_once_and_goes_back_when_slow
            flag_routes_at_weight_zero
            release_survives_the_control_plane
            clients_cannot_choose_a_version
        }
    };
    ($module:ident: $version:literal, $mode:ident, #[$attribute:meta] $($chapter:ident)+) => {
        mod $module {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[$attribute]
                async fn $chapter() {
                    let _alone = ONE_WORLD.lock().await;
                    let mut world = world($version, XdsMode::$mode).await.unwrap();
                    story::$chapter(&mut world, &Narrator::default()).await.unwrap();
                }
            )+
        }
    };
}

chapters!(envoy_1_40_delta: "1.40.0", Delta, #[cfg(test)]);
chapters!(oldest_envoy: "1.36.4", Sotw, #[cfg(test)] bad_version_is_put_back);
chapters!(envoy_1_40_sotw: "1.40.0", Sotw, #[ignore = "make test-matrix"]);
chapters!(envoy_1_39_delta: "1.39.3", Delta, #[ignore = "make test-matrix"]);
chapters!(envoy_1_39_sotw: "1.39.3", Sotw, #[ignore = "make test-matrix"]);
chapters!(envoy_1_36_delta: "1.36.4", Delta, #[ignore = "make test-matrix"]);
chapters!(envoy_1_36_sotw: "1.36.4", Sotw, #[ignore = "make test-matrix"]);
