//! Checklist 1a line 2 and 1d line 55: limits and invalid requests.

use super::support::*;
use crate::kind::Kind;
use crate::protocol::message::{MAX_NAME_LEN, MAX_NAMES};
use crate::protocol::{
    Delta, DeltaNames, Event, ProtocolError, Request, Scope, Session, Sotw, SotwNames,
};

/// Line 2: on ADS the type URL is required and must be known.
#[test]
fn the_type_is_required_on_ads() {
    assert_eq!(Scope::Aggregated.kind_of(""), Err(ProtocolError::MissingTypeUrl));
    let unknown = Scope::Aggregated.kind_of("type.googleapis.com/no.Such");
    assert!(matches!(unknown, Err(ProtocolError::UnknownTypeUrl(_))));
    for kind in Kind::ALL {
        assert_eq!(Scope::Aggregated.kind_of(kind.type_url()), Ok(kind));
    }
}

/// Line 2: on a stream of one type it may be empty, and must not be another one.
#[test]
fn the_type_is_implied_on_single_services() {
    let scope = Scope::Only(Kind::Route);
    assert_eq!(scope.kind_of(""), Ok(Kind::Route));
    assert_eq!(scope.kind_of(Kind::Route.type_url()), Ok(Kind::Route));
    let wrong = scope.kind_of(Kind::Cluster.type_url());
    assert!(matches!(wrong, Err(ProtocolError::TypeNotServed { .. })));
}

/// The error message contains the start of the type URL, cut at a character boundary.
#[test]
fn an_unknown_type_url_is_clipped() {
    let Err(refusal) = Scope::Aggregated.kind_of(&"ä".repeat(1_000_000)) else {
        panic!("accepted");
    };
    assert!(refusal.to_string().len() < 300);
}

fn sotw(names: Vec<String>) -> Result<(), ProtocolError> {
    let mut session = Session::<Sotw>::new(Scope::Aggregated, snapshot(1, &[]));
    session.on_request(Request {
        kind: Kind::Endpoint,
        nonce: String::new(),
        error: None,
        names: SotwNames { names, has_version_info: false },
    })
}

/// Line 55: the number and length of names per request are bounded.
#[test]
fn names_are_bounded_sotw() {
    let many = |count: usize| (0..count).map(|name| name.to_string()).collect();
    assert_eq!(sotw(many(MAX_NAMES)), Ok(()));
    let refusal = Err(ProtocolError::TooManyNames(Kind::Endpoint));
    assert_eq!(sotw(many(MAX_NAMES + 1)), refusal);
    assert_eq!(sotw(vec!["x".repeat(MAX_NAME_LEN)]), Ok(()));
    let refusal = Err(ProtocolError::NameTooLong(Kind::Endpoint));
    assert_eq!(sotw(vec!["x".repeat(MAX_NAME_LEN + 1)]), refusal);
}

/// Line 55: the limits also apply to the sum over many requests, and to the initial resource versions.
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
    let refusal = Err(ProtocolError::TooManyNames(Kind::Endpoint));
    assert_eq!(send(some(MAX_NAMES)), refusal);
    let long = "x".repeat(MAX_NAME_LEN + 1);
    let names = DeltaNames {
        initial_resource_versions: [(long, String::new())].into(),
        ..DeltaNames::default()
    };
    assert_eq!(send(names), Err(ProtocolError::NameTooLong(Kind::Endpoint)));
}

both! {
    /// The stored length of a NACK's message is bounded.
    fn an_error_message_is_clipped<C: ClientOps>() {
        let mut client = C::aggregated(snapshot(1, &[cluster("a", 1)]));
        client.subscribe(Kind::Cluster, &[]);
        let response = client.expect(Kind::Cluster, &["a"]);
        client.answer(&response, Some(&"ö".repeat(100_000)));
        let events = client.events();
        let [Event::Nacked { message, .. }] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert!(message.len() < 1100, "{}", message.len());
    }
}
