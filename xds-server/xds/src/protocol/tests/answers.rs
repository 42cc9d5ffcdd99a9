//! Checklist 1a: requests, ACK, NACK, nonces.

use super::support::*;
use crate::kind::Kind;
use crate::protocol::{Delta, Event, Sotw};

fn names_of(events: &[Event]) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::Acked { .. } => "acked",
        Event::Nacked { .. } => "nacked",
        Event::Cleared { .. } => "cleared",
        Event::Resumed { .. } => "resumed",
    };
    events.iter().map(name).collect()
}

both! {
    /// Line 4: NACKed content is not sent again. The resource is sent when its content changes.
    fn nacked_content_is_not_resent_until_it_changes<C: ClientOps>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.subscribe(Kind::Cluster, &[]);
        let bad = client.expect(Kind::Cluster, &["a"]);
        client.nack(&bad);
        client.expect_none();
        client.publish(snapshot(2, &[cluster("a", 1)]));
        client.expect_none();
        client.publish(snapshot(3, &[cluster("a", 2)]));
        client.accept(Kind::Cluster, &["a"]);
        client.expect_none();
    }
}

both! {
    /// Line 4: if the snapshot is newer than the NACKed response, its content is sent at once.
    fn newer_content_follows_a_nack_at_once<C: ClientOps>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.subscribe(Kind::Cluster, &[]);
        let bad = client.expect(Kind::Cluster, &["a"]);
        client.publish(snapshot(2, &[cluster("a", 2)]));
        client.expect_none();
        client.nack(&bad);
        client.accept(Kind::Cluster, &["a"]);
    }
}

both! {
    /// Line 5: a NACK is an event with the client's error message.
    fn a_nack_is_an_event_with_its_message<C: ClientOps>() {
        let mut client = C::aggregated(snapshot(1, &[route("r", 1, &[])]));
        client.subscribe(Kind::Route, &["r"]);
        let bad = client.expect(Kind::Route, &["r"]);
        client.answer(&bad, Some("no such thing"));
        client.expect_none();
        let expected = Event::Nacked {
            kind: Kind::Route,
            version: bad.version,
            message: "no such thing".to_owned(),
        };
        assert_eq!(client.events(), [expected]);
    }
}

both! {
    /// Line 6: a NACK does not name the invalid resource. Each is retried alone, so the valid ones are delivered; the invalid
    /// one is not sent again.
    fn resources_of_a_nacked_response_are_retried_alone<C: ClientOps>() {
        let routes = [route("bad", 1, &[]), route("good", 1, &[])];
        let mut client = C::aggregated(snapshot(1, &routes));
        client.subscribe(Kind::Route, &["bad", "good"]);
        let pair = client.expect(Kind::Route, &["bad", "good"]);
        client.nack(&pair);
        let bad = client.expect(Kind::Route, &["bad"]);
        client.nack(&bad);
        client.accept(Kind::Route, &["good"]);
        client.expect_none();
        // A later version of the good one is sent without the bad one.
        client.publish(snapshot(2, &[route("bad", 1, &[]), route("good", 2, &[])]));
        client.accept(Kind::Route, &["good"]);
        client.expect_none();
    }
}

both! {
    /// Line 7: the error is cleared by the ACK of new content.
    fn an_ack_clears_the_error<C: ClientOps>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.subscribe(Kind::Cluster, &[]);
        let bad = client.expect(Kind::Cluster, &["a"]);
        client.nack(&bad);
        client.publish(snapshot(2, &[cluster("a", 2)]));
        let good = client.expect(Kind::Cluster, &["a"]);
        client.expect_none();
        assert_eq!(names_of(&client.events()), ["nacked"]);
        client.ack(&good);
        client.expect_none();
        assert_eq!(names_of(&client.events()), ["acked", "cleared"]);
    }
}

/// Line 8: a state-of-the-world request with a stale nonce gets no response. Its names are in the answer to the newest
/// response, too.
#[test]
fn a_stale_nonce_gets_no_response() {
    let endpoints = [endpoint("a", 1), endpoint("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &endpoints));
    client.subscribe(Kind::Endpoint, &["a"]);
    let first = client.expect(Kind::Endpoint, &["a"]);
    client.ack(&first);
    client.publish(snapshot(2, &[endpoint("a", 2), endpoint("b", 1)]));
    let second = client.expect(Kind::Endpoint, &["a"]);
    // Sent before the second response arrived.
    client.send(Kind::Endpoint, &first.nonce, None, &["a", "b"]);
    client.expect_none();
    client.send(Kind::Endpoint, &second.nonce, None, &["a", "b"]);
    client.accept(Kind::Endpoint, &["b"]);
    // Also if nothing is in flight; the names of the request are ignored.
    client.send(Kind::Endpoint, &first.nonce, None, &["a"]);
    client.publish(snapshot(3, &[endpoint("a", 2), endpoint("b", 3)]));
    client.accept(Kind::Endpoint, &["b"]);
}

both! {
    /// Line 8: nonces of earlier streams are ignored. The first request of a type is answered whatever its nonce is.
    fn a_first_request_is_answered_whatever_its_nonce<C: ClientOps>() {
        let mut before = C::aggregated(snapshot(1, &[route("r", 1, &[])]));
        before.subscribe(Kind::Route, &["r"]);
        let response = before.expect(Kind::Route, &["r"]);
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.answer(&crate::protocol::Response { kind: Kind::Cluster, ..response }, None);
        client.accept(Kind::Cluster, &["a"]);
        assert_eq!(names_of(&client.events()), ["acked"]);
    }
}

both! {
    /// Line 9: at most one response of a type is in flight; other types are independent. Line 43: the next response contains
    /// the latest content, not every version in between.
    fn one_response_in_flight_and_then_the_latest<C: ClientOps>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1), endpoint("a", 1)]));
        client.subscribe(Kind::Cluster, &[]);
        client.subscribe(Kind::Endpoint, &["a"]);
        let clusters = client.expect(Kind::Cluster, &["a"]);
        client.accept(Kind::Endpoint, &["a"]);
        for content in 2..10 {
            client.publish(snapshot(content.into(), &[cluster("a", content), endpoint("a", 1)]));
            client.expect_none();
        }
        client.ack(&clusters);
        let latest = client.expect(Kind::Cluster, &["a"]);
        assert_eq!(latest.resources[0].version(), cluster("a", 9).version());
    }
}

/// Line 10: delta subscription changes apply whatever the nonce is.
#[test]
fn delta_names_apply_whatever_the_nonce() {
    let routes = [route("a", 1, &[]), route("b", 1, &[]), route("c", 1, &[])];
    let mut client = Client::<Delta>::aggregated(snapshot(1, &routes));
    client.subscribe(Kind::Route, &["a"]);
    let first = client.expect(Kind::Route, &["a"]);
    client.send(Kind::Route, "no such nonce", &["b"], &[]);
    client.expect_none();
    // The ACK contains a third name.
    client.send(Kind::Route, &first.nonce, &["c"], &[]);
    client.accept(Kind::Route, &["b", "c"]);
    client.expect_none();
}

/// Line 10: a NACK may contain a subscription.
#[test]
fn delta_names_apply_in_a_nack() {
    let routes = [route("a", 1, &[]), route("b", 1, &[])];
    let mut client = Client::<Delta>::aggregated(snapshot(1, &routes));
    client.subscribe(Kind::Route, &["a"]);
    let first = client.expect(Kind::Route, &["a"]);
    client.request(Kind::Route, &first.nonce, Some("bad"), &["b"], &[], &[]);
    client.accept(Kind::Route, &["b"]);
    client.expect_none();
}

/// Line 11: a request with the newest nonce and other names is a new subscription. It is answered even if the content was
/// sent before.
#[test]
fn other_names_are_a_new_subscription() {
    let endpoints = [endpoint("a", 1), endpoint("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &endpoints));
    client.subscribe(Kind::Endpoint, &["a", "b"]);
    let first = client.expect(Kind::Endpoint, &["a", "b"]);
    client.ack(&first);
    client.send(Kind::Endpoint, &first.nonce, None, &["a"]);
    client.expect_none();
    client.send(Kind::Endpoint, &first.nonce, None, &["a", "b"]);
    client.accept(Kind::Endpoint, &["b"]);
}

both! {
    /// Line 12: an ACK gets no response.
    fn an_ack_gets_no_response<C: ClientOps>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.subscribe(Kind::Cluster, &[]);
        let response = client.expect(Kind::Cluster, &["a"]);
        client.ack(&response);
        client.expect_none();
        // Nor does a repeated ACK.
        client.ack(&response);
        client.expect_none();
        assert_eq!(names_of(&client.events()), ["acked"]);
    }
}

/// Line 13: a newer request supersedes older ones, which get no response of their own.
#[test]
fn a_newer_request_supersedes_older_ones() {
    let endpoints = [endpoint("a", 1), endpoint("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &endpoints));
    client.send(Kind::Endpoint, "", None, &["a"]);
    client.send(Kind::Endpoint, "", None, &["b"]);
    client.accept(Kind::Endpoint, &["b"]);
    client.expect_none();
}

/// Line 13: a request that crossed with a response applies: its names are the newest.
#[test]
fn a_request_that_crossed_with_the_first_response_applies() {
    let endpoints = [endpoint("a", 1), endpoint("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &endpoints));
    client.send(Kind::Endpoint, "", None, &["a"]);
    let first = client.expect(Kind::Endpoint, &["a"]);
    client.send(Kind::Endpoint, "", None, &["a", "b"]);
    client.expect_none();
    client.send(Kind::Endpoint, &first.nonce, None, &["a", "b"]);
    client.accept(Kind::Endpoint, &["b"]);
    client.expect_none();
}

both! {
    /// A snapshot is synchronized when every response is answered, by ACK or NACK.
    fn synced_means_answered<C: ClientOps>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.expect_none();
        assert_eq!(client.synced(), 0, "no subscription");
        client.subscribe(Kind::Cluster, &[]);
        let response = client.expect(Kind::Cluster, &["a"]);
        client.expect_none();
        assert_eq!(client.synced(), 0, "not answered");
        client.ack(&response);
        client.expect_none();
        assert_eq!(client.synced(), 1);
        client.publish(snapshot(2, &[cluster("a", 2)]));
        let response = client.expect(Kind::Cluster, &["a"]);
        client.nack(&response);
        client.expect_none();
        assert_eq!(client.synced(), 2, "a NACK is an answer");
        client.publish(snapshot(3, &[cluster("a", 2)]));
        client.expect_none();
        assert_eq!(client.synced(), 3, "no difference: at once");
    }
}
