//! Checklist 1c: what must wait for what.

use std::sync::Arc;

use super::support::*;
use crate::kind::Kind;
use crate::protocol::{Delta, Scope, Session, Sotw};
use crate::resources::Resource;

/// A mesh of one listener `l` whose route names these clusters.
pub(super) fn mesh(content: u32, clusters: &[&str]) -> Vec<Arc<Resource>> {
    let mut all = vec![listener("l", 1), extension(content), route("l", content, clusters)];
    for name in clusters {
        all.extend([cluster(name, 1), endpoint(name, 1)]);
    }
    all
}

/// Subscribes as Envoy does, and accepts everything.
pub(super) fn start<C: Speak>(serial: u64, content: u32, clusters: &[&str]) -> C {
    let mut client = C::aggregated(snapshot(serial, &mesh(content, clusters)));
    client.want(Kind::Cluster, &[]);
    client.want(Kind::Endpoint, clusters);
    client.want(Kind::Listener, &[]);
    client.want(Kind::Extension, &[FILTER]);
    client.want(Kind::Route, &["l"]);
    client.accept(Kind::Cluster, clusters);
    client.accept(Kind::Endpoint, clusters);
    client.accept(Kind::Listener, &["l"]);
    client.accept(Kind::Extension, &[FILTER]);
    client.accept(Kind::Route, &["l"]);
    client.expect_silence();
    assert_eq!(client.synced(), serial);
    client
}

both! {
    /// Line 29: whatever order they were asked for in, clusters go first, then endpoints,
    /// listeners, filters, routes.
    fn a_push_goes_in_order<C: Speak>() {
        let mut client = C::aggregated(snapshot(1, &mesh(1, &["a"])));
        client.want(Kind::Route, &["l"]);
        client.want(Kind::Extension, &[FILTER]);
        client.want(Kind::Listener, &[]);
        client.want(Kind::Endpoint, &["a"]);
        client.want(Kind::Cluster, &[]);
        client.accept(Kind::Cluster, &["a"]);
        client.accept(Kind::Endpoint, &["a"]);
        client.accept(Kind::Listener, &["l"]);
        client.accept(Kind::Extension, &[FILTER]);
        client.accept(Kind::Route, &["l"]);
    }
}

both! {
    /// Line 30: a route waits until the client has answered every cluster that it names.
    fn a_route_waits_for_its_clusters<C: Speak>() {
        let mut client = start::<C>(1, 1, &["a"]);
        client.publish(snapshot(2, &mesh(2, &["a", "b"])));
        let clusters = client.next().unwrap();
        client.accept(Kind::Extension, &[FILTER]);
        client.want(Kind::Endpoint, &["b"]);
        client.accept(Kind::Endpoint, &["b"]);
        client.expect_silence();
        assert_eq!(client.synced(), 1, "the new cluster is still warming");
        client.ack(&clusters);
        client.accept(Kind::Route, &["l"]);
        client.expect_silence();
        assert_eq!(client.synced(), 2);
    }
}

both! {
    /// Line 30: a rollback to clusters that the client has waits for nothing, not even while
    /// another cluster warms.
    fn a_rollback_waits_for_nothing<C: Speak>() {
        let mut client = start::<C>(1, 1, &["a", "b"]);
        let with_new = |route_content, clusters: &[&str]| {
            let mut all = mesh(1, &["a", "b"]);
            all.retain(|resource| resource.kind() != Kind::Route);
            all.extend([cluster("c", 1), endpoint("c", 1), route("l", route_content, clusters)]);
            all
        };
        client.publish(snapshot(2, &with_new(2, &["a", "b", "c"])));
        assert_eq!(client.next().unwrap().kind, Kind::Cluster);
        client.expect_silence();
        client.publish(snapshot(3, &with_new(3, &["a", "b"])));
        client.accept(Kind::Route, &["l"]);
    }
}

both! {
    /// Line 30: one service's routes do not wait for another's clusters. While `slow` waits for its
    /// new cluster, `order` is rolled back, in the same route configuration.
    fn a_rollback_does_not_wait_for_another_service<C: Speak>() {
        let with = |order, slow, slow_clusters: &[&str]| {
            let mut all = mesh(1, &["a", "b"]);
            all.retain(|resource| resource.kind() != Kind::Route);
            let services = [("order", order, &["a"][..]), ("slow", slow, slow_clusters)];
            all.push(routes("l", &services));
            all
        };
        let mut client = start::<C>(1, 1, &["a", "b"]);
        client.publish(snapshot(2, &with(1, 1, &["b"])));
        client.accept(Kind::Route, &["l"]);
        client.expect_silence();
        let with_new = |order| {
            let mut all = with(order, 2, &["b", "c"]);
            all.extend([cluster("c", 1), endpoint("c", 1)]);
            all
        };
        client.publish(snapshot(3, &with_new(1)));
        let clusters = client.next().unwrap();
        assert_eq!(clusters.kind, Kind::Cluster);
        client.expect_silence();

        client.publish(snapshot(4, &with_new(2)));
        let rolled_back = client.expect(Kind::Route, &["l"]);
        let expected = routes("l", &[("order", 2, &["a"]), ("slow", 1, &["b"])]);
        assert_eq!(rolled_back.resources[0].version(), expected.version());
        client.ack(&rolled_back);
        client.expect_silence();
        assert_eq!(client.synced(), 2);

        client.ack(&clusters);
        let whole = client.expect(Kind::Route, &["l"]);
        let expected = routes("l", &[("order", 2, &["a"]), ("slow", 2, &["b", "c"])]);
        assert_eq!(whole.resources[0].version(), expected.version());
    }
}

both! {
    /// A refusal is an answer: refused clusters do not hold routes back for ever, since another
    /// service's rollback may be in the same route configuration.
    fn a_refused_cluster_holds_no_route_back<C: Speak>() {
        let mut client = start::<C>(1, 1, &["a"]);
        client.publish(snapshot(2, &mesh(2, &["a", "b"])));
        let clusters = client.next().unwrap();
        client.accept(Kind::Extension, &[FILTER]);
        client.expect_silence();
        client.nack(&clusters);
        client.accept(Kind::Route, &["l"]);
    }
}

/// A client that asks for routes first and for clusters by name when it sees them (gRPC does)
/// is not kept waiting for clusters that it did not ask for.
#[test]
fn clusters_that_nobody_asked_for_hold_no_route_back() {
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &mesh(1, &["a"])));
    client.want(Kind::Route, &["l"]);
    client.accept(Kind::Route, &["l"]);
    client.want(Kind::Cluster, &["a"]);
    client.accept(Kind::Cluster, &["a"]);
    client.publish(snapshot(2, &mesh(2, &["a", "b"])));
    client.accept(Kind::Route, &["l"]);
}

/// A stream of one type is not kept waiting for what comes on another.
#[test]
fn a_route_stream_alone_waits_for_nothing() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &mesh(1, &["a"])));
    client.session = Session::new(Scope::Only(Kind::Route), snapshot(1, &mesh(1, &["a"])));
    client.want(Kind::Route, &["l"]);
    client.accept(Kind::Route, &["l"]);
    client.expect_silence();
    assert_eq!(client.synced(), 1);
}

both! {
    /// Line 31: a cluster that changed gets its endpoints again, even though they did not change;
    /// one that did not change does not.
    fn a_changed_cluster_gets_its_endpoints_again<C: Speak>() {
        let mut client = start::<C>(1, 1, &["a", "b"]);
        let mut changed = mesh(1, &["a", "b"]);
        changed.retain(|resource| (resource.kind(), &**resource.name()) != (Kind::Cluster, "a"));
        changed.push(cluster("a", 2));
        client.publish(snapshot(2, &changed));
        let clusters = client.next().unwrap();
        assert_eq!(clusters.kind, Kind::Cluster);
        client.accept(Kind::Endpoint, &["a"]);
        client.ack(&clusters);
        client.expect_silence();
        assert_eq!(client.synced(), 2);
    }
}

/// Line 32: after a reconnection, in whatever order the types are asked for, a cluster that
/// changed meanwhile gets its endpoints, though the client says that it has them.
#[test]
fn a_returning_client_gets_the_endpoints_of_changed_clusters() {
    for endpoints_first in [true, false] {
        let all = mesh(1, &["a"]);
        let endpoints = endpoint("a", 1);
        let mut client = Client::<Delta>::aggregated(snapshot(1, &all));
        let held = [("a", endpoints.version())];
        if endpoints_first {
            client.resume(Kind::Endpoint, &["a"], &held);
            client.accept(Kind::Endpoint, &["a"]);
            client.expect_silence();
        }
        client.resume(Kind::Cluster, &["*"], &[("a", "an old version")]);
        client.accept(Kind::Cluster, &["a"]);
        if !endpoints_first {
            client.resume(Kind::Endpoint, &["a"], &held);
        }
        client.accept(Kind::Endpoint, &["a"]);
        client.expect_silence();
    }
}

/// Line 33: after a reconnection every type is answered once, even if the client says that it has
/// it: something of it may be warming.
#[test]
fn a_returning_client_is_always_answered_delta() {
    let all = mesh(1, &["a"]);
    let mut client = Client::<Delta>::aggregated(snapshot(1, &all));
    for resource in &all {
        let (kind, name) = (resource.kind(), &**resource.name());
        client.resume(kind, &[name], &[(name, resource.version())]);
        client.accept(kind, &[name]);
    }
    client.expect_silence();
}

/// Line 33: endpoints of a cluster that is gone are said to be none, or the cluster would warm for
/// ever; that holds for the first request only.
#[test]
fn a_returning_client_hears_of_unknown_endpoints_sotw() {
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &mesh(1, &["a"])));
    client.send(Kind::Endpoint, "old nonce", None, &["a", "gone"]);
    let response = client.expect(Kind::Endpoint, &["a", "gone"]);
    client.ack(&response);
    client.send(Kind::Endpoint, &response.nonce, None, &["a", "gone", "unknown"]);
    client.expect_silence();
}

both! {
    /// Line 35: a cluster that is gone stays until the client has accepted routes without it.
    fn a_cluster_goes_after_its_routes<C: Speak>() {
        let mut client = start::<C>(1, 1, &["a", "b"]);
        client.publish(snapshot(2, &mesh(2, &["a"])));
        client.accept(Kind::Extension, &[FILTER]);
        let routes = client.expect(Kind::Route, &["l"]);
        client.expect_silence();
        assert_eq!(client.synced(), 1);
        client.ack(&routes);
        let clusters = client.next().unwrap();
        assert_eq!((clusters.kind, removed(&clusters)), (Kind::Cluster, owned(&["b"])));
        client.ack(&clusters);
        // Its endpoints went with it, or go after it.
        while let Some(response) = client.next() {
            assert_eq!((response.kind, removed(&response)), (Kind::Endpoint, owned(&["b"])));
            client.ack(&response);
        }
        assert_eq!(client.synced(), 2);
    }
}

/// Line 35: a set of clusters that must be sent meanwhile still holds the one that is gone.
#[test]
fn a_full_set_keeps_what_is_still_in_use() {
    let mut client = start::<Client<Sotw>>(1, 1, &["a", "b"]);
    client.publish(snapshot(2, &mesh(2, &["a", "c"])));
    client.accept(Kind::Cluster, &["a", "b", "c"]);
    client.accept(Kind::Extension, &[FILTER]);
    client.accept(Kind::Route, &["l"]);
    client.accept(Kind::Cluster, &["a", "c"]);
    client.expect_silence();
    assert_eq!(client.synced(), 2);
}

both! {
    /// Line 35: while it refuses the new routes, the client acts on the old ones and keeps their
    /// clusters.
    fn refused_routes_keep_their_clusters<C: Speak>() {
        let mut client = start::<C>(1, 1, &["a", "b"]);
        client.publish(snapshot(2, &mesh(2, &["a"])));
        client.accept(Kind::Extension, &[FILTER]);
        let routes = client.expect(Kind::Route, &["l"]);
        client.nack(&routes);
        client.expect_silence();
        assert_eq!(client.synced(), 2, "a refusal is an answer");
        client.publish(snapshot(3, &mesh(3, &["a"])));
        client.accept(Kind::Extension, &[FILTER]);
        client.accept(Kind::Route, &["l"]);
        assert_eq!(client.next().unwrap().kind, Kind::Cluster);
    }
}

/// Line 35: a client that comes back with a cluster that is gone may still route to it, until it
/// has accepted routes on this stream.
#[test]
fn a_returning_client_keeps_clusters_until_its_routes_are_known() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &mesh(1, &["a"])));
    let a = cluster("a", 1);
    client.resume(Kind::Cluster, &["*"], &[("a", a.version()), ("gone", "any")]);
    client.accept(Kind::Cluster, &[]);
    client.expect_silence();
    client.resume(Kind::Route, &["l"], &[("l", "an old version")]);
    client.accept(Kind::Route, &["l"]);
    let clusters = client.expect(Kind::Cluster, &[]);
    assert_eq!(removed(&clusters), ["gone"]);
}

/// Line 35: state of the world does not say which routes a returning client has; none are known
/// until it has accepted some, or wants them no longer.
#[test]
fn a_returning_client_keeps_clusters_until_its_routes_are_known_sotw() {
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &[cluster("a", 1)]));
    client.want(Kind::Cluster, &[]);
    client.accept(Kind::Cluster, &["a"]);
    client.send(Kind::Route, "old", None, &["l"]);
    client.publish(snapshot(2, &[]));
    client.expect_silence();
    client.send(Kind::Route, "", None, &[]);
    client.accept(Kind::Cluster, &[]);
}

/// Line 35: routes that are under way count, even if the client wanted them no longer when it
/// asked last: it may want them again when they arrive.
#[test]
fn routes_under_way_keep_their_clusters() {
    let mut client = start::<Client<Delta>>(1, 1, &["a", "b"]);
    client.publish(snapshot(2, &mesh(2, &["a", "b"])));
    client.accept(Kind::Extension, &[FILTER]);
    let routes = client.expect(Kind::Route, &["l"]);
    client.send(Kind::Route, "", &[], &["l"]);
    client.publish(snapshot(3, &mesh(2, &["a"])));
    client.expect_silence();
    client.ack(&routes);
    let clusters = client.expect(Kind::Cluster, &[]);
    assert_eq!(removed(&clusters), ["b"]);
}

both! {
    /// Line 35, line 6: of a response that it refused, the client may have taken a part. What that
    /// named is kept until it accepts something.
    fn routes_taken_from_a_refused_response_keep_their_clusters<C: Speak>() {
        let with = |of_l, of_l_clusters: &[&str], clusters: &[&str]| {
            let mut all = mesh(1, clusters);
            all.retain(|resource| resource.kind() != Kind::Route);
            all.extend([route("l", of_l, of_l_clusters), route("m", of_l, &[])]);
            all
        };
        let mut client = C::aggregated(snapshot(1, &with(1, &["b"], &["a", "b"])));
        client.want(Kind::Cluster, &[]);
        client.accept(Kind::Cluster, &["a", "b"]);
        client.want(Kind::Route, &["l", "m"]);
        let pair = client.expect(Kind::Route, &["l", "m"]);
        client.nack(&pair);
        client.publish(snapshot(2, &with(2, &["a"], &["a"])));
        let pair = client.expect(Kind::Route, &["l", "m"]);
        client.nack(&pair);
        client.accept(Kind::Route, &["l"]);
        assert_eq!(client.next().unwrap().kind, Kind::Cluster);
    }
}

/// Line 39: routes that a client still asks for after their listener went are said to be gone.
#[test]
fn stale_route_names_are_answered_with_removal() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &mesh(1, &["a"])));
    client.resume(Kind::Route, &["l", "stale"], &[("stale", "any")]);
    let response = client.expect(Kind::Route, &["l"]);
    assert_eq!(removed(&response), ["stale"]);
}

both! {
    /// A listener that the client refused will never make it ask for routes.
    fn a_refused_listener_makes_nobody_wait<C: Speak>() {
        let mut client = C::aggregated(snapshot(1, &mesh(1, &["a"])));
        client.want(Kind::Cluster, &[]);
        client.accept(Kind::Cluster, &["a"]);
        client.want(Kind::Listener, &[]);
        let listeners = client.expect(Kind::Listener, &["l"]);
        client.nack(&listeners);
        client.expect_silence();
        assert_eq!(client.synced(), 1);
    }
}
