//! The scenarios on supported Envoys other than the newest.

use tidegate_xds::kind::Mode;

use super::envoy;
use super::own_listener::own_listeners_split_traffic_by_user;
use super::scenarios::{
    no_request_fails_while_versions_come_and_go, traffic_flows_while_the_control_plane_is_down,
    traffic_follows_the_state,
};

/// One test for each scenario and xDS variant, all with the same attribute.
macro_rules! scenarios {
    ($module:ident: $version:literal, #[$attribute:meta]) => {
        mod $module {
            use super::*;

            scenarios! { sotw: Sotw, $version, #[$attribute] }
            scenarios! { delta: Delta, $version, #[$attribute] }
        }
    };
    ($module:ident: $mode:ident, $version:literal, #[$attribute:meta]) => {
        scenarios! {
            $module: $mode, $version, #[$attribute]
            traffic_follows_the_state
            no_request_fails_while_versions_come_and_go
            traffic_flows_while_the_control_plane_is_down
            own_listeners_split_traffic_by_user
        }
    };
    ($module:ident: $mode:ident, $version:literal, #[$attribute:meta] $($scenario:ident)+) => {
        mod $module {
            use super::*;

            $(
                #[tokio::test]
                #[$attribute]
                async fn $scenario() {
                    super::super::$scenario(&envoy::version($version).await, Mode::$mode).await;
                }
            )+
        }
    };
}

scenarios!(envoy_1_36: "1.36.4", #[cfg(test)]);
scenarios!(envoy_1_39: "1.39.3", #[ignore = "make test-matrix"]);
