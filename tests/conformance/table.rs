//! The checklist. A test is written as the end of its file's path, `::`, and its name.

/// How a line is covered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Coverage {
    /// By these tests.
    Tests(&'static [&'static str]),
    /// By no test, for this reason.
    NotTested(&'static str),
}

use Coverage::{NotTested, Tests};

/// The requirement of each line in short, and its coverage. The first is line 1.
pub(crate) const LINES: [(&str, Coverage); 57] = [
    // Requests, ACK, NACK, nonce.
    (
        "the first request contains the node",
        Tests(&[
            "serve/tests::a_stream_without_a_node_is_rejected",
            "serve/tests::a_sidecar_receives_publications_and_its_answers_are_recorded",
        ]),
    ),
    (
        "type URL required on ADS, optional elsewhere",
        Tests(&[
            "protocol/tests/limits::the_type_is_required_on_ads",
            "protocol/tests/limits::the_type_is_implied_on_single_services",
            "serve/tests::an_unknown_type_is_rejected",
            "serve/tests::a_discovery_service_serves_its_type",
        ]),
    ),
    (
        "a request with an error is a NACK, whatever its version",
        Tests(&["serve/tests::a_sidecar_receives_publications_and_its_answers_are_recorded"]),
    ),
    (
        "NACKed content is not sent again until it changes",
        Tests(&[
            "protocol/tests/answers::nacked_content_is_not_resent_until_it_changes",
            "protocol/tests/answers::newer_content_follows_a_nack_at_once",
        ]),
    ),
    (
        "a NACK is reported",
        Tests(&[
            "protocol/tests/answers::a_nack_is_an_event_with_its_message",
            "fleet/ack_tracker/tests::a_nack_is_listed_until_it_is_cleared",
        ]),
    ),
    (
        "an invalid resource does not block the others of its response",
        Tests(&[
            "protocol/tests/answers::resources_of_a_nacked_response_are_retried_alone",
            "protocol/tests/sequencing::partly_applied_routes_keep_their_clusters",
        ]),
    ),
    ("an ACK clears the error", Tests(&["protocol/tests/answers::an_ack_clears_the_error"])),
    (
        "no response to a stale nonce; nonces of earlier streams are ignored",
        Tests(&[
            "protocol/tests/answers::a_stale_nonce_gets_no_response",
            "protocol/tests/answers::a_first_request_is_answered_whatever_its_nonce",
        ]),
    ),
    (
        "at most one response of a type in flight",
        Tests(&["protocol/tests/answers::one_response_in_flight_and_then_the_latest"]),
    ),
    (
        "delta: names apply whatever the nonce",
        Tests(&[
            "protocol/tests/answers::delta_names_apply_whatever_the_nonce",
            "protocol/tests/answers::delta_names_apply_in_a_nack",
        ]),
    ),
    (
        "other names are a new subscription",
        Tests(&["protocol/tests/answers::other_names_are_a_new_subscription"]),
    ),
    ("an ACK gets no response", Tests(&["protocol/tests/answers::an_ack_gets_no_response"])),
    (
        "a newer request supersedes older ones",
        Tests(&[
            "protocol/tests/answers::a_newer_request_supersedes_older_ones",
            "protocol/tests/answers::a_request_that_crossed_with_the_first_response_applies",
        ]),
    ),
    (
        "each name once in a response",
        Tests(&[
            "model/exchanges::every_exchange_converges_sotw",
            "model/exchanges::every_exchange_converges_delta",
        ]),
    ),
    // Subscriptions.
    (
        "no names means everything, before the first name",
        Tests(&[
            "protocol/tests/subscriptions::legacy_wildcard_ends_with_the_first_name_sotw",
            "protocol/tests/subscriptions::legacy_wildcard_stays_with_names_delta",
            "protocol/tests/subscriptions::no_legacy_wildcard_after_names_delta",
        ]),
    ),
    (
        "the wildcard can be unsubscribed",
        Tests(&[
            "protocol/tests/subscriptions::a_request_without_the_wildcard_removes_it_sotw",
            "protocol/tests/subscriptions::unsubscribing_the_wildcard_keeps_names_delta",
        ]),
    ),
    (
        "delta: `*` in subscribe and unsubscribe is unsubscribed",
        Tests(&[
            "protocol/tests/subscriptions::subscribe_and_unsubscribe_in_one_request_is_unsubscribed",
        ]),
    ),
    (
        "delta: every subscribed name is answered",
        Tests(&[
            "protocol/tests/subscriptions::a_repeated_subscription_is_answered_again",
            "protocol/tests/subscriptions::a_renewed_subscription_is_answered_again",
        ]),
    ),
    (
        "delta: an unsubscribed name that the wildcard covers is answered",
        Tests(&[
            "protocol/tests/subscriptions::unsubscribing_a_covered_name_is_answered",
            "protocol/tests/subscriptions::unsubscribing_a_covered_name_that_is_unknown_is_answered",
        ]),
    ),
    (
        "unsubscribing needs no response",
        Tests(&["protocol/tests/subscriptions::unsubscribing_needs_no_response"]),
    ),
    (
        "a missing resource is sent when it appears",
        Tests(&[
            "protocol/tests/subscriptions::a_missing_resource_is_sent_when_it_appears_delta",
            "protocol/tests/subscriptions::a_missing_resource_is_sent_when_it_appears_sotw",
        ]),
    ),
    (
        "SotW: full sets of clusters and listeners, subsets of the others",
        Tests(&[
            "protocol/tests/subscriptions::clusters_and_listeners_are_full_sets",
            "protocol/tests/subscriptions::a_smaller_set_is_sent",
            "protocol/tests/subscriptions::other_types_are_subsets",
        ]),
    ),
    (
        "known names do not wait for unknown ones",
        Tests(&["protocol/tests/subscriptions::known_names_do_not_wait_for_unknown_ones"]),
    ),
    (
        "a returning client gets the difference, by content",
        Tests(&[
            "protocol/tests/subscriptions::a_returning_client_gets_the_difference",
            "protocol/tests/subscriptions::a_returning_client_without_a_difference_gets_an_empty_response",
            "resources/tests/publishing::the_same_state_has_the_same_versions",
        ]),
    ),
    (
        "initial resource versions apply once",
        Tests(&["protocol/tests/subscriptions::initial_versions_apply_to_the_first_request_only"]),
    ),
    ("locators are ignored", Tests(&["serve/tests::resource_locators_are_ignored"])),
    (
        "why a resource is absent",
        NotTested(
            "optional, not implemented: an absent resource is removed (delta) or not sent (SotW)",
        ),
    ),
    (
        "VHDS is delta only",
        Tests(&["protocol/tests/subscriptions::types_without_resources_are_valid"]),
    ),
    // Ordering, warming, deletion.
    ("a push is in order", Tests(&["protocol/tests/sequencing::a_push_is_in_order"])),
    (
        "a route waits for its clusters",
        Tests(&[
            "protocol/tests/sequencing::a_route_waits_for_its_clusters",
            "xds/scenarios::no_request_fails_while_versions_come_and_go_sotw",
            "xds/scenarios::no_request_fails_while_versions_come_and_go_delta",
        ]),
    ),
    (
        "endpoints of a changed cluster are sent again",
        Tests(&["protocol/tests/sequencing::a_changed_cluster_gets_its_endpoints_again"]),
    ),
    (
        "delta: also after a reconnection",
        Tests(&[
            "protocol/tests/sequencing::a_returning_client_gets_the_endpoints_of_changed_clusters",
        ]),
    ),
    (
        "a returning client gets one response per type, possibly empty",
        Tests(&[
            "protocol/tests/sequencing::a_returning_client_is_always_answered_delta",
            "protocol/tests/sequencing::a_returning_client_gets_empty_endpoints_of_removed_clusters_sotw",
        ]),
    ),
    (
        "endpoints cached by the proxy",
        NotTested("an Envoy option that is off by default: lines 31 to 33 do not need it"),
    ),
    // State-of-the-world requests do not contain what a client holds. If a cluster was removed while the client was
    // disconnected, the first full set is without it, before new routes.
    (
        "a cluster is removed after its routes",
        Tests(&[
            "protocol/tests/sequencing::a_cluster_is_removed_after_its_routes",
            "protocol/tests/sequencing::nacked_routes_keep_their_clusters",
            "protocol/tests/sequencing::routes_in_flight_keep_their_clusters",
            "protocol/tests/sequencing::a_returning_client_keeps_clusters_until_its_routes_are_known",
            "protocol/tests/sequencing::a_returning_client_keeps_clusters_until_its_routes_are_known_sotw",
            "protocol/tests/sequencing::a_rollback_waits_for_no_warming_cluster",
        ]),
    ),
    (
        "the sum of weights is constant",
        Tests(&["resources/tests/routing::weights_always_sum_to_a_million"]),
    ),
    (
        "the filter is never removed",
        Tests(&["resources/tests/resources::every_snapshot_contains_the_filter"]),
    ),
    (
        "a missing filter blocks nothing",
        Tests(&[
            "resources/tests/resources::listeners_start_without_the_filter_after_a_timeout",
            "xds/scenarios::traffic_follows_the_state_sotw",
            "xds/scenarios::traffic_follows_the_state_delta",
        ]),
    ),
    (
        "stale route names are removed",
        Tests(&["protocol/tests/sequencing::stale_route_names_are_answered_with_removal"]),
    ),
    ("references exist", Tests(&["resources/tests/publishing::references_exist"])),
    (
        "no validation by constraint rules",
        NotTested("there is none: published resources are tested on real Envoys, in `xds/clients`"),
    ),
    // Liveness, load, security.
    (
        "resources that expire",
        NotTested("not used: without a control plane the traffic stays unchanged"),
    ),
    (
        "the latest content is sent; there is no queue",
        Tests(&["protocol/tests/answers::one_response_in_flight_and_then_the_latest"]),
    ),
    (
        "a slow client delays no other",
        Tests(&["serve/tests/slow::a_client_that_does_not_read_is_closed_and_delays_no_other"]),
    ),
    (
        "requests do not starve pushes",
        Tests(&["serve/tests/slow::a_client_that_sends_requests_without_a_pause_receives_pushes"]),
    ),
    (
        "streams of clients that do not read are closed and counted",
        Tests(&["serve/tests/slow::a_client_that_does_not_read_is_closed_and_delays_no_other"]),
    ),
    (
        "a rollback bypasses the debounce",
        NotTested(
            "there is no debounce: each publication is sent at once, and replaces unsent content",
        ),
    ),
    (
        "new streams wait while the server is overloaded; above the limit they are rejected",
        Tests(&[
            "serve/tests/lifetime::new_streams_wait_for_admission_and_are_served",
            "serve/admission::high_latency_halves_the_limit_once_per_generation",
            "serve/admission::permits_are_granted_in_the_order_of_arrival",
            "serve/tests::streams_over_the_quota_are_rejected",
        ]),
    ),
    (
        "streams have a maximum age with jitter",
        Tests(&[
            "serve/tests/lifetime::an_expired_stream_ends_after_its_ack",
            "serve/aging::ages_have_a_jitter_of_a_fifth",
        ]),
    ),
    (
        "dead peers are detected",
        Tests(&["serve/tests/slow::a_silent_peer_is_pinged_and_then_closed"]),
    ),
    (
        "a stopping server drains its streams",
        Tests(&[
            "serve/tests/lifetime::draining_ends_every_stream",
            "serve/tests/lifetime::a_stream_is_served_until_its_own_drain_time",
            "serve/aging::draining_spreads_the_ends_of_streams",
        ]),
    ),
    (
        "limits of clients are respected",
        Tests(&["resources/tests/resources::listeners_start_without_the_filter_after_a_timeout"]),
    ),
    (
        "certificates identify clients",
        Tests(&[
            "transport/tests/access::a_sidecar_is_served_in_the_fleet_of_its_identity",
            "transport/tests/access::an_identity_that_names_its_node_may_use_no_other_node_id",
            "transport/tests/access::the_node_id_of_a_connected_sidecar_cannot_be_used_by_others",
            "transport/tests/access::a_certificate_without_an_identity_is_denied_with_the_reason",
            "transport/tests/handshakes::a_client_without_a_certificate_of_the_ca_fails_the_handshake",
            "tls/envoy::real_envoys_over_mutual_tls",
        ]),
    ),
    (
        "a client receives the resources of its fleet",
        Tests(&[
            "resources/tests/publishing::a_fleet_receives_the_resources_of_its_services",
            "serve/tests::an_unknown_fleet_is_rejected",
            "transport/tests/access::another_fleet_is_denied_without_revealing_its_patterns",
        ]),
    ),
    (
        "all input is bounded",
        Tests(&[
            "protocol/tests/limits::names_are_bounded_sotw",
            "protocol/tests/limits::names_are_bounded_delta",
            "protocol/tests/limits::an_error_message_is_clipped",
            "serve/tests::a_too_large_request_ends_only_its_own_stream",
            "serve/tests::streams_over_the_quota_are_rejected",
            "transport/tests/quotas::one_identity_cannot_use_up_the_connections",
            "transport/tests/handshakes::a_slow_handshake_delays_no_other",
            "transport/tests/handshakes::a_handshake_over_the_timeout_is_closed",
            "transport/tests/handshakes::handshakes_over_the_quota_of_an_address_are_rejected",
            "transport/tests/handshakes::a_connection_that_never_starts_http2_is_closed",
        ]),
    ),
    (
        "the state of a stream ends with it",
        Tests(&[
            "serve/tests::a_disconnected_sidecar_is_not_counted",
            "fleet/ack_tracker/tests::recently_disconnected_sidecars_are_listed",
        ]),
    ),
    (
        "a version is the hash of its content",
        Tests(&[
            "resources/tests/publishing::the_same_state_has_the_same_versions",
            "resources/tests/publishing::the_same_state_is_no_publication",
        ]),
    ),
];
