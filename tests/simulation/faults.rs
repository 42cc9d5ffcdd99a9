//! Random events of a tick: faults of the network, the sidecars and the control plane, and commands of operators.

use tidegate_delivery::fixtures::{name, start, version};
use tidegate_delivery::model::command::{Command, ReleaseCommand};
use tidegate_delivery::model::flag::FlagChange;
use tidegate_delivery::model::signals::{Signal, SignalKind, SignalStatus};
use tidegate_xds::kind::Kind;

use super::configuration::SERVICES;
use super::disk::Crash;
use super::world::World;

/// Draws the events of the next tick. Chances are per thousand.
pub(crate) fn draw(world: &mut World) {
    if world.random.chance(6) {
        let index = usize::try_from(world.random.below(world.sidecars.len() as u64)).unwrap();
        let down = world.random.below(3_000);
        world.note(&format!("connection {index} cut"));
        world.cut(index, down);
    }
    if world.random.chance(4) {
        nack(world);
    }
    if world.random.chance(3) {
        crash(world);
    }
    if world.random.chance(2) {
        world.reports_lost_until = world.now() + world.random.below(12_000);
    }
    if world.random.chance(6) {
        reload(world);
    }
    if world.random.chance(8) {
        flag(world);
    }
    if world.random.chance(40) {
        operate(world);
    }
}

/// A sidecar begins to NACK a type, or stops. EDS is left out: a cluster without endpoints stays warming for ever.
fn nack(world: &mut World) {
    let index = usize::try_from(world.random.below(world.sidecars.len() as u64)).unwrap();
    let kinds = [Kind::Cluster, Kind::Listener, Kind::Extension, Kind::Route];
    let kind = *world.random.pick(&kinds);
    world.note(&format!("sidecar {index} begins or ends to NACK {kind}"));
    if world.sidecars[index].nacks.is_some() {
        world.sidecars[index].stop_nacking();
    } else {
        world.sidecars[index].nacks = Some(kind);
    }
}

fn crash(world: &mut World) {
    match world.random.below(3) {
        0 => {
            let down = world.random.below(4_000);
            world.crash(down);
        }
        1 => world.crash_at_next_append(Crash::BeforeWrite),
        _ => world.crash_at_next_append(Crash::AfterWrite),
    }
}

/// The file changes, and the control plane reloads it. A restart reads the new file as well, even if the reload was rejected.
fn reload(world: &mut World) {
    world.file = world.file.changed(&mut world.random);
    let mut result = String::new();
    world.act(|control_plane, file| {
        result = match control_plane.reconfigure(file) {
            Ok(outcome) => outcome.to_string(),
            Err(error) => format!("rejected: {error}"),
        };
    });
    world.note(&format!("reload: {result}"));
}

fn flag(world: &mut World) {
    let key = format!("flag-{}", world.random.below(3));
    let change = if world.random.chance(300) {
        FlagChange::Delete { key }
    } else {
        let variant = *world.random.pick(&["v1", "v2"]);
        let definition = serde_json::json!({
            "state": "ENABLED",
            "variants": {"v1": "v1", "v2": "v2"},
            "defaultVariant": variant,
            "metadata": {"service": "order"},
        });
        FlagChange::Set { key, definition }
    };
    world.command(&change.into());
}

fn operate(world: &mut World) {
    // A crash may come before the first record.
    if world.state().services.is_empty() {
        return;
    }
    let service = *world.random.pick(&SERVICES);
    let candidate = *world.random.pick(&["v1", "v2", "v3"]);
    let command = match world.running(service) {
        None => match world.random.below(10) {
            0 => Command::Unquarantine { service: name(service), version: name(candidate) },
            1 => Command::UnfreezeDeployments(None),
            2 => Command::RegisterVersion {
                service: name(service),
                version: name("v4"),
                spec: version(9300 + u16::try_from(world.random.below(9)).unwrap(), None),
            },
            3 => match world.state().services[service].release.clone() {
                Some(release) => Command::Release(release.id, ReleaseCommand::Rollback),
                None => start(service, "v4"),
            },
            _ => {
                let key = (service.to_owned(), candidate.to_owned());
                let serves = world.state().services[service].stable.as_str() == candidate;
                world.bad.remove(&key);
                if !serves && world.random.chance(300) {
                    world.bad.insert(key);
                }
                start(service, candidate)
            }
        },
        Some(release) => match world.random.below(16) {
            0 => Command::Release(release.id, ReleaseCommand::Abort),
            1 => Command::Release(release.id, ReleaseCommand::Rollback),
            2 => Command::Release(release.id, ReleaseCommand::Promote { all: true }),
            3 => Command::Release(release.id, ReleaseCommand::Promote { all: false }),
            4 | 5 => Command::Release(release.id, ReleaseCommand::Pause),
            6 => Command::FreezeDeployments(Some(name(service))),
            7 if world.random.chance(300) => Command::Signal {
                service: name(service),
                signal: Signal {
                    kind: SignalKind::Security,
                    version: release.candidate,
                    name: name("scan"),
                    status: SignalStatus::Bad,
                },
            },
            8..=10 => Command::UnfreezeDeployments(Some(name(service))),
            _ => Command::Release(release.id, ReleaseCommand::Resume),
        },
    };
    world.command(&command);
}
