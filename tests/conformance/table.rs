//! The checklist, line by line. A test is named by the end of its file's path and its own name.

/// What there is to say of a line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shown {
    /// These tests show it.
    By(&'static [&'static str]),
    /// No test can, for this reason.
    Not(&'static str),
}

use Shown::{By, Not};

/// What a line asks for, in few words, and what there is to say of it. Line 1 is the first.
pub(crate) const LINES: [(&str, Shown); 57] = [
    // Requests, ACK, NACK, nonce.
    (
        "the node is said once, and must be",
        By(&[
            "serve/tests::a_stream_without_a_node_is_rejected",
            "serve/tests::a_sidecar_receives_publications_and_its_answers_are_recorded",
        ]),
    ),
    (
        "a type URL on ADS; implied elsewhere",
        By(&[
            "protocol/tests/limits::the_type_is_required_on_ads",
            "protocol/tests/limits::the_type_is_implied_on_single_services",
            "serve/tests::an_unknown_type_is_rejected",
            "serve/tests::a_discovery_service_serves_its_type",
        ]),
    ),
    (
        "an error makes a NACK, whatever the version",
        By(&["serve/tests::a_sidecar_receives_publications_and_its_answers_are_recorded"]),
    ),
    (
        "what was refused waits until it changes",
        By(&[
            "protocol/tests/answers::refused_content_is_parked_until_it_changes",
            "protocol/tests/answers::newer_content_answers_a_nack_at_once",
        ]),
    ),
    (
        "a refusal is seen",
        By(&[
            "protocol/tests/answers::a_refusal_is_told",
            "fleet/ack_tracker/tests::a_refusal_is_shown_until_it_is_cleared",
        ]),
    ),
    (
        "a bad resource says nothing of its neighbours",
        By(&[
            "protocol/tests/answers::a_bad_resource_is_told_from_its_neighbours",
            "protocol/tests/order::routes_taken_from_a_refused_response_keep_their_clusters",
        ]),
    ),
    ("an ACK clears the error", By(&["protocol/tests/answers::an_ack_clears_the_error"])),
    (
        "a stale nonce gets nothing; one of another stream opens",
        By(&[
            "protocol/tests/answers::a_stale_nonce_gets_no_response",
            "protocol/tests/answers::a_nonce_of_another_stream_is_an_opening",
        ]),
    ),
    (
        "one response of a type at a time",
        By(&["protocol/tests/answers::one_response_in_flight_and_then_the_latest"]),
    ),
    (
        "delta: names count whatever the nonce",
        By(&[
            "protocol/tests/answers::delta_names_count_whatever_the_nonce",
            "protocol/tests/answers::delta_names_may_ride_on_a_nack",
        ]),
    ),
    (
        "other names are a new subscription",
        By(&["protocol/tests/answers::other_names_are_a_new_subscription"]),
    ),
    ("an ACK gets no response", By(&["protocol/tests/answers::an_ack_gets_no_response"])),
    (
        "a newer request supersedes older ones",
        By(&[
            "protocol/tests/answers::a_newer_request_supersedes_older_ones",
            "protocol/tests/answers::a_request_that_crossed_with_the_first_response_counts",
        ]),
    ),
    (
        "no name twice in a response",
        By(&[
            "model/conversations::every_conversation_ends_well_sotw",
            "model/conversations::every_conversation_ends_well_delta",
        ]),
    ),
    // Subscriptions.
    (
        "silence means everything, until a name is said",
        By(&[
            "protocol/tests/subscriptions::legacy_wildcard_ends_with_the_first_name_sotw",
            "protocol/tests/subscriptions::legacy_wildcard_stays_beside_names_delta",
            "protocol/tests/subscriptions::no_legacy_wildcard_after_names_delta",
        ]),
    ),
    (
        "the wildcard can be left",
        By(&[
            "protocol/tests/subscriptions::the_wildcard_is_left_by_not_naming_it_sotw",
            "protocol/tests/subscriptions::leaving_the_wildcard_keeps_names_delta",
        ]),
    ),
    (
        "delta: everything and nothing at once is nothing",
        By(&["protocol/tests/subscriptions::both_at_once_wants_nothing"]),
    ),
    (
        "delta: a name that is asked for is answered, known or not",
        By(&[
            "protocol/tests/subscriptions::a_forgotten_resource_is_sent_again",
            "protocol/tests/subscriptions::a_name_that_left_and_came_back_is_sent_again",
        ]),
    ),
    (
        "delta: a name that the wildcard still covers is answered",
        By(&[
            "protocol/tests/subscriptions::unsubscribing_a_covered_name_is_answered",
            "protocol/tests/subscriptions::unsubscribing_a_covered_name_that_is_unknown_is_answered",
        ]),
    ),
    (
        "unsubscribing needs no response",
        By(&["protocol/tests/subscriptions::unsubscribing_needs_no_response"]),
    ),
    (
        "a missing name is remembered",
        By(&[
            "protocol/tests/subscriptions::a_missing_name_is_remembered_delta",
            "protocol/tests/subscriptions::a_missing_name_is_remembered_sotw",
        ]),
    ),
    (
        "SotW: clusters and listeners whole, the rest in parts",
        By(&[
            "protocol/tests/subscriptions::clusters_and_listeners_come_as_full_sets",
            "protocol/tests/subscriptions::a_smaller_set_is_sent",
            "protocol/tests/subscriptions::other_types_come_in_parts",
        ]),
    ),
    (
        "known names do not wait for unknown ones",
        By(&["protocol/tests/subscriptions::known_names_do_not_wait_for_unknown_ones"]),
    ),
    (
        "a returning client is told the difference, by content",
        By(&[
            "protocol/tests/subscriptions::a_returning_client_is_told_the_difference",
            "protocol/tests/subscriptions::a_returning_client_that_has_all_gets_an_empty_answer",
            "resources/tests/publishing::the_same_state_has_the_same_versions",
        ]),
    ),
    (
        "what a client holds is said once",
        By(&["protocol/tests/subscriptions::held_versions_count_once"]),
    ),
    ("locators are passed over", By(&["serve/tests::resource_locators_are_ignored"])),
    (
        "why a resource is absent",
        Not("optional, and not built: absence is said by removal, or by silence"),
    ),
    (
        "VHDS is delta only",
        By(&["protocol/tests/subscriptions::types_without_resources_are_tolerated"]),
    ),
    // Ordering, warming, deletion.
    ("a push goes in order", By(&["protocol/tests/order::a_push_goes_in_order"])),
    (
        "a route waits for its clusters",
        By(&[
            "protocol/tests/order::a_route_waits_for_its_clusters",
            "xds/scenarios::no_request_fails_while_versions_come_and_go_sotw",
            "xds/scenarios::no_request_fails_while_versions_come_and_go_delta",
        ]),
    ),
    (
        "a changed cluster gets its endpoints again",
        By(&["protocol/tests/order::a_changed_cluster_gets_its_endpoints_again"]),
    ),
    (
        "delta: and so it does after a reconnect",
        By(&["protocol/tests/order::a_returning_client_gets_the_endpoints_of_changed_clusters"]),
    ),
    (
        "a returning client is answered once, with nothing if need be",
        By(&[
            "protocol/tests/order::a_returning_client_is_always_answered_delta",
            "protocol/tests/order::a_returning_client_hears_of_unknown_endpoints_sotw",
        ]),
    ),
    (
        "endpoints kept by the proxy",
        Not("a switch of the proxy's, off unless set: lines 31 to 33 do without it"),
    ),
    // State of the world says no names of what a client holds. When one of its clusters went while
    // it was away, nobody can tell: the set that it gets first is without it, and its routes follow.
    (
        "a cluster goes after its routes",
        By(&[
            "protocol/tests/order::a_cluster_goes_after_its_routes",
            "protocol/tests/order::refused_routes_keep_their_clusters",
            "protocol/tests/order::routes_under_way_keep_their_clusters",
            "protocol/tests/order::a_returning_client_keeps_clusters_until_its_routes_are_known",
            "protocol/tests/order::a_returning_client_keeps_clusters_until_its_routes_are_known_sotw",
            "protocol/tests/order::a_rollback_waits_for_nothing",
        ]),
    ),
    (
        "weights sum to the same, never to nothing",
        By(&["resources/tests/routing::weights_always_sum_to_a_million"]),
    ),
    (
        "the filter is never taken away",
        By(&["resources/tests/resources::there_is_always_a_filter"]),
    ),
    (
        "a filter that does not come stops nothing",
        By(&[
            "resources/tests/resources::listeners_start_without_the_filter_if_they_must",
            "xds/scenarios::traffic_follows_the_state_sotw",
            "xds/scenarios::traffic_follows_the_state_delta",
        ]),
    ),
    (
        "stale route names are answered with removal",
        By(&["protocol/tests/order::stale_route_names_are_answered_with_removal"]),
    ),
    (
        "nothing names what is not there",
        By(&["resources/tests/publishing::nothing_names_what_is_not_there"]),
    ),
    (
        "no validation rules as a gate",
        Not("there is none: what is published is tried on real Envoys, in `xds/clients`"),
    ),
    // Liveness, load, security.
    (
        "resources that expire",
        Not("none do: when the control plane is away, traffic stays as it was"),
    ),
    (
        "latest wins, and nothing is queued",
        By(&["protocol/tests/answers::one_response_in_flight_and_then_the_latest"]),
    ),
    (
        "a slow client delays nobody",
        By(&["serve/tests/slow::a_client_that_does_not_read_is_closed_and_delays_no_other"]),
    ),
    (
        "requests first, and pushes not starved",
        By(&["serve/tests/slow::a_client_that_sends_requests_without_a_pause_receives_pushes"]),
    ),
    (
        "who does not read is closed and counted",
        By(&["serve/tests/slow::a_client_that_does_not_read_is_closed_and_delays_no_other"]),
    ),
    (
        "a rollback bypasses the debounce",
        Not("there is no debounce: each publication goes at once, and replaces what was not sent"),
    ),
    (
        "newcomers wait while the server is behind; too much is turned away",
        By(&[
            "serve/tests/lifetime::new_streams_wait_for_admission_and_are_served",
            "serve/admission::high_latency_halves_the_limit_once_per_generation",
            "serve/admission::permits_are_granted_in_the_order_of_arrival",
            "serve/tests::streams_over_the_quota_are_rejected",
        ]),
    ),
    (
        "streams end of age, not all at once, so that they move to where there is room",
        By(&[
            "serve/tests/lifetime::an_expired_stream_ends_after_its_ack",
            "serve/aging::ages_have_a_jitter_of_a_fifth",
        ]),
    ),
    ("dead peers are found", By(&["serve/tests/slow::a_silent_peer_is_pinged_and_then_closed"])),
    (
        "a server that stops ends its streams, one after the other",
        By(&[
            "serve/tests/lifetime::draining_ends_every_stream",
            "serve/tests/lifetime::a_stream_is_served_until_its_own_drain_time",
            "serve/aging::draining_spreads_the_ends_of_streams",
        ]),
    ),
    (
        "a client's own limits are no trap",
        By(&["resources/tests/resources::listeners_start_without_the_filter_if_they_must"]),
    ),
    (
        "certificates say who a client is",
        By(&[
            "transport/tests/access::a_sidecar_is_served_in_the_fleet_of_its_identity",
            "transport/tests/access::an_identity_that_names_its_node_may_use_no_other_node_id",
            "transport/tests/access::the_node_id_of_a_connected_sidecar_cannot_be_used_by_others",
            "transport/tests/access::a_certificate_without_an_identity_is_denied_with_the_reason",
            "transport/tests/handshakes::a_client_without_a_certificate_of_the_ca_fails_the_handshake",
            "tls/envoy::real_envoys_over_mutual_tls",
        ]),
    ),
    (
        "a client sees its own fleet",
        By(&[
            "resources/tests/publishing::a_fleet_sees_its_own_services",
            "serve/tests::an_unknown_fleet_is_rejected",
            "transport/tests/access::another_fleet_is_denied_without_revealing_its_patterns",
        ]),
    ),
    (
        "everything is bounded",
        By(&[
            "protocol/tests/limits::names_are_bounded_sotw",
            "protocol/tests/limits::names_are_bounded_delta",
            "protocol/tests/limits::an_error_is_kept_in_part",
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
        "what is known of a stream goes with it",
        By(&[
            "serve/tests::a_disconnected_sidecar_is_not_counted",
            "fleet/ack_tracker/tests::the_gone_are_remembered_for_a_while",
        ]),
    ),
    (
        "a version is the hash of its content",
        By(&[
            "resources/tests/publishing::the_same_state_has_the_same_versions",
            "resources/tests/publishing::the_same_state_is_no_publication",
        ]),
    ),
];
