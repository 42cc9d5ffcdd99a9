//! What a session tells of its client to whoever asks.

use super::order::{mesh, start};
use super::support::*;
use crate::kind::Kind;
use crate::protocol::{Delta, Dialect, HoldingState, Session, Sotw};

/// How the resources of one kind stand, by name.
fn states<D: Dialect>(session: &Session<D>, kind: Kind) -> Vec<(String, HoldingState)> {
    let holdings = session.holdings().remove(&kind).unwrap_or_default();
    holdings.into_iter().map(|holding| (holding.name.to_string(), holding.state)).collect()
}

fn expected(states: &[(&str, HoldingState)]) -> Vec<(String, HoldingState)> {
    states.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect()
}

fn tells_how_each_resource_stands<D: Dialect>(mut client: Client<D>)
where
    Client<D>: Speak,
{
    use HoldingState::{Acked, Behind, Missing, NotSent, Refused, Sent};
    assert_eq!(states(&client.session, Kind::Route), expected(&[("l", Acked)]));
    assert_eq!(states(&client.session, Kind::Secret), []);
    let before = client.session.holdings()[&Kind::Route][0].acked.clone();
    assert!(before.is_some());

    client.publish(snapshot(2, &mesh(2, &["a", "b"])));
    let stands = states(&client.session, Kind::Cluster);
    assert_eq!(stands, expected(&[("a", Acked), ("b", NotSent)]));
    let clusters = client.next().unwrap();
    let stands = states(&client.session, Kind::Cluster);
    assert_eq!(stands, expected(&[("a", Acked), ("b", Sent)]));
    client.accept(Kind::Extension, &[FILTER]);
    client.want(Kind::Endpoint, &["c"]);
    while let Some(response) = client.next() {
        client.ack(&response);
    }
    // It waits for the cluster that it names.
    assert_eq!(states(&client.session, Kind::Route), expected(&[("l", Behind)]));
    assert_eq!(states(&client.session, Kind::Endpoint)[1], ("c".to_owned(), Missing));

    client.ack(&clusters);
    let routes = client.expect(Kind::Route, &["l"]);
    client.nack(&routes);
    let holding = client.session.holdings()[&Kind::Route][0].clone();
    assert_eq!(holding.state, Refused);
    assert_eq!(holding.sent.as_deref(), Some(routes.resources[0].version()));
    assert_eq!(holding.content.as_ref(), Some(&routes.resources[0]));
    assert_eq!(holding.acked, before, "what it accepted last");
}

#[test]
fn sotw_tells_how_each_resource_stands() {
    tells_how_each_resource_stands::<Sotw>(start(1, 1, &["a"]));
}

#[test]
fn delta_tells_how_each_resource_stands() {
    tells_how_each_resource_stands::<Delta>(start(1, 1, &["a"]));
}
