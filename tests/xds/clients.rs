//! After each update an Envoy runs the configuration that was published for it: in each supported version, with state of
//! the world and delta, with ADS and a stream for each type, with listeners from Tidegate and of its own.

use tidegate_tests::wait;
use tidegate_xds::kind::Mode;

use super::backend;
use super::bootstraps::{self, Streams};
use super::control::{Control, order};
use super::dump::{self, Facts};
use super::envoy::{self, Envoy, free_address};

macro_rules! clients {
    ($($name:ident: $version:literal, $mode:ident, $streams:ident, #[$attribute:meta];)+) => {
        $(
            #[tokio::test]
            #[$attribute]
            async fn $name() {
                runs_what_is_published($version, Mode::$mode, Streams::$streams).await;
            }
        )+
    };
}

clients! {
    envoy_1_40_sotw_ads: "1.40.0", Sotw, Aggregated, #[cfg(test)];
    envoy_1_40_sotw_streams: "1.40.0", Sotw, Separate, #[cfg(test)];
    envoy_1_40_delta_ads: "1.40.0", Delta, Aggregated, #[cfg(test)];
    envoy_1_40_delta_streams: "1.40.0", Delta, Separate, #[cfg(test)];
    envoy_1_39_sotw_ads: "1.39.3", Sotw, Aggregated, #[ignore = "make test-matrix"];
    envoy_1_39_sotw_streams: "1.39.3", Sotw, Separate, #[ignore = "make test-matrix"];
    envoy_1_39_delta_ads: "1.39.3", Delta, Aggregated, #[ignore = "make test-matrix"];
    envoy_1_39_delta_streams: "1.39.3", Delta, Separate, #[ignore = "make test-matrix"];
    envoy_1_36_sotw_ads: "1.36.4", Sotw, Aggregated, #[cfg(test)];
    envoy_1_36_sotw_streams: "1.36.4", Sotw, Separate, #[cfg(test)];
    envoy_1_36_delta_ads: "1.36.4", Delta, Aggregated, #[cfg(test)];
    envoy_1_36_delta_streams: "1.36.4", Delta, Separate, #[cfg(test)];
}

async fn runs_what_is_published(version: &'static str, mode: Mode, streams: Streams) {
    let binary = envoy::version(version).await;
    let v1 = backend::start("v1").await;
    let v2 = backend::start("v2").await;
    let (v1_text, v2_text) = (v1.to_string(), v2.to_string());
    let only = [("v1", v1_text.as_str())];
    let both = [("v1", v1_text.as_str()), ("v2", v2_text.as_str())];
    let (ingress, mine) = (free_address(), free_address());
    let mut control = Control::start_with_filter(ingress, &order(&only, "v1", None));
    let (admin, own_admin) = (free_address(), free_address());
    let demo = bootstraps::demo(mode, streams, control.address, admin);
    let own = bootstraps::own(mode, streams, control.address, own_admin, mine);
    let mut demo = Envoy::run(&binary, &demo, admin);
    let mut own = Envoy::run(&binary, &own, own_admin);
    demo.ready().await;
    own.ready().await;

    let states = [
        order(&only, "v1", None),
        order(&both, "v1", Some(("v2", 300_000))),
        order(&both, "v1", Some(("v2", 1_000_000))),
        order(&[both[1]], "v2", None),
    ];
    for state in states {
        control.publish(&state).await;
        runs(&demo, &control, "demo", "demo/ingress").await;
        runs(&own, &control, "own", "service/order").await;
    }
    if streams == Streams::Separate {
        let alone = dump::static_ports(&own.config_dump().await, "order/v1");
        assert_eq!(alone, [u64::from(v1.port())], "endpoints of the static cluster");
    }
    let rejected: Vec<_> = control.ack_tracker.nodes().into_iter().map(|node| node.nacks).collect();
    assert!(rejected.iter().all(|kinds| kinds.is_empty()), "{rejected:?}");
}

/// Waits until an Envoy runs the snapshot of its fleet.
async fn runs(envoy: &Envoy, control: &Control, fleet: &str, routes: &str) {
    let expected = Facts::published(&control.published(fleet), routes);
    let same = async || {
        let running = Facts::running(&envoy.config_dump().await);
        (running == expected).then_some(())
    };
    if wait::until("the published configuration", wait::WAIT_LIMIT, same).await.is_err() {
        let running = Facts::running(&envoy.config_dump().await);
        panic!("{fleet} runs {running:#?}\nnot {expected:#?}\n{}", envoy.log());
    }
}
