//! Checklist 1a line 2 and 1d line 55: what a hostile client may not do.

use super::support::*;
use crate::kind::Kind;
use crate::protocol::message::{MAX_NAME_LEN, MAX_NAMES};
use crate::protocol::{
    Delta, DeltaNames, Event, Refusal, Request, Scope, Session, Sotw, SotwNames,
};

/// Line 2: on ADS the type is required, and must be one of xDS's.
#[test]
fn the_type_is_required_on_ads() {
    assert_eq!(Scope::Aggregated.kind_of(""), Err(Refusal::NoType));
    let unknown = Scope::Aggregated.kind_of("type.googleapis.com/no.Such");
    assert!(matches!(unknown, Err(Refusal::UnknownType(_))));
    for kind in Kind::ALL {
        assert_eq!(Scope::Aggregated.kind_of(kind.type_url()), Ok(kind));
    }
}

/// Line 2: on a service of one type it may be left out, and must not be another.
#[test]
fn the_type_is_implied_on_single_services() {
    let scope = Scope::Only(Kind::Route);
    assert_eq!(scope.kind_of(""), Ok(Kind::Route));
    assert_eq!(scope.kind_of(Kind::Route.type_url()), Ok(Kind::Route));
    let wrong = scope.kind_of(Kind::Cluster.type_url());
    assert!(matches!(wrong, Err(Refusal::WrongType { .. })));
}

/// An error message does not repeat megabytes, nor cut a character in two.
#[test]
fn an_unknown_type_is_quoted_in_part() {
    let Err(refusal) = Scope::Aggregated.kind_of(&"ä".repeat(1_000_000)) else {
        panic!("accepted");
    };
    assert!(refusal.to_string().len() < 300);
}

fn sotw(names: Vec<String>) -> Result<(), Refusal> {
    let mut session = Session::<Sotw>::new(Scope::Aggregated, snapshot(1, &[]));
    session.on_request(Request {
        kind: Kind::Endpoint,
        nonce: String::new(),
        error: None,
        names: SotwNames { names, accepted: false },
    })
}

/// Line 55: names per request and their length are bounded.
#[test]
fn names_are_bounded_sotw() {
    let many = |count: usize| (0..count).map(|name| name.to_string()).collect();
    assert_eq!(sotw(many(MAX_NAMES)), Ok(()));
    let refusal = Err(Refusal::TooManyNames(Kind::Endpoint));
    assert_eq!(sotw(many(MAX_NAMES + 1)), refusal);
    assert_eq!(sotw(vec!["x".repeat(MAX_NAME_LEN)]), Ok(()));
    let refusal = Err(Refusal::NameTooLong(Kind::Endpoint));
    assert_eq!(sotw(vec!["x".repeat(MAX_NAME_LEN + 1)]), refusal);
}

/// Line 55: nor do they add up over many requests, or hide among the held versions.
#[test]
fn names_are_bounded_delta() {
    let mut session = Session::<Delta>::new(Scope::Aggregated, snapshot(1, &[]));
    let mut send = |names: DeltaNames| {
        session.on_request(Request {
            kind: Kind::Endpoint,
            nonce: String::new(),
            error: None,
            names,
        })
    };
    let some = |from: usize| DeltaNames {
        subscribe: (from..from + MAX_NAMES / 2).map(|name| name.to_string()).collect(),
        ..DeltaNames::default()
    };
    assert_eq!(send(some(0)), Ok(()));
    assert_eq!(send(some(MAX_NAMES / 2)), Ok(()));
    let refusal = Err(Refusal::TooManyNames(Kind::Endpoint));
    assert_eq!(send(some(MAX_NAMES)), refusal);
    let long = "x".repeat(MAX_NAME_LEN + 1);
    let held = DeltaNames { held: [(long, String::new())].into(), ..DeltaNames::default() };
    assert_eq!(send(held), Err(Refusal::NameTooLong(Kind::Endpoint)));
}

both! {
    /// What a client says of its error is kept in part.
    fn an_error_is_kept_in_part<C: Speak>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.want(Kind::Cluster, &[]);
        let response = client.expect(Kind::Cluster, &["a"]);
        client.answer(&response, Some(&"ö".repeat(100_000)));
        let events = client.events();
        let [Event::Nacked { message, .. }] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert!(message.len() < 1100, "{}", message.len());
    }
}
