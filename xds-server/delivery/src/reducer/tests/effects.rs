//! Hooks and DNS: due calls, blockers, and that they never block a rollback.

use super::super::*;
use std::time::Duration;

use super::{World, time};
use crate::fixtures::{
    configuration, dns, healthy, hook, name, newest, order, product, start, verb, version,
};
use crate::model::blocker::Blocker;
use crate::model::catalogue::Environment;
use crate::model::command::ReleaseCommand::{Abort, Promote, Rollback};
use crate::model::dns::RecordSet;
use crate::model::hook::{Hook, Moment};
use crate::model::release::Phase;
use crate::units::Timestamp;

/// `product` with these hooks, and with a name that follows it; v2 is in green.
fn world(hooks: Vec<Hook>) -> World {
    let mut spec = product();
    spec.hooks = hooks;
    spec.versions.insert(name("v2"), version(9202, Some(Environment::Green)));
    if let Some(green) = spec.versions.get_mut("v2") {
        green.endpoints[0].host = "192.0.2.2".to_owned();
    }
    spec.plan.smoke_tests.clear();
    spec.dns = Some(dns());
    let mut world = World::new();
    world.ask(&configuration(vec![order(), spec], Vec::new())).unwrap();
    world
}

/// `product` at 100 % since second 0.
fn switched(hooks: Vec<Hook>) -> World {
    let mut world = world(hooks);
    world.ask(&start("product", "v2")).unwrap();
    world.ask(&verb("product.1", Promote { all: true })).unwrap();
    assert!(matches!(newest(&world.0, "product").phase, Phase::Watching { .. }));
    world
}

fn answers(address: &str) -> Command {
    let records = RecordSet::Addresses([address.parse().unwrap()].into());
    Command::DnsChecked { service: name("product"), result: Ok(records) }
}

fn ended(hook: &str, on: Moment, result: Result<(), String>) -> Command {
    Command::HookEnded { release: name("product.1"), hook: name(hook), on, attempts: 1, result }
}

fn due(world: &World) -> Vec<String> {
    world.0.services["product"].due_calls().map(|call| call.hook.name.to_string()).collect()
}

#[test]
fn a_call_is_due_from_its_trigger_until_it_ends() {
    let all = [Moment::Started, Moment::Switched, Moment::Completed, Moment::RolledBack];
    let names = ["started", "switched", "completed", "back"];
    let hooks = names.iter().zip(all).map(|(name, on)| hook(name, on, false)).collect();
    let mut world = world(hooks);
    assert_eq!(due(&world), [""; 0]);
    world.ask(&start("product", "v2")).unwrap();
    assert_eq!(due(&world), ["started"]);
    world.ask(&verb("product.1", Promote { all: true })).unwrap();
    world.ask(&verb("product.1", Promote { all: false })).unwrap();
    assert_eq!(due(&world), ["started", "switched", "completed"]);
    assert!(world.ask(&ended("switched", Moment::Switched, Ok(()))).unwrap().changed);
    assert!(
        !world.ask(&ended("switched", Moment::Switched, Err("late".to_owned()))).unwrap().changed
    );
    world.ask(&verb("product.1", Rollback)).unwrap();
    assert_eq!(due(&world), ["started", "completed", "back"]);
    world.ask(&start("product", "v2")).unwrap();
    assert_eq!(due(&world), ["started", "completed", "back", "started"]);
    assert!(world.ask(&ended("back", Moment::RolledBack, Err("no".to_owned()))).unwrap().changed);
    assert_eq!(due(&world), ["started", "completed", "started"]);
    let unknown = Command::HookEnded {
        release: name("unknown.1"),
        hook: name("back"),
        on: Moment::RolledBack,
        attempts: 1,
        result: Ok(()),
    };
    assert!(world.ask(&unknown).is_err());
}

#[test]
fn calls_of_a_hook_that_was_redefined_have_different_keys_and_end_separately() {
    let mut world = world(vec![hook("cache", Moment::Started, false)]);
    world.ask(&start("product", "v2")).unwrap();
    let mut spec = world.0.services["product"].spec.clone();
    spec.hooks = vec![hook("cache", Moment::Switched, false)];
    world.ask(&configuration(vec![order(), spec], Vec::new())).unwrap();
    world.ask(&verb("product.1", Promote { all: true })).unwrap();
    let due = |world: &World| -> Vec<(String, Moment)> {
        let calls = world.0.services["product"].due_calls();
        calls.map(|call| (call.key(), call.hook.on)).collect()
    };
    let calls = due(&world);
    let [(started, Moment::Started), (switched, Moment::Switched)] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_ne!(started, switched);
    assert!(world.ask(&ended("cache", Moment::Switched, Ok(()))).unwrap().changed);
    assert_eq!(due(&world), [(started.clone(), Moment::Started)]);
    assert!(!world.ask(&ended("cache", Moment::Switched, Ok(()))).unwrap().changed);
    assert!(world.ask(&ended("cache", Moment::Started, Ok(()))).unwrap().changed);
    assert!(due(&world).is_empty());
}

#[test]
fn the_key_of_a_call_depends_on_name_transition_and_url() {
    let key = |hook: Hook| {
        let mut world = world(vec![hook]);
        world.ask(&start("product", "v2")).unwrap();
        world.ask(&verb("product.1", Promote { all: true })).unwrap();
        world.0.services["product"].due_calls().next().unwrap().key()
    };
    let cache = || hook("cache", Moment::Switched, false);
    assert_eq!(key(cache()), key(Hook { retries: 7, ..cache() }));
    assert_ne!(key(cache()), key(Hook { url: "http://127.0.0.1:2/other".to_owned(), ..cache() }));
    assert_ne!(key(cache()), key(hook("cache", Moment::Started, false)));
    assert_ne!(key(cache()), key(hook("index", Moment::Switched, false)));
}

#[test]
fn a_blocking_hook_blocks_completion_and_never_a_rollback() {
    let mut world = switched(vec![hook("index", Moment::Switched, true)]);
    world.ask(&answers("192.0.2.2")).unwrap();
    let hook_name = || name("index");
    let blockers = world.see("product", 1000, &healthy(10));
    assert_eq!(blockers, [Blocker::Hook { hook: hook_name() }]);
    world.ask(&ended("index", Moment::Switched, Err("status 500".to_owned()))).unwrap();
    let blockers = world.see("product", 0, &healthy(10));
    let error = "status 500".to_owned();
    assert_eq!(blockers, [Blocker::HookFailed { hook: hook_name(), error }]);
    assert!(matches!(newest(&world.0, "product").phase, Phase::Watching { .. }));
    world.ask(&verb("product.1", Rollback)).unwrap();
    assert!(matches!(newest(&world.0, "product").phase, Phase::RolledBack { .. }));

    let mut world = switched(vec![hook("index", Moment::Switched, true)]);
    world.ask(&answers("192.0.2.2")).unwrap();
    world.see("product", 1000, &healthy(10));
    world.ask(&ended("index", Moment::Switched, Ok(()))).unwrap();
    world.see("product", 0, &healthy(10));
    assert!(matches!(newest(&world.0, "product").phase, Phase::Completed { .. }));
}

#[test]
fn the_watch_period_begins_once_dns_is_updated_and_caches_have_expired() {
    let mut world = switched(Vec::new());
    let dns = |error| Blocker::Dns { name: dns().name, version: name("v2"), error };
    assert_eq!(world.see("product", 500, &healthy(10)), [dns(None)]);
    let failed = Err("no connection".to_owned());
    let checked = Command::DnsChecked { service: name("product"), result: failed };
    assert!(world.ask(&checked).unwrap().changed);
    assert!(!world.ask(&checked).unwrap().changed, "the same is not journaled again");
    let failed = dns(Some("no connection".to_owned()));
    assert_eq!(world.see("product", 0, &healthy(10)), [failed]);

    assert!(world.ask(&answers("192.0.2.2")).unwrap().changed);
    let blockers = world.see("product", 29, &healthy(10));
    let remaining = Duration::from_secs(1);
    let caches = Blocker::DnsCaches { name: crate::fixtures::dns().name, remaining };
    assert_eq!(blockers, [caches, time(60)]);
    assert_eq!(world.see("product", 60, &healthy(10)), [time(1)]);
    world.see("product", 1, &healthy(10));
    assert!(matches!(newest(&world.0, "product").phase, Phase::Completed { .. }));
}

#[test]
fn a_dns_answer_from_before_a_rollback_is_not_recorded() {
    let mut world = switched(Vec::new());
    let wanted = |world: &World| world.0.services["product"].desired_records().unwrap().to_string();
    assert_eq!(wanted(&world), "192.0.2.2");
    world.ask(&verb("product.1", Rollback)).unwrap();
    assert_eq!(wanted(&world), "127.0.0.1");
    assert!(!world.ask(&answers("192.0.2.2")).unwrap().changed);
    assert!(world.0.services["product"].dns_update_pending());
    assert!(world.ask(&answers("127.0.0.1")).unwrap().changed);
    assert!(!world.0.services["product"].dns_update_pending());
}

#[test]
fn dns_is_not_updated_below_100_percent() {
    let mut world = world(Vec::new());
    world.ask(&start("product", "v2")).unwrap();
    let wanted = world.0.services["product"].desired_records().unwrap();
    assert_eq!(wanted.to_string(), "127.0.0.1");
    world.ask(&verb("product.1", Abort)).unwrap();
    assert_eq!(newest(&world.0, "product").dns, None);
    assert_eq!(world.now(), Timestamp(0));
}
