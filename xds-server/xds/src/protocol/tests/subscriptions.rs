//! Checklist 1b: subscriptions.

use super::support::*;
use crate::kind::Kind;
use crate::protocol::{Delta, Scope, Session, Sotw};

/// Line 15: a request without names subscribes to everything before the first name, and to nothing after it.
#[test]
fn legacy_wildcard_ends_with_the_first_name_sotw() {
    let clusters = [cluster("a", 1), cluster("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &clusters));
    client.send(Kind::Cluster, "", None, &[]);
    let all = client.expect(Kind::Cluster, &["a", "b"]);
    client.send(Kind::Cluster, &all.nonce, None, &["a"]);
    let one = client.expect(Kind::Cluster, &["a"]);
    client.send(Kind::Cluster, &one.nonce, None, &[]);
    client.publish(snapshot(2, &[cluster("a", 2), cluster("b", 2)]));
    client.expect_none();
}

/// Line 15: in delta a name is added to the legacy wildcard, which stays until `*` is unsubscribed.
#[test]
fn legacy_wildcard_stays_with_names_delta() {
    let clusters = [cluster("a", 1), cluster("b", 1)];
    let mut client = Client::<Delta>::aggregated(snapshot(1, &clusters));
    client.send(Kind::Cluster, "", &[], &[]);
    client.accept(Kind::Cluster, &["a", "b"]);
    client.send(Kind::Cluster, "", &["a"], &[]);
    client.accept(Kind::Cluster, &["a"]);
    client.publish(snapshot(2, &[cluster("a", 1), cluster("b", 2)]));
    client.accept(Kind::Cluster, &["b"]);
    client.send(Kind::Cluster, "", &[], &["*"]);
    client.publish(snapshot(3, &[cluster("a", 3), cluster("b", 3)]));
    client.accept(Kind::Cluster, &["a"]);
    client.expect_none();
}

/// Line 15: a delta stream whose first request has names never gets the legacy wildcard.
#[test]
fn no_legacy_wildcard_after_names_delta() {
    let clusters = [cluster("a", 1), cluster("b", 1)];
    let mut client = Client::<Delta>::aggregated(snapshot(1, &clusters));
    client.send(Kind::Cluster, "", &["a"], &[]);
    client.accept(Kind::Cluster, &["a"]);
    client.send(Kind::Cluster, "", &[], &["a"]);
    client.send(Kind::Cluster, "", &[], &[]);
    client.publish(snapshot(2, &[cluster("a", 2), cluster("b", 2)]));
    client.expect_none();
}

/// Line 16: a request without `*` removes the wildcard.
#[test]
fn a_request_without_the_wildcard_removes_it_sotw() {
    let clusters = [cluster("a", 1), cluster("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &clusters));
    client.send(Kind::Cluster, "", None, &["*", "a"]);
    let all = client.expect(Kind::Cluster, &["a", "b"]);
    client.send(Kind::Cluster, &all.nonce, None, &["a"]);
    client.expect_none();
    client.publish(snapshot(2, &[cluster("a", 1), cluster("b", 2)]));
    client.expect_none();
    client.publish(snapshot(3, &[cluster("a", 3), cluster("b", 3)]));
    client.accept(Kind::Cluster, &["a"]);
}

/// Line 16: unsubscribing from `*` keeps explicit names.
#[test]
fn unsubscribing_the_wildcard_keeps_names_delta() {
    let clusters = [cluster("a", 1), cluster("b", 1)];
    let mut client = Client::<Delta>::aggregated(snapshot(1, &clusters));
    client.send(Kind::Cluster, "", &["*", "a"], &[]);
    client.accept(Kind::Cluster, &["a", "b"]);
    client.send(Kind::Cluster, "", &[], &["*"]);
    client.expect_none();
    client.publish(snapshot(2, &[cluster("a", 2), cluster("b", 2)]));
    client.accept(Kind::Cluster, &["a"]);
}

/// Line 17: `*` in `subscribe` and `unsubscribe` of one request is unsubscribed.
#[test]
fn subscribe_and_unsubscribe_in_one_request_is_unsubscribed() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[cluster("a", 1)]));
    client.send(Kind::Cluster, "", &["*"], &["*"]);
    client.publish(snapshot(2, &[cluster("a", 2)]));
    client.expect_none();
    client.send(Kind::Cluster, "", &["a"], &[]);
    client.accept(Kind::Cluster, &["a"]);
}

/// Line 18: every name in `subscribe` is answered, even if the client has ACKed the content.
#[test]
fn a_repeated_subscription_is_answered_again() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[route("a", 1, &[])]));
    client.send(Kind::Route, "", &["a"], &[]);
    client.accept(Kind::Route, &["a"]);
    client.send(Kind::Route, "", &["a"], &[]);
    client.accept(Kind::Route, &["a"]);
    client.expect_none();
}

/// Line 18: also if it was unsubscribed and subscribed again while the first response was in flight.
#[test]
fn a_renewed_subscription_is_answered_again() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[route("a", 1, &[])]));
    client.send(Kind::Route, "", &["a"], &[]);
    let first = client.expect(Kind::Route, &["a"]);
    client.send(Kind::Route, "", &[], &["a"]);
    client.send(Kind::Route, "", &["a"], &[]);
    client.ack(&first);
    client.accept(Kind::Route, &["a"]);
    client.expect_none();
}

/// Line 19: a name that the wildcard still covers is answered when it is unsubscribed.
#[test]
fn unsubscribing_a_covered_name_is_answered() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[cluster("a", 1)]));
    client.send(Kind::Cluster, "", &["*", "a", "gone"], &[]);
    let first = client.expect(Kind::Cluster, &["a"]);
    assert_eq!(removed(&first), ["gone"]);
    client.ack(&first);
    client.expect_none();
    client.send(Kind::Cluster, "", &[], &["a", "gone"]);
    let second = client.expect(Kind::Cluster, &["a"]);
    assert_eq!(removed(&second), ["gone"]);
    client.ack(&second);
    client.expect_none();
}

/// Line 19: also if the name was never sent.
#[test]
fn unsubscribing_a_covered_name_that_is_unknown_is_answered() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[cluster("a", 1)]));
    client.send(Kind::Cluster, "", &["*", "gone"], &[]);
    client.send(Kind::Cluster, "", &[], &["gone"]);
    let response = client.expect(Kind::Cluster, &["a"]);
    assert_eq!(removed(&response), ["gone"]);
    client.ack(&response);
    client.expect_none();
}

/// Line 20: an unsubscription without a subscription is ignored; any other needs no response.
#[test]
fn unsubscribing_needs_no_response() {
    let routes = [route("a", 1, &[]), route("b", 1, &[])];
    let mut client = Client::<Delta>::aggregated(snapshot(1, &routes));
    client.send(Kind::Route, "", &["a"], &[]);
    client.accept(Kind::Route, &["a"]);
    client.send(Kind::Route, "", &[], &["b", "no such name"]);
    client.expect_none();
    client.send(Kind::Route, "", &[], &["a"]);
    client.publish(snapshot(2, &[route("a", 2, &[])]));
    client.expect_none();
}

/// Line 21: a missing resource is removed once, and sent when it appears.
#[test]
fn a_missing_resource_is_sent_when_it_appears_delta() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[]));
    client.send(Kind::Route, "", &["a"], &[]);
    let response = client.expect(Kind::Route, &[]);
    assert_eq!(removed(&response), ["a"]);
    client.ack(&response);
    client.publish(snapshot(2, &[route("b", 1, &[])]));
    client.expect_none();
    client.publish(snapshot(3, &[route("a", 1, &[])]));
    client.accept(Kind::Route, &["a"]);
}

/// Line 21: in state of the world nothing is sent before that.
#[test]
fn a_missing_resource_is_sent_when_it_appears_sotw() {
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &[]));
    client.send(Kind::Route, "", None, &["a"]);
    client.expect_none();
    client.publish(snapshot(2, &[route("a", 1, &[])]));
    client.accept(Kind::Route, &["a"]);
}

/// Line 22: a response of clusters or listeners is the full set, also if that is empty.
#[test]
fn clusters_and_listeners_are_full_sets() {
    for (kind, make) in [(Kind::Cluster, cluster as fn(&str, u32) -> _), (Kind::Listener, listener)]
    {
        let mut client = Client::<Sotw>::aggregated(snapshot(1, &[]));
        client.send(kind, "", None, &[]);
        client.accept(kind, &[]);
        client.publish(snapshot(2, &[make("a", 1), make("b", 1)]));
        client.accept(kind, &["a", "b"]);
        client.publish(snapshot(3, &[make("a", 1), make("b", 2)]));
        client.accept(kind, &["a", "b"]);
    }
}

/// Line 22: a smaller set is sent, because it removes resources.
#[test]
fn a_smaller_set_is_sent() {
    let listeners = [listener("a", 1), listener("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &listeners));
    client.send(Kind::Listener, "", None, &[]);
    client.accept(Kind::Listener, &["a", "b"]);
    client.publish(snapshot(2, &[listener("a", 1)]));
    client.accept(Kind::Listener, &["a"]);
    client.publish(snapshot(3, &[]));
    client.accept(Kind::Listener, &[]);
    client.expect_none();
}

/// Line 22: responses of the other types contain changes only, and remove nothing.
#[test]
fn other_types_are_subsets() {
    let endpoints = [endpoint("a", 1), endpoint("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &endpoints));
    client.send(Kind::Endpoint, "", None, &["a", "b"]);
    client.accept(Kind::Endpoint, &["a", "b"]);
    client.publish(snapshot(2, &[endpoint("a", 1), endpoint("b", 2)]));
    client.accept(Kind::Endpoint, &["b"]);
    client.publish(snapshot(3, &[endpoint("a", 1)]));
    client.expect_none();
}

/// Line 23: endpoints do not wait for unknown names.
#[test]
fn known_names_do_not_wait_for_unknown_ones() {
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &[endpoint("a", 1)]));
    client.send(Kind::Endpoint, "", None, &["a"]);
    let first = client.expect(Kind::Endpoint, &["a"]);
    client.ack(&first);
    client.publish(snapshot(2, &[endpoint("a", 2)]));
    let second = client.expect(Kind::Endpoint, &["a"]);
    client.send(Kind::Endpoint, &second.nonce, None, &["a", "unknown"]);
    client.publish(snapshot(3, &[endpoint("a", 3)]));
    client.accept(Kind::Endpoint, &["a"]);
}

/// Line 24: a client that reconnects gets changed and removed resources.
#[test]
fn a_returning_client_gets_the_difference() {
    let (same, changed) = (cluster("same", 1), cluster("changed", 2));
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[]));
    // On a stream without routes, removals wait for nothing.
    let scope = Scope::Only(Kind::Cluster);
    client.session = Session::new(scope, snapshot(1, &[same.clone(), changed]));
    let held = [("same", same.version()), ("changed", "an old version"), ("gone", "any")];
    client.resume(Kind::Cluster, &["*"], &held);
    let response = client.expect(Kind::Cluster, &["changed"]);
    assert_eq!(removed(&response), ["gone"]);
    client.ack(&response);
    client.expect_none();
}

/// Line 24, line 33: without a difference the response is empty.
#[test]
fn a_returning_client_without_a_difference_gets_an_empty_response() {
    let same = cluster("same", 1);
    let mut client = Client::<Delta>::aggregated(snapshot(1, std::slice::from_ref(&same)));
    client.resume(Kind::Cluster, &["*"], &[("same", same.version())]);
    client.accept(Kind::Cluster, &[]);
    client.expect_none();
}

/// Line 25: initial resource versions apply in the first request of a type only.
#[test]
fn initial_versions_apply_to_the_first_request_only() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[cluster("a", 1)]));
    client.resume(Kind::Cluster, &["*"], &[]);
    client.accept(Kind::Cluster, &["a"]);
    let held = [("a", "another version"), ("b", "any")];
    client.request(Kind::Cluster, "", None, &[], &[], &held);
    client.expect_none();
}

both! {
    /// Line 28: requests for types without resources are valid. Delta removes the names, state of the world sends nothing.
    fn types_without_resources_are_valid<C: ClientOps>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        for kind in [Kind::Secret, Kind::Runtime, Kind::VirtualHost, Kind::ScopedRoute] {
            client.subscribe(kind, &["x"]);
            while let Some(response) = client.next() {
                assert_eq!((named(&response), removed(&response)), (vec![], owned(&["x"])));
                client.ack(&response);
            }
        }
        client.subscribe(Kind::Cluster, &[]);
        client.accept(Kind::Cluster, &["a"]);
    }
}
