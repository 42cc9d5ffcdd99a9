//! Checklist 1a: requests, ACK, NACK, nonces.

use super::support::*;
use crate::kind::Kind;
use crate::protocol::{Delta, Event, Sotw};

fn names_of(events: &[Event]) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::Acked { .. } => "acked",
        Event::Nacked { .. } => "nacked",
        Event::Cleared { .. } => "cleared",
    };
    events.iter().map(name).collect()
}

both! {
    /// Line 4: what was refused is not sent again, until its content changes.
    fn refused_content_is_parked_until_it_changes<C: Speak>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.want(Kind::Cluster, &[]);
        let bad = client.expect(Kind::Cluster, &["a"]);
        client.nack(&bad);
        client.expect_silence();
        client.publish(snapshot(2, &[cluster("a", 1)]));
        client.expect_silence();
        client.publish(snapshot(3, &[cluster("a", 2)]));
        client.accept(Kind::Cluster, &["a"]);
        client.expect_silence();
    }
}

both! {
    /// Line 4: if the snapshot moved on before the NACK came, its content goes out at once.
    fn newer_content_answers_a_nack_at_once<C: Speak>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.want(Kind::Cluster, &[]);
        let bad = client.expect(Kind::Cluster, &["a"]);
        client.publish(snapshot(2, &[cluster("a", 2)]));
        client.expect_silence();
        client.nack(&bad);
        client.accept(Kind::Cluster, &["a"]);
    }
}

both! {
    /// Line 5: a refusal is told, with the client's words.
    fn a_refusal_is_told<C: Speak>() {
        let mut client = C::aggregated(snapshot(1, &[route("r", 1, &[])]));
        client.want(Kind::Route, &["r"]);
        let bad = client.expect(Kind::Route, &["r"]);
        client.answer(&bad, Some("no such thing"));
        client.expect_silence();
        let expected = Event::Nacked {
            kind: Kind::Route,
            version: bad.version,
            message: "no such thing".to_owned(),
        };
        assert_eq!(client.events(), [expected]);
    }
}

both! {
    /// Line 6: a NACK does not say which resource is bad. Each is tried alone, so that one bad
    /// resource keeps no good one from the client; then the bad one is parked.
    fn a_bad_resource_is_told_from_its_neighbours<C: Speak>() {
        let routes = [route("bad", 1, &[]), route("good", 1, &[])];
        let mut client = C::aggregated(snapshot(1, &routes));
        client.want(Kind::Route, &["bad", "good"]);
        let pair = client.expect(Kind::Route, &["bad", "good"]);
        client.nack(&pair);
        let bad = client.expect(Kind::Route, &["bad"]);
        client.nack(&bad);
        client.accept(Kind::Route, &["good"]);
        client.expect_silence();
        // The good one still moves, alone.
        client.publish(snapshot(2, &[route("bad", 1, &[]), route("good", 2, &[])]));
        client.accept(Kind::Route, &["good"]);
        client.expect_silence();
    }
}

both! {
    /// Line 7: an ACK of the new content ends the error, and not before.
    fn an_ack_clears_the_error<C: Speak>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.want(Kind::Cluster, &[]);
        let bad = client.expect(Kind::Cluster, &["a"]);
        client.nack(&bad);
        client.publish(snapshot(2, &[cluster("a", 2)]));
        let good = client.expect(Kind::Cluster, &["a"]);
        client.expect_silence();
        assert_eq!(names_of(&client.events()), ["nacked"]);
        client.ack(&good);
        client.expect_silence();
        assert_eq!(names_of(&client.events()), ["acked", "cleared"]);
    }
}

/// Line 8: a state-of-the-world request with a stale nonce gets no response; what it wanted comes
/// with the answer to the newest response.
#[test]
fn a_stale_nonce_gets_no_response() {
    let endpoints = [endpoint("a", 1), endpoint("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &endpoints));
    client.want(Kind::Endpoint, &["a"]);
    let first = client.expect(Kind::Endpoint, &["a"]);
    client.ack(&first);
    client.publish(snapshot(2, &[endpoint("a", 2), endpoint("b", 1)]));
    let second = client.expect(Kind::Endpoint, &["a"]);
    // Sent before the second response arrived.
    client.send(Kind::Endpoint, &first.nonce, None, &["a", "b"]);
    client.expect_silence();
    client.send(Kind::Endpoint, &second.nonce, None, &["a", "b"]);
    client.accept(Kind::Endpoint, &["b"]);
    // Nothing is in flight now; a stale nonce is still stale, and its names do not count.
    client.send(Kind::Endpoint, &first.nonce, None, &["a"]);
    client.publish(snapshot(3, &[endpoint("a", 2), endpoint("b", 3)]));
    client.accept(Kind::Endpoint, &["b"]);
}

both! {
    /// Line 8: a nonce does not survive its stream. The first request of a type is answered,
    /// whatever nonce it brings.
    fn a_nonce_of_another_stream_is_an_opening<C: Speak>() {
        let mut before = C::aggregated(snapshot(1, &[route("r", 1, &[])]));
        before.want(Kind::Route, &["r"]);
        let response = before.expect(Kind::Route, &["r"]);
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.answer(&crate::protocol::Response { kind: Kind::Cluster, ..response }, None);
        client.accept(Kind::Cluster, &["a"]);
        assert_eq!(names_of(&client.events()), ["acked"]);
    }
}

both! {
    /// Line 9: at most one response of a type is not answered; other types go on. Line 43: when it
    /// is answered, the latest follows, not everything in between.
    fn one_response_in_flight_and_then_the_latest<C: Speak>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1), endpoint("a", 1)]));
        client.want(Kind::Cluster, &[]);
        client.want(Kind::Endpoint, &["a"]);
        let clusters = client.expect(Kind::Cluster, &["a"]);
        client.accept(Kind::Endpoint, &["a"]);
        for content in 2..10 {
            client.publish(snapshot(content.into(), &[cluster("a", content), endpoint("a", 1)]));
            client.expect_silence();
        }
        client.ack(&clusters);
        let latest = client.expect(Kind::Cluster, &["a"]);
        assert_eq!(latest.resources[0].version(), cluster("a", 9).version());
    }
}

/// Line 10: in delta no nonce makes a subscription change get lost.
#[test]
fn delta_names_count_whatever_the_nonce() {
    let routes = [route("a", 1, &[]), route("b", 1, &[]), route("c", 1, &[])];
    let mut client = Client::<Delta>::aggregated(snapshot(1, &routes));
    client.want(Kind::Route, &["a"]);
    let first = client.expect(Kind::Route, &["a"]);
    client.send(Kind::Route, "no such nonce", &["b"], &[]);
    client.expect_silence();
    // The ACK brings a third name along.
    client.send(Kind::Route, &first.nonce, &["c"], &[]);
    client.accept(Kind::Route, &["b", "c"]);
    client.expect_silence();
}

/// Line 10: a subscription may ride on a NACK.
#[test]
fn delta_names_may_ride_on_a_nack() {
    let routes = [route("a", 1, &[]), route("b", 1, &[])];
    let mut client = Client::<Delta>::aggregated(snapshot(1, &routes));
    client.want(Kind::Route, &["a"]);
    let first = client.expect(Kind::Route, &["a"]);
    client.request(Kind::Route, &first.nonce, Some("bad"), &["b"], &[], &[]);
    client.accept(Kind::Route, &["b"]);
    client.expect_silence();
}

/// Line 11: the newest nonce with other names is a new subscription, answered even with what was
/// sent before.
#[test]
fn other_names_are_a_new_subscription() {
    let endpoints = [endpoint("a", 1), endpoint("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &endpoints));
    client.want(Kind::Endpoint, &["a", "b"]);
    let first = client.expect(Kind::Endpoint, &["a", "b"]);
    client.ack(&first);
    client.send(Kind::Endpoint, &first.nonce, None, &["a"]);
    client.expect_silence();
    client.send(Kind::Endpoint, &first.nonce, None, &["a", "b"]);
    client.accept(Kind::Endpoint, &["b"]);
}

both! {
    /// Line 12: an ACK gets no response.
    fn an_ack_gets_no_response<C: Speak>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.want(Kind::Cluster, &[]);
        let response = client.expect(Kind::Cluster, &["a"]);
        client.ack(&response);
        client.expect_silence();
        // Nor does the same ACK once more.
        client.ack(&response);
        client.expect_silence();
        assert_eq!(names_of(&client.events()), ["acked"]);
    }
}

/// Line 13: a newer request supersedes older ones; there is no response for each.
#[test]
fn a_newer_request_supersedes_older_ones() {
    let endpoints = [endpoint("a", 1), endpoint("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &endpoints));
    client.send(Kind::Endpoint, "", None, &["a"]);
    client.send(Kind::Endpoint, "", None, &["b"]);
    client.accept(Kind::Endpoint, &["b"]);
    client.expect_silence();
}

/// Line 13: requests that crossed with a response count as well: their names are the newest.
#[test]
fn a_request_that_crossed_with_the_first_response_counts() {
    let endpoints = [endpoint("a", 1), endpoint("b", 1)];
    let mut client = Client::<Sotw>::aggregated(snapshot(1, &endpoints));
    client.send(Kind::Endpoint, "", None, &["a"]);
    let first = client.expect(Kind::Endpoint, &["a"]);
    client.send(Kind::Endpoint, "", None, &["a", "b"]);
    client.expect_silence();
    client.send(Kind::Endpoint, &first.nonce, None, &["a", "b"]);
    client.accept(Kind::Endpoint, &["b"]);
    client.expect_silence();
}

both! {
    /// A publication counts as reached when all of it was answered: accepted or refused.
    fn synced_means_answered<C: Speak>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.expect_silence();
        assert_eq!(client.synced(), 0, "asked for nothing");
        client.want(Kind::Cluster, &[]);
        let response = client.expect(Kind::Cluster, &["a"]);
        client.expect_silence();
        assert_eq!(client.synced(), 0, "not answered");
        client.ack(&response);
        client.expect_silence();
        assert_eq!(client.synced(), 1);
        client.publish(snapshot(2, &[cluster("a", 2)]));
        let response = client.expect(Kind::Cluster, &["a"]);
        client.nack(&response);
        client.expect_silence();
        assert_eq!(client.synced(), 2, "a refusal is an answer");
        client.publish(snapshot(3, &[cluster("a", 2)]));
        client.expect_silence();
        assert_eq!(client.synced(), 3, "no difference is reached at once");
    }
}
