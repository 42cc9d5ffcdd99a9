//! The scenarios of the demo as tests, each in its own world.
//!
//! `make test` runs all of them on the newest Envoy with delta xDS, and on the oldest one with state of the world the
//! scenario that depends most on the filter's reports. What else depends on Envoy's version and on the xDS variant
//! (connect, update, NACK, reconnect) is tested by `xds_envoy`. `make test-matrix` runs every combination.

use anyhow::Result;
use tidegate_tests::control_plane::XdsMode;
use tidegate_tests::story::{self, ProgressOutput};
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

/// One test per scenario, all with the same attribute.
macro_rules! scenarios {
    ($module:ident: $version:literal, $mode:ident, #[$attribute:meta]) => {
        scenarios! {
            $module: $version, $mode, #[$attribute]
            good_canary_completes
            bad_canary_is_rolled_back
            blue_green_switches_and_is_rolled_back
            flag_routes_at_weight_zero
            release_survives_a_control_plane_crash
            clients_cannot_choose_a_version
        }
    };
    ($module:ident: $version:literal, $mode:ident, #[$attribute:meta] $($scenario:ident)+) => {
        mod $module {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[$attribute]
                async fn $scenario() {
                    let _alone = ONE_WORLD.lock().await;
                    let mut world = world($version, XdsMode::$mode).await.unwrap();
                    story::$scenario(&mut world, &ProgressOutput::default()).await.unwrap();
                }
            )+
        }
    };
}

scenarios!(envoy_1_40_delta: "1.40.0", Delta, #[cfg(test)]);
scenarios!(oldest_envoy: "1.36.4", Sotw, #[cfg(test)] bad_canary_is_rolled_back);
scenarios!(envoy_1_40_sotw: "1.40.0", Sotw, #[ignore = "make test-matrix"]);
scenarios!(envoy_1_39_delta: "1.39.3", Delta, #[ignore = "make test-matrix"]);
scenarios!(envoy_1_39_sotw: "1.39.3", Sotw, #[ignore = "make test-matrix"]);
scenarios!(envoy_1_36_delta: "1.36.4", Delta, #[ignore = "make test-matrix"]);
scenarios!(envoy_1_36_sotw: "1.36.4", Sotw, #[ignore = "make test-matrix"]);
