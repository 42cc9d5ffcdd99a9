//! Checklist 1c: make before break.

use std::sync::Arc;

use super::support::*;
use crate::kind::Kind;
use crate::protocol::{Delta, Scope, Session, Sotw};
use crate::resources::Resource;

/// A mesh of one listener `l` whose route references these clusters.
pub(super) fn mesh(content: u32, clusters: &[&str]) -> Vec<Arc<Resource>> {
    let mut all = vec![listener("l", 1), extension(content), route("l", content, clusters)];
    for name in clusters {
        all.extend([cluster(name, 1), endpoint(name, 1)]);
    }
    all
}

/// Subscribes in Envoy's order, and ACKs everything.
pub(super) fn start<C: ClientOps>(serial: u64, content: u32, clusters: &[&str]) -> C {
    let mut client = C::aggregated(snapshot(serial, &mesh(content, clusters)));
    client.subscribe(Kind::Cluster, &[]);
    client.subscribe(Kind::Endpoint, clusters);
    client.subscribe(Kind::Listener, &[]);
    client.subscribe(Kind::Extension, &[FILTER]);
    client.subscribe(Kind::Route, &["l"]);
    client.accept(Kind::Cluster, clusters);
    client.accept(Kind::Endpoint, clusters);
    client.accept(Kind::Listener, &["l"]);
    client.accept(Kind::Extension, &[FILTER]);
    client.accept(Kind::Route, &["l"]);
    client.expect_none();
    assert_eq!(client.synced(), serial);
    client
}

both! {
    /// Line 29: whatever the order of the requests is, clusters are sent first, then endpoints, listeners, filters, routes.
    fn a_push_is_in_order<C: ClientOps>() {
        let mut client = C::aggregated(snapshot(1, &mesh(1, &["a"])));
        client.subscribe(Kind::Route, &["l"]);
        client.subscribe(Kind::Extension, &[FILTER]);
        client.subscribe(Kind::Listener, &[]);
        client.subscribe(Kind::Endpoint, &["a"]);
        client.subscribe(Kind::Cluster, &[]);
        client.accept(Kind::Cluster, &["a"]);
        client.accept(Kind::Endpoint, &["a"]);
        client.accept(Kind::Listener, &["l"]);
        client.accept(Kind::Extension, &[FILTER]);
        client.accept(Kind::Route, &["l"]);
    }
}

both! {
    /// Line 30: a route waits until the client has answered every cluster that it references.
    fn a_route_waits_for_its_clusters<C: ClientOps>() {
        let mut client = start::<C>(1, 1, &["a"]);
        client.publish(snapshot(2, &mesh(2, &["a", "b"])));
        let clusters = client.next().unwrap();
        client.accept(Kind::Extension, &[FILTER]);
        client.subscribe(Kind::Endpoint, &["b"]);
        client.accept(Kind::Endpoint, &["b"]);
        client.expect_none();
        assert_eq!(client.synced(), 1, "the new cluster is still warming");
        client.ack(&clusters);
        client.accept(Kind::Route, &["l"]);
        client.expect_none();
        assert_eq!(client.synced(), 2);
    }
}

both! {
    /// Line 30: a rollback to clusters that the client holds is sent while another cluster warms.
    fn a_rollback_waits_for_no_warming_cluster<C: ClientOps>() {
        let mut client = start::<C>(1, 1, &["a", "b"]);
        let with_new = |route_content, clusters: &[&str]| {
            let mut all = mesh(1, &["a", "b"]);
            all.retain(|resource| resource.kind() != Kind::Route);
            all.extend([cluster("c", 1), endpoint("c", 1), route("l", route_content, clusters)]);
            all
        };
        client.publish(snapshot(2, &with_new(2, &["a", "b", "c"])));
        assert_eq!(client.next().unwrap().kind, Kind::Cluster);
        client.expect_none();
        client.publish(snapshot(3, &with_new(3, &["a", "b"])));
        client.accept(Kind::Route, &["l"]);
    }
}

both! {
    /// Line 30: routes of one service do not wait for clusters of another. While `slow` waits for its new cluster, `order` is
    /// rolled back in the same route configuration.
    fn a_rollback_does_not_wait_for_another_service<C: ClientOps>() {
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
        client.expect_none();
        let with_new = |order| {
            let mut all = with(order, 2, &["b", "c"]);
            all.extend([cluster("c", 1), endpoint("c", 1)]);
            all
        };
        client.publish(snapshot(3, &with_new(1)));
        let clusters = client.next().unwrap();
        assert_eq!(clusters.kind, Kind::Cluster);
        client.expect_none();

        client.publish(snapshot(4, &with_new(2)));
        let rolled_back = client.expect(Kind::Route, &["l"]);
        let expected = routes("l", &[("order", 2, &["a"]), ("slow", 1, &["b"])]);
        assert_eq!(rolled_back.resources[0].version(), expected.version());
        client.ack(&rolled_back);
        client.expect_none();
        assert_eq!(client.synced(), 2);

        client.ack(&clusters);
        let whole = client.expect(Kind::Route, &["l"]);
        let expected = routes("l", &[("order", 2, &["a"]), ("slow", 2, &["b", "c"])]);
        assert_eq!(whole.resources[0].version(), expected.version());
    }
}

both! {
    /// A NACK is an answer: the route may contain the rollback of another service.
    fn a_nacked_cluster_delays_no_route<C: ClientOps>() {
        let mut client = start::<C>(1, 1, &["a"]);
        client.publish(snapshot(2, &mesh(2, &["a", "b"])));
        let clusters = client.next().unwrap();
        client.accept(Kind::Extension, &[FILTER]);
        client.expect_none();
        client.nack(&clusters);
        client.accept(Kind::Route, &["l"]);
    }
}

/// A client that subscribes to routes first, and then by name to the clusters in them, as gRPC does, does not wait for
/// clusters without a subscription.
#[test]
fn clusters_without_a_subscription_delay_no_route() {
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &mesh(1, &["a"])));
    client.subscribe(Kind::Route, &["l"]);
    client.accept(Kind::Route, &["l"]);
    client.subscribe(Kind::Cluster, &["a"]);
    client.accept(Kind::Cluster, &["a"]);
    client.publish(snapshot(2, &mesh(2, &["a", "b"])));
    client.accept(Kind::Route, &["l"]);
}

/// A stream of one type does not wait for types on other streams.
#[test]
fn a_route_stream_alone_waits_for_nothing() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &mesh(1, &["a"])));
    client.session = Session::new(Scope::Only(Kind::Route), snapshot(1, &mesh(1, &["a"])));
    client.subscribe(Kind::Route, &["l"]);
    client.accept(Kind::Route, &["l"]);
    client.expect_none();
    assert_eq!(client.synced(), 1);
}

both! {
    /// Line 31: the endpoints of a changed cluster are sent again, even unchanged; those of other clusters are not.
    fn a_changed_cluster_gets_its_endpoints_again<C: ClientOps>() {
        let mut client = start::<C>(1, 1, &["a", "b"]);
        let mut changed = mesh(1, &["a", "b"]);
        changed.retain(|resource| (resource.kind(), &**resource.name()) != (Kind::Cluster, "a"));
        changed.push(cluster("a", 2));
        client.publish(snapshot(2, &changed));
        let clusters = client.next().unwrap();
        assert_eq!(clusters.kind, Kind::Cluster);
        client.accept(Kind::Endpoint, &["a"]);
        client.ack(&clusters);
        client.expect_none();
        assert_eq!(client.synced(), 2);
    }
}

/// Line 32: after a reconnection, in whatever order the types are requested, the endpoints of a changed cluster are sent even
/// if the client reports to hold them.
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
            client.expect_none();
        }
        client.resume(Kind::Cluster, &["*"], &[("a", "an old version")]);
        client.accept(Kind::Cluster, &["a"]);
        if !endpoints_first {
            client.resume(Kind::Endpoint, &["a"], &held);
        }
        client.accept(Kind::Endpoint, &["a"]);
        client.expect_none();
    }
}

/// Line 33: after a reconnection every type is answered once, even if the client reports to hold the content: some of it may
/// be warming.
#[test]
fn a_returning_client_is_always_answered_delta() {
    let all = mesh(1, &["a"]);
    let mut client = Client::<Delta>::aggregated(snapshot(1, &all));
    for resource in &all {
        let (kind, name) = (resource.kind(), &**resource.name());
        client.resume(kind, &[name], &[(name, resource.version())]);
        client.accept(kind, &[name]);
    }
    client.expect_none();
}

/// Line 33: the endpoints of a removed cluster are sent as an empty assignment, because the cluster would warm forever. This
/// applies to the first request only.
#[test]
fn a_returning_client_gets_empty_endpoints_of_removed_clusters_sotw() {
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &mesh(1, &["a"])));
    client.send(Kind::Endpoint, "old nonce", None, &["a", "gone"]);
    let response = client.expect(Kind::Endpoint, &["a", "gone"]);
    client.ack(&response);
    client.send(Kind::Endpoint, &response.nonce, None, &["a", "gone", "unknown"]);
    client.expect_none();
}

/// Line 33: a cluster that was warming when the stream ended, and that has been removed since, is kept until the client's routes
/// are replaced. Without an answer for its endpoints it would warm, and the client would answer no clusters.
#[test]
fn a_returning_client_gets_the_removal_of_missing_endpoints_of_removed_clusters_delta() {
    let all = mesh(1, &["a"]);
    let mut client = Client::<Delta>::aggregated(snapshot(1, &all));
    let a = cluster("a", 1);
    client.resume(Kind::Cluster, &["*"], &[("a", a.version()), ("gone", "any")]);
    let clusters = client.expect(Kind::Cluster, &[]);
    assert!(removed(&clusters).is_empty(), "the client may have routes to it");
    let endpoints = endpoint("a", 1);
    client.resume(Kind::Endpoint, &["a", "gone"], &[("a", endpoints.version())]);
    let response = client.expect(Kind::Endpoint, &["a"]);
    assert_eq!(removed(&response), owned(&["gone"]));
    client.ack(&response);
    client.ack(&clusters);
    client.expect_none();
}

both! {
    /// Line 35: a removed cluster is kept until the client has ACKed routes without it.
    fn a_cluster_is_removed_after_its_routes<C: ClientOps>() {
        let mut client = start::<C>(1, 1, &["a", "b"]);
        client.publish(snapshot(2, &mesh(2, &["a"])));
        client.accept(Kind::Extension, &[FILTER]);
        let routes = client.expect(Kind::Route, &["l"]);
        client.expect_none();
        assert_eq!(client.synced(), 1);
        client.ack(&routes);
        let clusters = client.next().unwrap();
        assert_eq!((clusters.kind, removed(&clusters)), (Kind::Cluster, owned(&["b"])));
        client.ack(&clusters);
        // Its endpoints are removed with it, or afterwards.
        while let Some(response) = client.next() {
            assert_eq!((response.kind, removed(&response)), (Kind::Endpoint, owned(&["b"])));
            client.ack(&response);
        }
        assert_eq!(client.synced(), 2);
    }
}

/// Line 35: a full set that is sent in between contains the removed cluster.
#[test]
fn a_full_set_keeps_what_is_still_in_use() {
    let mut client = start::<Client<Sotw>>(1, 1, &["a", "b"]);
    client.publish(snapshot(2, &mesh(2, &["a", "c"])));
    client.accept(Kind::Cluster, &["a", "b", "c"]);
    client.accept(Kind::Extension, &[FILTER]);
    client.accept(Kind::Route, &["l"]);
    client.accept(Kind::Cluster, &["a", "c"]);
    client.expect_none();
    assert_eq!(client.synced(), 2);
}

both! {
    /// Line 35: a client that NACKs the new routes uses the old ones and keeps their clusters.
    fn nacked_routes_keep_their_clusters<C: ClientOps>() {
        let mut client = start::<C>(1, 1, &["a", "b"]);
        client.publish(snapshot(2, &mesh(2, &["a"])));
        client.accept(Kind::Extension, &[FILTER]);
        let routes = client.expect(Kind::Route, &["l"]);
        client.nack(&routes);
        client.expect_none();
        assert_eq!(client.synced(), 2, "a NACK is an answer");
        client.publish(snapshot(3, &mesh(3, &["a"])));
        client.accept(Kind::Extension, &[FILTER]);
        client.accept(Kind::Route, &["l"]);
        assert_eq!(client.next().unwrap().kind, Kind::Cluster);
    }
}

/// Line 35: a client that reconnects with a removed cluster may route to it until it has ACKed routes on this stream.
#[test]
fn a_returning_client_keeps_clusters_until_its_routes_are_known() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &mesh(1, &["a"])));
    let a = cluster("a", 1);
    client.resume(Kind::Cluster, &["*"], &[("a", a.version()), ("gone", "any")]);
    client.accept(Kind::Cluster, &[]);
    client.expect_none();
    client.resume(Kind::Route, &["l"], &[("l", "an old version")]);
    client.accept(Kind::Route, &["l"]);
    let clusters = client.expect(Kind::Cluster, &[]);
    assert_eq!(removed(&clusters), ["gone"]);
}

/// Line 35: state-of-the-world requests do not contain the routes that a returning client holds. They are unknown until the
/// client ACKs routes, or unsubscribes.
#[test]
fn a_returning_client_keeps_clusters_until_its_routes_are_known_sotw() {
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &[cluster("a", 1)]));
    client.subscribe(Kind::Cluster, &[]);
    client.accept(Kind::Cluster, &["a"]);
    client.send(Kind::Route, "old", None, &["l"]);
    client.publish(snapshot(2, &[]));
    client.expect_none();
    client.send(Kind::Route, "", None, &[]);
    client.accept(Kind::Cluster, &[]);
}

/// Line 35: routes in flight keep their clusters even if the client has unsubscribed since: it may subscribe again before they
/// arrive.
#[test]
fn routes_in_flight_keep_their_clusters() {
    let mut client = start::<Client<Delta>>(1, 1, &["a", "b"]);
    client.publish(snapshot(2, &mesh(2, &["a", "b"])));
    client.accept(Kind::Extension, &[FILTER]);
    let routes = client.expect(Kind::Route, &["l"]);
    client.send(Kind::Route, "", &[], &["l"]);
    client.publish(snapshot(3, &mesh(2, &["a"])));
    client.expect_none();
    client.ack(&routes);
    let clusters = client.expect(Kind::Cluster, &[]);
    assert_eq!(removed(&clusters), ["b"]);
}

both! {
    /// Line 35, line 6: a client may apply a part of a response that it NACKs. The clusters in it are kept until the client ACKs
    /// new content.
    fn partly_applied_routes_keep_their_clusters<C: ClientOps>() {
        let with = |of_l, of_l_clusters: &[&str], clusters: &[&str]| {
            let mut all = mesh(1, clusters);
            all.retain(|resource| resource.kind() != Kind::Route);
            all.extend([route("l", of_l, of_l_clusters), route("m", of_l, &[])]);
            all
        };
        let mut client = C::aggregated(snapshot(1, &with(1, &["b"], &["a", "b"])));
        client.subscribe(Kind::Cluster, &[]);
        client.accept(Kind::Cluster, &["a", "b"]);
        client.subscribe(Kind::Route, &["l", "m"]);
        let pair = client.expect(Kind::Route, &["l", "m"]);
        client.nack(&pair);
        client.publish(snapshot(2, &with(2, &["a"], &["a"])));
        let pair = client.expect(Kind::Route, &["l", "m"]);
        client.nack(&pair);
        client.accept(Kind::Route, &["l"]);
        assert_eq!(client.next().unwrap().kind, Kind::Cluster);
    }
}

/// Line 39: a subscription to routes that do not exist is answered with their removal.
#[test]
fn stale_route_names_are_answered_with_removal() {
    let mut client = Client::<Delta>::aggregated(snapshot(1, &mesh(1, &["a"])));
    client.resume(Kind::Route, &["l", "stale"], &[("stale", "any")]);
    let response = client.expect(Kind::Route, &["l"]);
    assert_eq!(removed(&response), ["stale"]);
}

both! {
    /// A client does not subscribe to the routes of a listener that it NACKed.
    fn a_nacked_listener_does_not_prevent_synchronization<C: ClientOps>() {
        let mut client = C::aggregated(snapshot(1, &mesh(1, &["a"])));
        client.subscribe(Kind::Cluster, &[]);
        client.accept(Kind::Cluster, &["a"]);
        client.subscribe(Kind::Listener, &[]);
        let listeners = client.expect(Kind::Listener, &["l"]);
        client.nack(&listeners);
        client.expect_none();
        assert_eq!(client.synced(), 1);
    }
}
