use serde_json::json;

use super::*;
use crate::fixtures::{name, smoke_test_failure};
use crate::judge::Guardrail;
use crate::model::blocker::Blocker;
use crate::model::configuration::{ReleaseInput, Source, Version, Withheld, WithheldCause};
use crate::model::dns::RecordSet;
use crate::model::failure::RequestFailure;
use crate::model::flag::FlagBlock;
use crate::model::health::{InstanceHealth, UnhealthyInstance};
use crate::model::refusal::Conflict;
use crate::units::{Ppm, Timestamp};

fn of_release(changed: bool, effect: Effect) -> Outcome {
    Outcome { release: Some(name("order.1")), changed, effect }
}

fn outcome(changed: bool, effect: Effect) -> Outcome {
    Outcome { release: None, changed, effect }
}

fn assert_texts(cases: impl IntoIterator<Item = (Outcome, &'static str)>) {
    for (outcome, expected) in cases {
        assert_eq!(outcome.to_string(), expected, "{outcome:?}");
    }
}

#[test]
fn commands_on_a_release() {
    let started = |freezes| Effect::Started {
        service: name("order"),
        stable: name("v1"),
        candidate: name("v2"),
        freezes,
    };
    let freeze = Blocker::Freeze { service: None, by: "anne".to_owned(), reason: None };
    let weight = Ppm::percent(5);
    let promoted = |paused| Effect::Promoted { step: 1, weight, paused };
    let completed = Effect::Completed { stable: name("v2") };
    let approved = |missing| Effect::Approved {
        role: name("manager"),
        by: "bob".to_owned(),
        until: Timestamp(0),
        missing,
    };
    let rolled_back = |earlier| Effect::RolledBack { stable: name("v1"), earlier };
    let earlier = || EarlierRelease {
        service: name("order"),
        release: name("order.1"),
        restores: name("v1"),
    };
    let restored = |quarantined_by| Effect::StableRestored { stable: name("v1"), quarantined_by };
    assert_texts([
        (
            of_release(true, started(Vec::new())),
            "release `order.1` of `order` from `v1` to `v2` starts",
        ),
        (
            of_release(true, started(vec![freeze])),
            "release `order.1` of `order` from `v1` to `v2` starts and stays at 0% while deployments are frozen: \
             it waits for the freeze by anne to end",
        ),
        (
            of_release(false, Effect::Running { candidate: name("v2"), weight }),
            "release `order.1` to `v2` is running, at 5%",
        ),
        (of_release(true, promoted(false)), "release `order.1` is promoted to 5%"),
        (
            of_release(true, promoted(true)),
            "release `order.1` is promoted to 5%; it is still paused",
        ),
        (
            of_release(false, Effect::LeftStep { from: 1, step: 2 }),
            "release `order.1` has left step 1: it is on step 2",
        ),
        (
            of_release(false, Effect::Watching),
            "release `order.1` is in its last step and watched; promote it without `all` to complete it now",
        ),
        (of_release(true, completed.clone()), "release `order.1` is complete: `v2` is stable"),
        (of_release(false, completed), "release `order.1` is complete"),
        (of_release(true, Effect::Paused { weight }), "release `order.1` is paused at 5%"),
        (of_release(false, Effect::Paused { weight }), "release `order.1` is paused already"),
        (of_release(true, Effect::Resumed { overridden: None }), "release `order.1` is resumed"),
        (
            of_release(true, Effect::Resumed { overridden: Some(Guardrail::ErrorRate) }),
            "release `order.1` is resumed, and its broken error rate is overridden until its next step",
        ),
        (
            of_release(false, Effect::Resumed { overridden: None }),
            "release `order.1` is not paused",
        ),
        (
            of_release(true, approved(0)),
            "release `order.1` has all approvals as `manager` for its next step",
        ),
        (
            of_release(true, approved(1)),
            "release `order.1` is approved by bob; 1 more are required",
        ),
        (
            of_release(false, approved(1)),
            "release `order.1` has the approval of bob until 1970-01-01T00:00:00Z",
        ),
        (
            of_release(false, Effect::ApprovalsComplete { role: name("manager") }),
            "release `order.1` has all approvals as `manager` for its next step",
        ),
        (
            of_release(true, rolled_back(None)),
            "release `order.1` is rolled back: `v1` receives all traffic",
        ),
        (
            of_release(false, rolled_back(None)),
            "release `order.1` is rolled back already; `v1` is stable",
        ),
        (
            Outcome {
                release: Some(name("order.2")),
                ..of_release(false, rolled_back(Some(earlier())))
            },
            "release `order.2` is rolled back already; `v1` is stable. To restore `v1`: \
             tidegate release rollback order --release order.1",
        ),
        (
            of_release(true, restored(None)),
            "release `order.1` is rolled back: `v1` is stable again",
        ),
        (
            of_release(true, restored(Some(name("scan")))),
            "release `order.1` is rolled back: `v1` is stable again, although it is quarantined by the security \
             signal `scan`",
        ),
    ]);
}

#[test]
fn commands_on_a_group() {
    let rolled_back = of_release(true, Effect::RolledBack { stable: name("v1"), earlier: None });
    let refused = |verb, conflict| Outcome {
        release: Some(name("product.1")),
        ..outcome(false, Effect::Refused { verb, conflict })
    };
    let group = |members| outcome(true, Effect::Group { group: name("checkout"), members });
    let running = Effect::GroupRunning {
        group: name("checkout"),
        members: vec![name("order.1"), name("product.1")],
    };
    let gone = Conflict::PreviousVersionGone { version: Some(name("v1")) };
    let paused = of_release(true, Effect::Paused { weight: Ppm::percent(5) });
    assert_texts([
        (outcome(false, running), "release group `checkout` is running, with order.1, product.1"),
        (
            group(vec![paused.clone(), paused.clone()]),
            "release group `checkout`: release `order.1` is paused at 5%; release `order.1` is paused at 5%",
        ),
        (
            group(vec![rolled_back, refused("roll back", gone)]),
            "release group `checkout`: release `order.1` is rolled back: `v1` receives all traffic; but cannot roll back \
             release `product.1`: `v1`, the stable version before it, is not kept any more; release it instead",
        ),
        (
            group(vec![paused, refused("approve", Conflict::NoApproval)]),
            "release group `checkout`: release `order.1` is paused at 5%",
        ),
    ]);
}

#[test]
fn results_of_effects() {
    let failure = RequestFailure::Timeout;
    let unhealthy = vec![UnhealthyInstance { endpoint: "127.0.0.1:9102".to_owned(), failure }];
    let unhealthy = InstanceHealth { unhealthy, ..InstanceHealth::default() };
    let health = |health| Effect::HealthChecked { health };
    let hook = |error: Option<&str>| Effect::HookEnded {
        hook: name("warm-up"),
        error: error.map(str::to_owned),
    };
    let records = || Effect::DnsUpdated {
        service: name("product"),
        records: RecordSet::Addresses(["127.0.0.1".parse().unwrap()].into()),
    };
    let dns = || Effect::DnsFailed { service: name("product"), error: "refused".to_owned() };
    assert_texts([
        (
            of_release(true, Effect::SmokeTested { failure: None }),
            "release `order.1`: the smoke tests passed",
        ),
        (
            of_release(true, Effect::SmokeTested { failure: Some(smoke_test_failure()) }),
            "release `order.1` is rolled back: a smoke test failed: GET http://127.0.0.1:9202/healthz: 503, not 200",
        ),
        (
            of_release(false, Effect::SmokeTested { failure: None }),
            "release `order.1` waits for no smoke tests",
        ),
        (
            of_release(true, health(InstanceHealth::default())),
            "release `order.1`: its instances are healthy",
        ),
        (
            of_release(true, health(unhealthy)),
            "release `order.1`: instances are unhealthy: 127.0.0.1:9102 (no response within the timeout)",
        ),
        (
            of_release(false, health(InstanceHealth::default())),
            "release `order.1`: the health of its instances is unchanged",
        ),
        (of_release(true, hook(None)), "hook `warm-up` of release `order.1` was called"),
        (of_release(true, hook(Some("503"))), "hook `warm-up` of release `order.1` failed: 503"),
        (of_release(false, hook(None)), "release `order.1` has no due call of hook `warm-up`"),
        (outcome(true, records()), "the records of `product` are 127.0.0.1"),
        (outcome(false, records()), "the records of `product` are no longer the desired ones"),
        (outcome(true, dns()), "the records of `product` could not be updated: refused"),
        (outcome(false, dns()), "the records of `product`: refused"),
    ]);
}

#[test]
fn checks_and_signals() {
    let check =
        |passed| Effect::CheckReported { version: name("v2"), check: name("tests"), passed };
    let quarantined = |listed, rollback| Effect::Quarantined {
        service: name("order"),
        version: name("v2"),
        listed,
        rollback,
    };
    let restored =
        |with_release| SecurityRollback::StableRestored { stable: name("v1"), with_release };
    let rolled_back = || SecurityRollback::RolledBack { stable: name("v1") };
    let release_running = SecurityRollback::ReleaseRunning { candidate: name("v3") };
    let lifted = || Effect::Unquarantined { service: name("order"), version: name("v2") };
    let raised = |blocked_at| Effect::SignalRaised {
        service: name("order"),
        version: name("v2"),
        signal: name("revenue"),
        blocked_at,
    };
    let cleared = || Effect::SignalCleared { version: name("v2"), signal: name("revenue") };
    let allowed = |quarantined_by| Effect::FlagsAllowed {
        service: name("order"),
        version: name("v2"),
        quarantined_by,
    };
    assert_texts([
        (outcome(true, check(true)), "check `tests` of `v2` passed"),
        (outcome(false, check(false)), "check `tests` of `v2` failed, as reported before"),
        (
            of_release(true, quarantined(true, rolled_back())),
            "version `v2` of `order` is quarantined; release `order.1` is rolled back to `v1`",
        ),
        (
            of_release(true, quarantined(true, restored(false))),
            "version `v2` of `order` is quarantined; `v1` is stable again",
        ),
        (
            of_release(true, quarantined(true, restored(true))),
            "version `v2` of `order` is quarantined; release `order.1` is rolled back, and `v1` is stable again",
        ),
        (
            outcome(true, quarantined(true, SecurityRollback::NoTraffic)),
            "version `v2` of `order` is quarantined; it receives no traffic",
        ),
        (
            of_release(true, quarantined(true, release_running)),
            "version `v2` of `order` is quarantined; it is stable, no safe previous version exists, and release \
             `order.1` to `v3` is running: promote that release if its candidate is safe",
        ),
        (
            outcome(true, quarantined(true, SecurityRollback::NoSafeVersion)),
            "version `v2` of `order` is quarantined; it stays stable, because no safe previous version exists: release \
             a safe one",
        ),
        (
            of_release(true, quarantined(false, rolled_back())),
            "release `order.1` is rolled back to `v1`; service `order` has 1000 quarantined versions, which is the limit, \
             so `v2` is not quarantined: lift the quarantine of versions that no longer exist",
        ),
        (outcome(true, lifted()), "version `v2` of `order` may be released again"),
        (outcome(false, lifted()), "version `v2` of `order` is not quarantined"),
        (outcome(true, raised(None)), "the signal `revenue` is active for `v2`"),
        (
            of_release(true, raised(Some(Ppm::percent(5)))),
            "the signal `revenue` blocks release `order.1` at 5% until it clears; to roll back: \
             tidegate release rollback order",
        ),
        (outcome(false, raised(None)), "the signal `revenue` is active for `v2` already"),
        (outcome(true, cleared()), "the signal `revenue` for `v2` is cleared"),
        (outcome(false, cleared()), "the signal `revenue` is not active for `v2`"),
        (outcome(true, allowed(None)), "flags may select version `v2` of `order` again"),
        (
            outcome(true, allowed(Some(name("scan")))),
            "flags may select version `v2` of `order` again once its quarantine by the security signal `scan` is lifted",
        ),
        (outcome(false, allowed(None)), "version `v2` of `order` was not rolled back"),
    ]);
}

#[test]
fn deployments_and_configurations() {
    let registered = || Effect::VersionRegistered { service: name("order"), version: name("v2") };
    let frozen = |service| Effect::Frozen { service, by: "anne".to_owned() };
    let unfrozen = |service| Effect::Unfrozen { service };
    let applied = |withheld, unused| Effect::ConfigurationApplied {
        version: Version { hash: "0123456789abcdef".to_owned(), source: Source::File },
        services: 2,
        withheld,
        unused,
    };
    let (release, input) = (name("order.1"), ReleaseInput::Dns);
    let withheld =
        Withheld { service: name("order"), cause: WithheldCause::MidRelease { release, input } };
    let shown = applied(Vec::new(), Vec::new());
    let Effect::ConfigurationApplied { version, .. } = &shown else { panic!() };
    assert_eq!(
        outcome(true, shown.clone()).to_string(),
        format!("configuration {version} is applied, with 2 services")
    );
    assert_eq!(
        outcome(false, shown.clone()).to_string(),
        format!("configuration {version} is applied already")
    );
    assert_eq!(
        outcome(true, applied(vec![withheld], vec![name("host:other.local")])).to_string(),
        format!(
            "configuration {version} is applied, with 2 services; without effect, because nothing of it is lost: \
             --allow host:other.local; not applied until the release ends: service `order`: its `dns` cannot change \
             while its release `order.1` runs"
        )
    );
    assert_texts([
        (outcome(true, registered()), "version `v2` of `order` is registered"),
        (outcome(false, registered()), "version `v2` of `order` is registered there already"),
        (
            outcome(true, frozen(None)),
            "deployments of all services are frozen: no release advances; rollbacks are possible",
        ),
        (
            outcome(false, frozen(Some(name("order")))),
            "deployments of `order` are frozen already, by anne",
        ),
        (
            outcome(true, unfrozen(Some(name("order")))),
            "the freeze of deployments of `order` has ended",
        ),
        (outcome(false, unfrozen(None)), "deployments of all services are not frozen by hand"),
    ]);
}

#[test]
fn flags() {
    let not_selected = FlagWarning::NotSelected {
        service: name("order"),
        version: name("v2"),
        block: FlagBlock::Quarantined { signal: name("scan") },
    };
    let absent = FlagWarning::AbsentAttributes {
        flag: "beta".to_owned(),
        attributes: vec!["country".to_owned()],
    };
    let set = |warnings| Effect::FlagSet { key: "beta".to_owned(), warnings };
    let replaced = || Effect::FlagsReplaced { flags: 2, before: 3, warnings: Vec::new() };
    let keys = vec!["alpha".to_owned(), "beta".to_owned()];
    let merged = Effect::FlagsMerged { keys, different: 1, warnings: Vec::new() };
    let switched = |enabled| Effect::FlagSwitched { key: "beta".to_owned(), enabled };
    assert_texts([
        (outcome(true, set(Vec::new())), "flag `beta` is set"),
        (
            outcome(true, set(vec![not_selected, absent])),
            "flag `beta` is set; no flag selects version `v2` of `order`: it is quarantined by the security signal \
             `scan`; the rules of flag `beta` read `country`, which no request has: use targetingKey, headers.NAME, \
             cookies.NAME, host, path or method",
        ),
        (outcome(false, set(Vec::new())), "flag `beta` is unchanged"),
        (outcome(true, replaced()), "2 flags replace 3"),
        (outcome(false, replaced()), "the flags are unchanged"),
        (outcome(true, merged.clone()), "1 of 2 flags changed: `alpha`, `beta`"),
        (outcome(false, merged), "the flags are unchanged"),
        (outcome(true, switched(true)), "flag `beta` is enabled"),
        (outcome(false, switched(false)), "flag `beta` is disabled already"),
        (outcome(true, Effect::FlagDeleted { key: "beta".to_owned() }), "flag `beta` is deleted"),
    ]);
}

#[test]
fn the_json_has_the_kind_and_the_values() {
    let weight = Ppm::percent(5);
    let promoted = of_release(true, Effect::Promoted { step: 1, weight, paused: false });
    let expected = json!({
        "release": "order.1", "changed": true, "effect": "promoted", "step": 1, "weight_percent": 5.0, "paused": false,
    });
    assert_eq!(serde_json::to_value(&promoted).unwrap(), expected);

    let conflict = Conflict::PreviousVersionGone { version: Some(name("v1")) };
    let refused = of_release(false, Effect::Refused { verb: "roll back", conflict });
    let group = Effect::Group { group: name("checkout"), members: vec![promoted, refused] };
    assert_eq!(
        serde_json::to_value(outcome(true, group)).unwrap(),
        json!({
            "release": null, "changed": true, "effect": "group", "group": "checkout", "members": [
                expected,
                {
                    "release": "order.1", "changed": false, "effect": "refused", "verb": "roll back",
                    "conflict": {"kind": "previous_version_gone", "version": "v1"},
                },
            ],
        })
    );
}
