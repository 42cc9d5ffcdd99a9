//! The versions in use that a configuration drops: a stable version, or one that a rollback window keeps.

use crate::model::catalogue::ServiceSpec;
use crate::model::configuration::{DroppedRole, DroppedVersion, ServiceVersion};
use crate::model::state::{ServiceState, State};

/// The versions in use that `services` drop.
pub(super) fn dropped(state: &State, services: &[ServiceSpec]) -> Vec<DroppedVersion> {
    let all = state.services.values().flat_map(|service| {
        let now = services.iter().find(|spec| spec.name == service.spec.name);
        of_service(state, service, now)
    });
    all.collect()
}

fn of_service(
    state: &State,
    service: &ServiceState,
    now: Option<&ServiceSpec>,
) -> Vec<DroppedVersion> {
    let name = &service.spec.name;
    let (stable, previous) = match now {
        None => (true, true),
        Some(now) => {
            let before = state.declared.get(name);
            let declared = |spec: &ServiceSpec| spec.versions.contains_key(&service.stable);
            let mut after = service.clone();
            after.redeclare(before, now);
            (before.is_some_and(declared) && !declared(now), after.previous.is_none())
        }
    };
    let until = service.previous_until;
    let stable = stable.then_some((&service.stable, DroppedRole::Stable));
    let previous = service.previous.as_ref().filter(|_| previous);
    let previous = previous.map(|version| (version, DroppedRole::Previous { until }));
    let dropped = |(version, role): (&_, _)| DroppedVersion {
        version: ServiceVersion { service: name.clone(), version: Clone::clone(version) },
        role,
    };
    stable.into_iter().chain(previous).map(dropped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::*;
    use crate::model::command::{Command, Refusal, ReleaseCommand};
    use crate::model::refusal::DroppedVersions;
    use crate::units::Timestamp;

    /// `order` with v2 as its stable version, and v1 kept for a rollback.
    fn released() -> State {
        let mut state = declared();
        let promote = |all| verb("order.1", ReleaseCommand::Promote { all });
        for command in [start("order", "v2"), promote(true), promote(false)] {
            run(&mut state, Timestamp(0), &command).unwrap();
        }
        state
    }

    fn without(version: &str) -> ServiceSpec {
        let mut spec = order();
        spec.versions.remove(version);
        if version == "v1" {
            spec.stable = name("v2");
        }
        spec
    }

    fn refused(state: &mut State, command: &Command) -> Vec<(String, DroppedRole)> {
        match run(state, Timestamp(1), command) {
            Err(Refusal::DropsVersions { dropped: DroppedVersions(dropped) }) => {
                dropped.into_iter().map(|it| (it.version.to_string(), it.role)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_version_in_use_is_dropped_by_name_only() {
        let before = released();
        let until = before.services["order"].previous_until;
        assert!(until.is_some());
        let stable = ("order/v2".to_owned(), DroppedRole::Stable);
        let previous = ("order/v1".to_owned(), DroppedRole::Previous { until });
        for (services, dropped) in [
            (vec![without("v1"), product()], vec![previous.clone()]),
            (vec![without("v2"), product()], vec![stable.clone()]),
            (vec![product()], vec![stable, previous]),
        ] {
            let mut state = before.clone();
            let command = configuration(services, Vec::new());
            assert_eq!(refused(&mut state, &command), dropped);
            let other = allowing(command.clone(), &["order/v9", "product/v1"]);
            assert_eq!(refused(&mut state, &other), dropped);
            assert_eq!(state, before);
            let names: Vec<_> = dropped.iter().map(|(name, _)| name.as_str()).collect();
            let allowed = allowing(command, &names);
            assert!(run(&mut state, Timestamp(1), &allowed).unwrap().changed);
        }
    }

    #[test]
    fn a_version_is_free_to_go_after_the_rollback_window() {
        let mut state = released();
        let after = state.services["order"].previous_until.unwrap();
        let closed = crate::reducer::close_expired_window(&state.services["order"], after);
        state.apply(after, &closed.unwrap()).unwrap();
        let command = configuration(vec![without("v1"), product()], Vec::new());
        assert!(run(&mut state, after, &command).unwrap().changed);
        assert!(!state.services["order"].spec.versions.contains_key("v1"));
    }

    #[test]
    fn the_refusal_names_each_version_and_how_to_allow_it() {
        let command = configuration(vec![product()], Vec::new());
        let refusal = run(&mut released(), Timestamp(1), &command).unwrap_err().to_string();
        for part in [
            "`order/v2`, the stable version",
            "`order/v1`, kept for a rollback until ",
            "tidegate apply --allow order/v2 --allow order/v1",
        ] {
            assert!(refusal.contains(part), "{refusal}");
        }
    }
}
