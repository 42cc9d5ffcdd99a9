//! What a session reports of its client: the status of resources, and the newest snapshot that is synchronized.

use super::sequencing::{mesh, start};
use super::support::*;
use crate::kind::Kind;
use crate::protocol::{Delta, Event, Session, Sotw, SyncState, Variant};

/// The state of the resources of one kind, by name.
fn states<V: Variant>(session: &Session<V>, kind: Kind) -> Vec<(String, SyncState)> {
    let statuses = session.resource_statuses().remove(&kind).unwrap_or_default();
    statuses.into_iter().map(|status| (status.name.to_string(), status.state)).collect()
}

fn expected(states: &[(&str, SyncState)]) -> Vec<(String, SyncState)> {
    states.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect()
}

fn reports_the_state_of_each_resource<V: Variant>(mut client: Client<V>)
where
    Client<V>: ClientOps,
{
    use SyncState::{Acked, DoesNotExist, Nacked, NotSent, Sent, Stale};
    assert_eq!(states(&client.session, Kind::Route), expected(&[("l", Acked)]));
    assert_eq!(states(&client.session, Kind::Secret), []);
    let before = client.session.resource_statuses()[&Kind::Route][0].acked.clone();
    assert!(before.is_some());

    client.publish(snapshot(2, &mesh(2, &["a", "b"])));
    let clusters = states(&client.session, Kind::Cluster);
    assert_eq!(clusters, expected(&[("a", Acked), ("b", NotSent)]));
    let response = client.next().unwrap();
    let clusters = states(&client.session, Kind::Cluster);
    assert_eq!(clusters, expected(&[("a", Acked), ("b", Sent)]));
    client.accept(Kind::Extension, &[FILTER]);
    client.subscribe(Kind::Endpoint, &["c"]);
    while let Some(response) = client.next() {
        client.ack(&response);
    }
    // The route waits for the cluster that it references.
    assert_eq!(states(&client.session, Kind::Route), expected(&[("l", Stale)]));
    assert_eq!(states(&client.session, Kind::Endpoint)[1], ("c".to_owned(), DoesNotExist));

    client.ack(&response);
    let routes = client.expect(Kind::Route, &["l"]);
    client.nack(&routes);
    let status = client.session.resource_statuses()[&Kind::Route][0].clone();
    assert_eq!(status.state, Nacked);
    assert_eq!(status.sent.as_deref(), Some(routes.resources[0].version()));
    assert_eq!(status.content.as_ref(), Some(&routes.resources[0]));
    assert_eq!(status.acked, before);
}

#[test]
fn sotw_reports_the_state_of_each_resource() {
    reports_the_state_of_each_resource::<Sotw>(start(1, 1, &["a"]));
}

#[test]
fn delta_reports_the_state_of_each_resource() {
    reports_the_state_of_each_resource::<Delta>(start(1, 1, &["a"]));
}

/// A client that reports resources from before its stream is a reconnection; this is one event for each type.
#[test]
fn a_reconnection_is_an_event_of_each_type() {
    let resumed = [Kind::Cluster, Kind::Endpoint].map(|kind| Event::Resumed { kind });
    let all = mesh(1, &["a"]);
    let mut client = Client::<Delta>::aggregated(snapshot(1, &all));
    client.resume(Kind::Cluster, &["*"], &[("a", all[3].version())]);
    client.resume(Kind::Endpoint, &["a"], &[("a", "another version")]);
    assert_eq!(client.events(), resumed);

    let mut client = Client::<Sotw>::aggregated(snapshot(1, &all));
    client.send(Kind::Cluster, "old nonce", None, &[]);
    client.send(Kind::Endpoint, "old nonce", None, &["a"]);
    assert_eq!(client.events(), resumed);
}

both! {
    /// A client without resources from before its stream is a new process.
    fn a_first_connection_is_no_reconnection<C: ClientOps>() {
        let mut client = start::<C>(1, 1, &["a"]);
        let resumed = |event: &Event| matches!(event, Event::Resumed { .. });
        assert!(!client.events().iter().any(resumed));
    }
}

both! {
    /// A client is not synchronized before it has subscribed to what its listeners reference: until then it may use routes
    /// from before.
    fn synced_means_fully_subscribed<C: ClientOps>() {
        let mut client = C::aggregated(snapshot(1, &mesh(1, &["a"])));
        client.subscribe(Kind::Cluster, &[]);
        client.accept(Kind::Cluster, &["a"]);
        client.expect_none();
        assert_eq!(client.synced(), 0, "no listeners yet");
        client.subscribe(Kind::Listener, &[]);
        client.accept(Kind::Listener, &["l"]);
        client.subscribe(Kind::Route, &["l"]);
        client.accept(Kind::Route, &["l"]);
        client.expect_none();
        assert_eq!(client.synced(), 0, "no filter yet");
        client.subscribe(Kind::Extension, &[FILTER]);
        client.accept(Kind::Extension, &[FILTER]);
        client.expect_none();
        assert_eq!(client.synced(), 1);
    }
}

both! {
    /// A client with listeners of its own, or with listeners from another stream, is synchronized when it has its routes.
    fn routes_without_listeners_are_enough<C: ClientOps>() {
        let mut client = C::aggregated(snapshot(1, &mesh(1, &["a"])));
        client.subscribe(Kind::Route, &["l"]);
        client.accept(Kind::Route, &["l"]);
        client.expect_none();
        assert_eq!(client.synced(), 1);
    }
}

both! {
    /// Listeners without references are for gRPC clients, which subscribe to them by name. No other client must.
    fn api_listeners_are_optional<C: ClientOps>() {
        let api = api_listener("order");
        let mut client = C::aggregated(snapshot(1, &[api, cluster("a", 1)]));
        client.subscribe(Kind::Cluster, &[]);
        client.accept(Kind::Cluster, &["a"]);
        client.expect_none();
        assert_eq!(client.synced(), 1);
        client.subscribe(Kind::Listener, &["order"]);
        client.accept(Kind::Listener, &["order"]);
        client.expect_none();
        assert_eq!(client.synced(), 1);
    }
}
