//! The commands of a scenario that the reducer decides on:
//!
//! | Command | Effect |
//! |---|---|
//! | `configure [allow=KIND:NAME,…]` | applies the configuration in the input lines, see [`super::configuration`] |
//! | `register SERVICE VERSION PORT [blue\|green]` | registers a version |
//! | `remove SERVICE VERSION` | removes a version |
//! | `start SERVICE VERSION [commit=ID] [committed_at=MS]` | starts a release, with the plan in the input lines if there are any |
//! | `start-group GROUP SERVICE:VERSION…` | starts the releases of a group |
//! | `promote\|promote-all\|pause\|resume\|abort\|rollback RELEASE` | the command of an operator; `group:NAME` for a group |
//! | `approve RELEASE ROLE` | approves the next step |
//! | `check SERVICE VERSION NAME passed\|failed [url=…]` | the result of a check |
//! | `signal SERVICE VERSION security\|business NAME bad\|ok` | a signal |
//! | `unquarantine SERVICE VERSION` | lifts a quarantine |
//! | `allow-flags SERVICE VERSION` | flags may select a version that was rolled back |
//! | `freeze [SERVICE]`, `unfreeze [SERVICE]` | freezes deployments |
//! | `health RELEASE [ENDPOINT=WHY…]` | the result of a health check: the unhealthy instances |
//! | `smoke-test RELEASE passed\|failed [TEXT]` | the result of the smoke tests; TEXT: `timeout`, `status 503`, or an error |
//! | `hook RELEASE NAME answered\|failed [TEXT]` | the end of a call of a hook |
//! | `dns SERVICE updated\|failed [TEXT]` | the result of a DNS update |
//! | `flags JSON`, `set-flag KEY [if=REVISION] JSON`, `switch-flag KEY on\|off`, `delete-flag KEY` | changes flags |
//!
//! Commands of operators and of CI take `as=ACTOR` (`anne` if absent) and `reason=TEXT`.

use tidegate_delivery::model::catalogue::VersionSpec;
use tidegate_delivery::model::command::{Command, ReleaseCommand};
use tidegate_delivery::model::commit::Commit;
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::model::failure::{RequestFailure, SmokeTestFailure};
use tidegate_delivery::model::flag::FlagChange;
use tidegate_delivery::model::group::Member;
use tidegate_delivery::model::health::{InstanceHealth, UnhealthyInstance};
use tidegate_delivery::model::signals::Signal;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{HookName, ReleaseId, ServiceName};
use tidegate_delivery::units::Timestamp;

use super::configuration;
use super::script::Arguments;

/// The command of one line of a scenario. `state` has the hooks and the DNS records that effects refer to.
pub(crate) fn parse(
    state: &State,
    verb: &str,
    arguments: &mut Arguments,
    input: &[&str],
) -> Command {
    match verb {
        "configure" => {
            let configuration::Configuration { fleets, services, freeze_windows } =
                configuration::parse(input);
            let version = Version { hash: "0123456789ab".to_owned(), source: Source::File };
            let allow = arguments.option("allow");
            let allow = allow.iter().flat_map(|it| it.split(',')).map(|it| it.parse().unwrap());
            let allow = allow.collect();
            Command::ApplyConfiguration { version, fleets, services, freeze_windows, allow }
        }
        "register" => Command::RegisterVersion {
            service: arguments.value(),
            version: arguments.value(),
            spec: VersionSpec {
                endpoints: configuration::endpoints(arguments.value()),
                istio: None,
                environment: arguments
                    .next_value::<String>()
                    .map(|place| serde_json::from_value(place.into()).unwrap()),
                commit: None,
            },
        },
        "remove" => {
            Command::RemoveVersion { service: arguments.value(), version: arguments.value() }
        }
        "start" => {
            let (service, version) = (arguments.value(), arguments.value());
            let at = arguments.option("committed_at").map(|at| Timestamp(at.parse().unwrap()));
            let commit = arguments.option("commit").map(|id| Commit { id: Some(id), at });
            let plan = (!input.is_empty()).then(|| configuration::plan(input));
            Command::StartRelease { service, version, plan, commit }
        }
        "start-group" => Command::StartGroup {
            group: arguments.value(),
            members: arguments.rest().iter().map(|it| member(it)).collect(),
            plan: None,
        },
        "promote" => operator(arguments, ReleaseCommand::Promote { all: false }),
        "promote-all" => operator(arguments, ReleaseCommand::Promote { all: true }),
        "pause" => operator(arguments, ReleaseCommand::Pause),
        "resume" => operator(arguments, ReleaseCommand::Resume),
        "abort" => operator(arguments, ReleaseCommand::Abort),
        "rollback" => operator(arguments, ReleaseCommand::Rollback),
        "approve" => {
            let release = arguments.value();
            Command::Release(release, ReleaseCommand::Approve { role: arguments.value() })
        }
        "check" => Command::ReportCheck {
            service: arguments.value(),
            version: arguments.value(),
            check: arguments.value(),
            passed: result(arguments, "passed").is_ok(),
            url: arguments.option("url"),
        },
        "signal" => {
            let (service, version) = (arguments.value(), arguments.value());
            let kind = serde_json::from_value(arguments.word().into()).unwrap();
            let name = arguments.value();
            let status = serde_json::from_value(arguments.word().into()).unwrap();
            Command::Signal { service, signal: Signal { kind, version, name, status } }
        }
        "unquarantine" => {
            Command::Unquarantine { service: arguments.value(), version: arguments.value() }
        }
        "allow-flags" => {
            Command::AllowFlags { service: arguments.value(), version: arguments.value() }
        }
        "freeze" => Command::FreezeDeployments(arguments.next_value()),
        "unfreeze" => Command::UnfreezeDeployments(arguments.next_value()),
        "health" => {
            let release = arguments.value();
            let unhealthy = arguments.options().into_iter();
            let unhealthy = unhealthy
                .map(|(endpoint, error)| UnhealthyInstance { endpoint, failure: failure(&error) });
            Command::HealthChecked { release, health: InstanceHealth::of(unhealthy.collect()) }
        }
        "smoke-test" => {
            let release = arguments.value();
            let url = "http://127.0.0.1:9002/healthz".to_owned();
            let result = result(arguments, "passed")
                .map_err(|error| SmokeTestFailure { url, failure: failure(&error) });
            Command::SmokeTested { release, result }
        }
        "hook" => {
            let (release, hook): (ReleaseId, HookName) = (arguments.value(), arguments.value());
            let result = result(arguments, "answered");
            let service = state.service_of(&release).unwrap();
            let on = service.spec.hooks.iter().find(|it| it.name == hook).unwrap().on;
            Command::HookEnded { release, hook, on, attempts: 1, result }
        }
        "dns" => {
            let service: ServiceName = arguments.value();
            let records = state.services.get(&service).unwrap().desired_records().unwrap();
            let result = result(arguments, "updated").map(|()| records);
            Command::DnsChecked { service, result }
        }
        "flags" => {
            let document = serde_json::from_str(input.first().unwrap()).unwrap();
            FlagChange::Replace(document).into()
        }
        "set-flag" => Command::ChangeFlags {
            change: FlagChange::Set {
                key: arguments.word(),
                definition: serde_json::from_str(input.first().unwrap()).unwrap(),
            },
            if_revision: arguments.option("if").map(|it| it.parse().unwrap()),
        },
        "switch-flag" => {
            let key = arguments.word();
            let enabled = arguments.word() == "on";
            FlagChange::Switch { key, enabled }.into()
        }
        "delete-flag" => FlagChange::Delete { key: arguments.word() }.into(),
        other => panic!("`{other}` is no command"),
    }
}

/// `SERVICE:VERSION`.
fn member(text: &str) -> Member {
    let (service, version) = text.split_once(':').unwrap();
    Member { service: service.parse().unwrap(), version: version.parse().unwrap(), commit: None }
}

/// A command of an operator, for a release or for `group:NAME`.
fn operator(arguments: &mut Arguments, command: ReleaseCommand) -> Command {
    let subject = arguments.word();
    match subject.strip_prefix("group:") {
        Some(group) => Command::Group(group.parse().unwrap(), command),
        None => Command::Release(subject.parse().unwrap(), command),
    }
}

/// `Ok` for the given word, and the text after `failed` as the error.
fn result(arguments: &mut Arguments, success: &str) -> Result<(), String> {
    match arguments.word() {
        word if word == success => Ok(()),
        word if word == "failed" => Err(arguments.rest().join(" ")),
        other => panic!("`{other}` is neither `{success}` nor `failed`"),
    }
}

/// `timeout`, `status 503` (expected 200), or the text of a transport error.
fn failure(text: &str) -> RequestFailure {
    match text.strip_prefix("status ") {
        Some(status) => {
            RequestFailure::UnexpectedStatus { status: status.parse().unwrap(), expected: 200 }
        }
        None if text == "timeout" => RequestFailure::Timeout,
        None => RequestFailure::transport(text),
    }
}
