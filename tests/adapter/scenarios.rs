//! The scenarios: in state of the world nine of subscriptions and three of unsubscriptions, and six in delta.

use tidegate_xds::kind::{Kind, Mode};

use Kind::{Cluster, Endpoint, Listener, Route};
use Step::{Add, NoResponse, Other, Receives, Remove, Removes, Subscribe, Unsubscribe, Update};
use Transport::{Ads, Both, Separate};

/// One scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) mode: Mode,
    /// The resource types: one, or two on the same stream.
    pub(crate) kinds: &'static [(Kind, Option<Kind>)],
    pub(crate) on: Transport,
    /// The resources at the start, of version 1.
    pub(crate) resources: &'static str,
    pub(crate) steps: &'static [Step],
}

/// The streams on which a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Both of the others.
    Both,
    /// One aggregated stream.
    Ads,
    /// One stream of the type's service.
    Separate,
}

/// One step. Names are separated by spaces.
#[derive(Debug)]
pub(crate) enum Step {
    /// The client adds these names to its subscription; without names, it subscribes to all.
    Subscribe(&'static str),
    /// The client unsubscribes these names, and the server has processed that.
    Unsubscribe(&'static str),
    /// Changes a resource to a version.
    Update(&'static str, &'static str),
    /// Adds a resource with a version.
    Add(&'static str, &'static str),
    /// Removes a resource.
    Remove(&'static str),
    /// The next response contains exactly these names, and at least one resource of this version.
    Receives(&'static str, &'static str),
    /// The next response removes these names.
    Removes(&'static str),
    /// The following steps apply to the other of two types.
    Other,
    /// The server has processed every request, and sends no other response.
    NoResponse,
}

/// Types whose responses are full sets.
const FULL_SETS: &[(Kind, Option<Kind>)] = &[(Cluster, None), (Listener, None)];
/// Types whose responses are subsets.
const SUBSETS: &[(Kind, Option<Kind>)] = &[(Route, None), (Endpoint, None)];
const ALL: &[(Kind, Option<Kind>)] =
    &[(Cluster, None), (Listener, None), (Route, None), (Endpoint, None)];
const PAIRS: &[(Kind, Option<Kind>)] = &[(Cluster, Some(Listener)), (Route, Some(Endpoint))];

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a wildcard subscription returns all resources",
        mode: Mode::Sotw,
        kinds: FULL_SETS,
        on: Both,
        resources: "A B C",
        steps: &[Subscribe(""), Receives("A B C", "1"), NoResponse],
    },
    Scenario {
        name: "a wildcard subscription returns changes",
        mode: Mode::Sotw,
        kinds: FULL_SETS,
        on: Both,
        resources: "A B C",
        steps: &[
            Subscribe(""),
            Receives("A B C", "1"),
            Update("A", "2"),
            Receives("A B C", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "a wildcard subscription returns new resources",
        mode: Mode::Sotw,
        kinds: FULL_SETS,
        on: Both,
        resources: "A B C",
        steps: &[
            Subscribe(""),
            Receives("A B C", "1"),
            Add("D", "2"),
            Receives("A B C D", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "a subscription by name returns these names",
        mode: Mode::Sotw,
        kinds: ALL,
        on: Both,
        resources: "A B C D",
        steps: &[Subscribe("B D"), Receives("B D", "1"), NoResponse],
    },
    Scenario {
        name: "a changed resource is sent with the full set",
        mode: Mode::Sotw,
        kinds: FULL_SETS,
        on: Both,
        resources: "A B C D",
        steps: &[
            Subscribe("B D"),
            Receives("B D", "1"),
            Update("A", "2"),
            Update("B", "2"),
            Receives("B D", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "a changed resource is sent alone",
        mode: Mode::Sotw,
        kinds: SUBSETS,
        on: Both,
        resources: "A B C D",
        steps: &[
            Subscribe("B D"),
            Receives("B D", "1"),
            Update("A", "2"),
            Update("B", "2"),
            Receives("B", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "a missing resource is sent with the full set when it is added",
        mode: Mode::Sotw,
        kinds: FULL_SETS,
        on: Both,
        resources: "A B C D",
        steps: &[
            Subscribe("A Z"),
            Receives("A", "1"),
            Add("Z", "2"),
            Receives("A Z", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "a missing resource is sent when it is added",
        mode: Mode::Sotw,
        kinds: &[(Route, None)],
        on: Both,
        resources: "A B C D",
        steps: &[
            Subscribe("A Z"),
            Receives("A", "1"),
            Add("Z", "2"),
            Receives("Z", "2"),
            NoResponse,
        ],
    },
    // The first response contains missing endpoints as empty assignments: after a reconnection the cluster would warm
    // forever.
    Scenario {
        name: "a missing resource is sent when it is added",
        mode: Mode::Sotw,
        kinds: &[(Endpoint, None)],
        on: Both,
        resources: "A B C D",
        steps: &[
            Subscribe("A Z"),
            Receives("A Z", "1"),
            Add("Z", "2"),
            Receives("Z", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "two types on one stream are independent",
        mode: Mode::Sotw,
        kinds: PAIRS,
        on: Ads,
        resources: "A B C",
        steps: &[
            Subscribe("B"),
            Receives("B", "1"),
            Other,
            Subscribe("B"),
            Receives("B", "1"),
            Update("B", "2"),
            Receives("B", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "an unsubscribed resource is not in the full set",
        mode: Mode::Sotw,
        kinds: FULL_SETS,
        on: Both,
        resources: "A B C D F",
        steps: &[
            Subscribe("A B C"),
            Receives("A B C", "1"),
            Unsubscribe("B"),
            Update("A", "2"),
            Receives("A C", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "an unsubscribed resource is not sent",
        mode: Mode::Sotw,
        kinds: SUBSETS,
        on: Both,
        resources: "A B C D",
        steps: &[
            Subscribe("B D"),
            Receives("B D", "1"),
            Unsubscribe("D"),
            Update("D", "2"),
            Update("B", "2"),
            Receives("B", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "an empty subscription returns nothing",
        mode: Mode::Sotw,
        kinds: ALL,
        on: Both,
        resources: "A B C D",
        steps: &[
            Subscribe("A B"),
            Receives("A B", "1"),
            Unsubscribe("A B"),
            Update("A", "2"),
            Update("B", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "names may be subscribed to one after the other",
        mode: Mode::Delta,
        kinds: ALL,
        on: Both,
        resources: "A B C",
        steps: &[
            Subscribe("A"),
            Receives("A", "1"),
            Subscribe("B"),
            Receives("B", "1"),
            NoResponse,
        ],
    },
    Scenario {
        name: "a changed resource is sent alone",
        mode: Mode::Delta,
        kinds: ALL,
        on: Both,
        resources: "A B C",
        steps: &[
            Subscribe("A B C"),
            Receives("A B C", "1"),
            Update("A", "2"),
            Receives("A", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "a wildcard subscription returns only new resources",
        mode: Mode::Delta,
        kinds: ALL,
        on: Both,
        resources: "A B",
        steps: &[
            Subscribe("*"),
            Receives("A B", "1"),
            Add("C", "2"),
            Receives("C", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "a missing resource is removed, and sent when it is added",
        mode: Mode::Delta,
        kinds: ALL,
        on: Both,
        resources: "A",
        steps: &[
            Subscribe("A"),
            Receives("A", "1"),
            Subscribe("B"),
            Removes("B"),
            Add("B", "1"),
            Receives("B", "1"),
            NoResponse,
        ],
    },
    Scenario {
        name: "a removed resource is removed from the client, and sent when it is added again",
        mode: Mode::Delta,
        kinds: &[(Listener, None), (Route, None), (Endpoint, None)],
        on: Both,
        resources: "A B",
        steps: &[
            Subscribe("A B"),
            Receives("A B", "1"),
            Remove("B"),
            Removes("B"),
            Add("B", "2"),
            Receives("B", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "a removed resource is removed from the client, and sent when it is added again",
        mode: Mode::Delta,
        kinds: &[(Cluster, None)],
        on: Separate,
        resources: "A B",
        steps: &[
            Subscribe("A B"),
            Receives("A B", "1"),
            Remove("B"),
            Removes("B"),
            Add("B", "2"),
            Receives("B", "2"),
            NoResponse,
        ],
    },
    // On ADS a cluster is kept until no route of the client references it.
    Scenario {
        name: "a removed resource is removed from the client, and sent when it is added again",
        mode: Mode::Delta,
        kinds: &[(Cluster, Some(Route))],
        on: Ads,
        resources: "A B",
        steps: &[
            Subscribe("A B"),
            Receives("A B", "1"),
            Other,
            Subscribe("A"),
            Receives("A", "1"),
            Other,
            Remove("B"),
            Removes("B"),
            Add("B", "2"),
            Receives("B", "2"),
            NoResponse,
        ],
    },
    Scenario {
        name: "an unsubscribed resource is not sent",
        mode: Mode::Delta,
        kinds: ALL,
        on: Both,
        resources: "A B",
        steps: &[
            Subscribe("A B"),
            Receives("A B", "1"),
            Unsubscribe("B"),
            Update("B", "2"),
            NoResponse,
            Unsubscribe("A"),
            Update("A", "2"),
            NoResponse,
        ],
    },
];
