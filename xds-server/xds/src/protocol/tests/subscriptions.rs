//! Checklist 1b: which names a client wants.

use super::support::*;
use crate::kind::Kind;
use crate::protocol::{Delta, Scope, Session, Sotw};

/// Line 15: never having named anything means everything; after that, silence means nothing.
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
    client.expect_silence();
}

/// Line 15: in delta a name is wanted on top of the legacy wildcard, which stays until `*` is
/// unsubscribed.
#[test]
fn legacy_wildcard_stays_beside_names_delta() {
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
    client.expect_silence();
}

/// Line 15: a delta stream that opened with names has no legacy wildcard later.
#[test]
fn no_legacy_wildcard_after_names_delta() {
    let clusters = [cluster("a", 1), cluster("b", 1)];
    let mut client = Client::<Delta>::aggregated(snapshot(1, &clusters));
    client.send(Kind::Cluster, "", &["a"], &[]);
    client.accept(Kind::Cluster, &["a"]);
    client.send(Kind::Cluster, "", &[], &["a"]);
    client.send(Kind::Cluster, "", &[], &[]);
    client.publish(snapshot(2, &[cluster("a", 2), cluster("b", 2)]));
    client.expect_silence();
}

/// Line 16: naming less than before leaves the wildcard.
#[test]
fn the_wildcard_is_left_by_not_naming_it_sotw() {
    let clusters = [cluster("a", 1), cluster("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &clusters));
    client.send(Kind::Cluster, "", None, &["*", "a"]);
    let all = client.expect(Kind::Cluster, &["a", "b"]);
    client.send(Kind::Cluster, &all.nonce, None, &["a"]);
    client.expect_silence();
    client.publish(snapshot(2, &[cluster("a", 1), cluster("b", 2)]));
    client.expect_silence();
    client.publish(snapshot(3, &[cluster("a", 3), cluster("b", 3)]));
    client.accept(Kind::Cluster, &["a"]);
}

/// Line 16: unsubscribing from `*` keeps explicit names.
#[test]
fn leaving_the_wildcard_keeps_names_delta() {
    let clusters = [cluster("a", 1), cluster("b", 1)];
    let mut client = Client::<Delta>::aggregated(snapshot(1, &clusters));
    client.send(Kind::Cluster, "", &["*", "a"], &[]);
    client.accept(Kind::Cluster, &["a", "b"]);
    client.send(Kind::Cluster, "", &[], &["*"]);
    client.expect_silence();
    client.publish(snapshot(2, &[cluster("a", 2), cluster("b", 2)]));
    client.accept(Kind::Cluster, &["a"]);
}

/// Line 17: subscribing to `*` and unsubscribing from it in one message wants nothing.
#[test]
fn both_at_once_wants_nothing() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[cluster("a", 1)]));
    client.send(Kind::Cluster, "", &["*"], &["*"]);
    client.publish(snapshot(2, &[cluster("a", 2)]));
    client.expect_silence();
    client.send(Kind::Cluster, "", &["a"], &[]);
    client.accept(Kind::Cluster, &["a"]);
}

/// Line 18: every name in `subscribe` is answered, even if the client is believed to have it.
#[test]
fn a_forgotten_resource_is_sent_again() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[route("a", 1, &[])]));
    client.send(Kind::Route, "", &["a"], &[]);
    client.accept(Kind::Route, &["a"]);
    client.send(Kind::Route, "", &["a"], &[]);
    client.accept(Kind::Route, &["a"]);
    client.expect_silence();
}

/// Line 18: and again if it unsubscribed and came back while the first response was under way.
#[test]
fn a_name_that_left_and_came_back_is_sent_again() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[route("a", 1, &[])]));
    client.send(Kind::Route, "", &["a"], &[]);
    let first = client.expect(Kind::Route, &["a"]);
    client.send(Kind::Route, "", &[], &["a"]);
    client.send(Kind::Route, "", &["a"], &[]);
    client.ack(&first);
    client.accept(Kind::Route, &["a"]);
    client.expect_silence();
}

/// Line 19: a name that the wildcard still covers is answered when it is unsubscribed.
#[test]
fn unsubscribing_a_covered_name_is_answered() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[cluster("a", 1)]));
    client.send(Kind::Cluster, "", &["*", "a", "gone"], &[]);
    let first = client.expect(Kind::Cluster, &["a"]);
    assert_eq!(removed(&first), ["gone"]);
    client.ack(&first);
    client.expect_silence();
    client.send(Kind::Cluster, "", &[], &["a", "gone"]);
    let second = client.expect(Kind::Cluster, &["a"]);
    assert_eq!(removed(&second), ["gone"]);
    client.ack(&second);
    client.expect_silence();
}

/// Line 19: also if nothing was said of the name before.
#[test]
fn unsubscribing_a_covered_name_that_is_unknown_is_answered() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[cluster("a", 1)]));
    client.send(Kind::Cluster, "", &["*", "gone"], &[]);
    client.send(Kind::Cluster, "", &[], &["gone"]);
    let response = client.expect(Kind::Cluster, &["a"]);
    assert_eq!(removed(&response), ["gone"]);
    client.ack(&response);
    client.expect_silence();
}

/// Line 20: unsubscribing from what was never subscribed is passed over; a plain unsubscription
/// needs no response.
#[test]
fn unsubscribing_needs_no_response() {
    let routes = [route("a", 1, &[]), route("b", 1, &[])];
    let mut client = Client::<Delta>::aggregated(snapshot(1, &routes));
    client.send(Kind::Route, "", &["a"], &[]);
    client.accept(Kind::Route, &["a"]);
    client.send(Kind::Route, "", &[], &["b", "no such name"]);
    client.expect_silence();
    client.send(Kind::Route, "", &[], &["a"]);
    client.publish(snapshot(2, &[route("a", 2, &[])]));
    client.expect_silence();
}

/// Line 21: what is missing is said once to be gone, and sent when it appears.
#[test]
fn a_missing_name_is_remembered_delta() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[]));
    client.send(Kind::Route, "", &["a"], &[]);
    let response = client.expect(Kind::Route, &[]);
    assert_eq!(removed(&response), ["a"]);
    client.ack(&response);
    client.publish(snapshot(2, &[route("b", 1, &[])]));
    client.expect_silence();
    client.publish(snapshot(3, &[route("a", 1, &[])]));
    client.accept(Kind::Route, &["a"]);
}

/// Line 21: state of the world is silent about it.
#[test]
fn a_missing_name_is_remembered_sotw() {
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &[]));
    client.send(Kind::Route, "", None, &["a"]);
    client.expect_silence();
    client.publish(snapshot(2, &[route("a", 1, &[])]));
    client.accept(Kind::Route, &["a"]);
}

/// Line 22: a response of clusters or listeners is the whole set, an empty one included.
#[test]
fn clusters_and_listeners_come_as_full_sets() {
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

/// Line 22: a set that shrinks is sent, because absence deletes.
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
    client.expect_silence();
}

/// Line 22: of the other types only what changed is sent, and absence means nothing.
#[test]
fn other_types_come_in_parts() {
    let endpoints = [endpoint("a", 1), endpoint("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &endpoints));
    client.send(Kind::Endpoint, "", None, &["a", "b"]);
    client.accept(Kind::Endpoint, &["a", "b"]);
    client.publish(snapshot(2, &[endpoint("a", 1), endpoint("b", 2)]));
    client.accept(Kind::Endpoint, &["b"]);
    client.publish(snapshot(3, &[endpoint("a", 1)]));
    client.expect_silence();
}

/// Line 23: endpoints are not held back because some of the names are unknown.
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

/// Line 24: a client that comes back is told what differs, and what no longer exists.
#[test]
fn a_returning_client_is_told_the_difference() {
    let (same, changed) = (cluster("same", 1), cluster("changed", 2));
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[]));
    // With no routes on this stream nothing has to wait for them.
    let scope = Scope::Only(Kind::Cluster);
    client.session = Session::new(scope, snapshot(1, &[same.clone(), changed]));
    let held = [("same", same.version()), ("changed", "an old version"), ("gone", "any")];
    client.resume(Kind::Cluster, &["*"], &held);
    let response = client.expect(Kind::Cluster, &["changed"]);
    assert_eq!(removed(&response), ["gone"]);
    client.ack(&response);
    client.expect_silence();
}

/// Line 24, line 33: with no difference the answer is empty, but it comes.
#[test]
fn a_returning_client_that_has_all_gets_an_empty_answer() {
    let same = cluster("same", 1);
    let mut client = Client::<Delta>::aggregated(snapshot(1, std::slice::from_ref(&same)));
    client.resume(Kind::Cluster, &["*"], &[("same", same.version())]);
    client.accept(Kind::Cluster, &[]);
    client.expect_silence();
}

/// Line 25: what a client says that it holds counts in the first message of a type only.
#[test]
fn held_versions_count_once() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &[cluster("a", 1)]));
    client.resume(Kind::Cluster, &["*"], &[]);
    client.accept(Kind::Cluster, &["a"]);
    let held = [("a", "another version"), ("b", "any")];
    client.request(Kind::Cluster, "", None, &[], &[], &held);
    client.expect_silence();
}

both! {
    /// Line 28: types of which there is nothing are no offence. Delta says that the names are
    /// gone, state of the world says nothing.
    fn types_without_resources_are_tolerated<C: Speak>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        for kind in [Kind::Secret, Kind::Runtime, Kind::VirtualHost, Kind::ScopedRoute] {
            client.want(kind, &["x"]);
            while let Some(response) = client.next() {
                assert_eq!((named(&response), removed(&response)), (vec![], owned(&["x"])));
                client.ack(&response);
            }
        }
        client.want(Kind::Cluster, &[]);
        client.accept(Kind::Cluster, &["a"]);
    }
}
