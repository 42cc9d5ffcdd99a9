//! The scenarios: nine of subscribing and three of unsubscribing in state of the world, six in delta.

use tidegate_xds::kind::{Kind, Mode};

use Kind::{Cluster, Endpoint, Listener, Route};
use Step::{Add, Drop, IsTold, Other, Remove, Sees, Silence, Subscribe, Update};
use Transport::{Ads, Both, Own};

/// One scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) mode: Mode,
    /// The types that it is about: alone, or with another on the same stream.
    pub(crate) kinds: &'static [(Kind, Option<Kind>)],
    pub(crate) on: Transport,
    /// What there is in the beginning, of version 1.
    pub(crate) resources: &'static str,
    pub(crate) steps: &'static [Step],
}

/// On which streams a scenario is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// On ADS, and on the type's own service.
    Both,
    Ads,
    Own,
}

/// One step. Names are parted by spaces.
#[derive(Debug)]
pub(crate) enum Step {
    /// The client asks for these, on top of what it asked for; for none: for all.
    Subscribe(&'static str),
    /// It no longer wants these, and the server knows it.
    Drop(&'static str),
    /// A resource gets new content.
    Update(&'static str, &'static str),
    /// A resource is made.
    Add(&'static str, &'static str),
    /// A resource goes.
    Remove(&'static str),
    /// The next response holds these and no others, and something of this version. It is accepted.
    Sees(&'static str, &'static str),
    /// The next response says that these are gone.
    IsTold(&'static str),
    /// From now on the steps are about the other of two types.
    Other,
    /// The server has taken every answer, and has nothing more to say.
    Silence,
}

/// Types whose responses are always the whole set.
const WHOLE: &[(Kind, Option<Kind>)] = &[(Cluster, None), (Listener, None)];
/// Types whose responses may be parts.
const PARTS: &[(Kind, Option<Kind>)] = &[(Route, None), (Endpoint, None)];
const ALL: &[(Kind, Option<Kind>)] =
    &[(Cluster, None), (Listener, None), (Route, None), (Endpoint, None)];
const PAIRS: &[(Kind, Option<Kind>)] = &[(Cluster, Some(Listener)), (Route, Some(Endpoint))];

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "who asks for all gets all",
        mode: Mode::Sotw,
        kinds: WHOLE,
        on: Both,
        resources: "A B C",
        steps: &[Subscribe(""), Sees("A B C", "1"), Silence],
    },
    Scenario {
        name: "who asked for all is sent changes",
        mode: Mode::Sotw,
        kinds: WHOLE,
        on: Both,
        resources: "A B C",
        steps: &[Subscribe(""), Sees("A B C", "1"), Update("A", "2"), Sees("A B C", "2"), Silence],
    },
    Scenario {
        name: "who asked for all is sent what is new",
        mode: Mode::Sotw,
        kinds: WHOLE,
        on: Both,
        resources: "A B C",
        steps: &[Subscribe(""), Sees("A B C", "1"), Add("D", "2"), Sees("A B C D", "2"), Silence],
    },
    Scenario {
        name: "who asks for some gets only those",
        mode: Mode::Sotw,
        kinds: ALL,
        on: Both,
        resources: "A B C D",
        steps: &[Subscribe("B D"), Sees("B D", "1"), Silence],
    },
    Scenario {
        name: "a change of one brings the whole set",
        mode: Mode::Sotw,
        kinds: WHOLE,
        on: Both,
        resources: "A B C D",
        steps: &[
            Subscribe("B D"),
            Sees("B D", "1"),
            Update("A", "2"),
            Update("B", "2"),
            Sees("B D", "2"),
            Silence,
        ],
    },
    Scenario {
        name: "a change of one brings that one",
        mode: Mode::Sotw,
        kinds: PARTS,
        on: Both,
        resources: "A B C D",
        steps: &[
            Subscribe("B D"),
            Sees("B D", "1"),
            Update("A", "2"),
            Update("B", "2"),
            Sees("B", "2"),
            Silence,
        ],
    },
    Scenario {
        name: "what is missing comes with the set when it is made",
        mode: Mode::Sotw,
        kinds: WHOLE,
        on: Both,
        resources: "A B C D",
        steps: &[Subscribe("A Z"), Sees("A", "1"), Add("Z", "2"), Sees("A Z", "2"), Silence],
    },
    Scenario {
        name: "what is missing comes when it is made",
        mode: Mode::Sotw,
        kinds: &[(Route, None)],
        on: Both,
        resources: "A B C D",
        steps: &[Subscribe("A Z"), Sees("A", "1"), Add("Z", "2"), Sees("Z", "2"), Silence],
    },
    // Whoever begins to ask for endpoints is told of missing ones that they are empty: after a
    // reconnection its cluster would warm for ever.
    Scenario {
        name: "what is missing comes when it is made",
        mode: Mode::Sotw,
        kinds: &[(Endpoint, None)],
        on: Both,
        resources: "A B C D",
        steps: &[Subscribe("A Z"), Sees("A Z", "1"), Add("Z", "2"), Sees("Z", "2"), Silence],
    },
    Scenario {
        name: "two types on one stream do not disturb each other",
        mode: Mode::Sotw,
        kinds: PAIRS,
        on: Ads,
        resources: "A B C",
        steps: &[
            Subscribe("B"),
            Sees("B", "1"),
            Other,
            Subscribe("B"),
            Sees("B", "1"),
            Update("B", "2"),
            Sees("B", "2"),
            Silence,
        ],
    },
    Scenario {
        name: "what is no longer wanted is not in the set",
        mode: Mode::Sotw,
        kinds: WHOLE,
        on: Both,
        resources: "A B C D F",
        steps: &[
            Subscribe("A B C"),
            Sees("A B C", "1"),
            Drop("B"),
            Update("A", "2"),
            Sees("A C", "2"),
            Silence,
        ],
    },
    Scenario {
        name: "what is no longer wanted is not sent",
        mode: Mode::Sotw,
        kinds: PARTS,
        on: Both,
        resources: "A B C D",
        steps: &[
            Subscribe("B D"),
            Sees("B D", "1"),
            Drop("D"),
            Update("D", "2"),
            Update("B", "2"),
            Sees("B", "2"),
            Silence,
        ],
    },
    Scenario {
        name: "who wants nothing any more gets nothing",
        mode: Mode::Sotw,
        kinds: ALL,
        on: Both,
        resources: "A B C D",
        steps: &[
            Subscribe("A B"),
            Sees("A B", "1"),
            Drop("A B"),
            Update("A", "2"),
            Update("B", "2"),
            Silence,
        ],
    },
    Scenario {
        name: "names may be asked for one after the other",
        mode: Mode::Delta,
        kinds: ALL,
        on: Both,
        resources: "A B C",
        steps: &[Subscribe("A"), Sees("A", "1"), Subscribe("B"), Sees("B", "1"), Silence],
    },
    Scenario {
        name: "a change of one brings that one",
        mode: Mode::Delta,
        kinds: ALL,
        on: Both,
        resources: "A B C",
        steps: &[Subscribe("A B C"), Sees("A B C", "1"), Update("A", "2"), Sees("A", "2"), Silence],
    },
    Scenario {
        name: "who asked for all is sent only what is new",
        mode: Mode::Delta,
        kinds: ALL,
        on: Both,
        resources: "A B",
        steps: &[Subscribe("*"), Sees("A B", "1"), Add("C", "2"), Sees("C", "2"), Silence],
    },
    Scenario {
        name: "what is missing is said to be, and comes when it is made",
        mode: Mode::Delta,
        kinds: ALL,
        on: Both,
        resources: "A",
        steps: &[
            Subscribe("A"),
            Sees("A", "1"),
            Subscribe("B"),
            IsTold("B"),
            Add("B", "1"),
            Sees("B", "1"),
            Silence,
        ],
    },
    Scenario {
        name: "what goes is said to be gone, and comes back",
        mode: Mode::Delta,
        kinds: &[(Listener, None), (Route, None), (Endpoint, None)],
        on: Both,
        resources: "A B",
        steps: &[
            Subscribe("A B"),
            Sees("A B", "1"),
            Remove("B"),
            IsTold("B"),
            Add("B", "2"),
            Sees("B", "2"),
            Silence,
        ],
    },
    Scenario {
        name: "what goes is said to be gone, and comes back",
        mode: Mode::Delta,
        kinds: &[(Cluster, None)],
        on: Own,
        resources: "A B",
        steps: &[
            Subscribe("A B"),
            Sees("A B", "1"),
            Remove("B"),
            IsTold("B"),
            Add("B", "2"),
            Sees("B", "2"),
            Silence,
        ],
    },
    // On ADS a cluster stays until it is known that no route of the client names it.
    Scenario {
        name: "what goes is said to be gone, and comes back",
        mode: Mode::Delta,
        kinds: &[(Cluster, Some(Route))],
        on: Ads,
        resources: "A B",
        steps: &[
            Subscribe("A B"),
            Sees("A B", "1"),
            Other,
            Subscribe("A"),
            Sees("A", "1"),
            Other,
            Remove("B"),
            IsTold("B"),
            Add("B", "2"),
            Sees("B", "2"),
            Silence,
        ],
    },
    Scenario {
        name: "what is no longer wanted is not sent",
        mode: Mode::Delta,
        kinds: ALL,
        on: Both,
        resources: "A B",
        steps: &[
            Subscribe("A B"),
            Sees("A B", "1"),
            Drop("B"),
            Update("B", "2"),
            Silence,
            Drop("A"),
            Update("A", "2"),
            Silence,
        ],
    },
];
