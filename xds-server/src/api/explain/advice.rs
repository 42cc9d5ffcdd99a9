//! The command that ends a blocker, or that shows more about it.

use tidegate_delivery::model::blocker::Blocker;
use tidegate_delivery::model::release::Release;
use tidegate_delivery::text::quoted;

/// The command for a blocker of a release; none if only time or requests end it.
pub(super) fn command(release: &Release, blocker: &Blocker) -> Option<String> {
    let Release { service, candidate, .. } = release;
    Some(match blocker {
        Blocker::Paused | Blocker::PausedByGuardrail { .. } => {
            format!("tidegate release resume {service}")
        }
        Blocker::Approval { role, .. } => {
            format!("tidegate release approve {service} --role {role}")
        }
        Blocker::CheckMissing { check } | Blocker::CheckFailed { check, .. } => {
            format!("tidegate version check {service} {candidate} --name {check} --result passed")
        }
        Blocker::Freeze { service: None, .. } => "tidegate freeze end".to_owned(),
        Blocker::Freeze { service: Some(service), .. } => format!("tidegate freeze end {service}"),
        Blocker::HookFailed { .. } => format!("tidegate release promote {service}"),
        Blocker::Signal { signal, .. } => format!(
            "tidegate version signal {service} {candidate} --kind business --name {signal} --status ok"
        ),
        Blocker::Nack { nack } => format!("tidegate nodes {}", quoted(&nack.node)),
        Blocker::NoSidecars | Blocker::MoreNacks { .. } => "tidegate nodes".to_owned(),
        Blocker::Convergence { lagging: nodes, .. } | Blocker::SilentSidecars { nodes, .. } => {
            let node = nodes.first().map(|node| format!(" {}", quoted(node)));
            format!("tidegate nodes{}", node.unwrap_or_default())
        }
        Blocker::Group { group, .. } => format!("tidegate release group status {group}"),
        Blocker::StepStarting
        | Blocker::Time { .. }
        | Blocker::Requests { .. }
        | Blocker::ReportCoverage { .. }
        | Blocker::Alert { .. }
        | Blocker::UnclearedAlert { .. }
        | Blocker::AtLimit { .. }
        | Blocker::Inconclusive { .. }
        | Blocker::QueryMissing { .. }
        | Blocker::FreezeWindow { .. }
        | Blocker::HealthUnknown
        | Blocker::Health { .. }
        | Blocker::SmokeTests
        | Blocker::Hook { .. }
        | Blocker::Dns { .. }
        | Blocker::DnsCaches { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_delivery::fixtures::{declared, nack, name, newest, run, start};
    use tidegate_delivery::units::{Ppm, Timestamp};

    #[test]
    fn a_blocker_that_an_operator_ends_has_its_command() {
        let mut state = declared();
        run(&mut state, Timestamp(0), &start("order", "v2")).unwrap();
        let release = newest(&state, "order");
        let approval =
            Blocker::Approval { role: name("manager"), missing: 1, weight: Ppm::percent(5) };
        let freeze =
            Blocker::Freeze { service: Some(name("order")), by: "anne".to_owned(), reason: None };
        for (blocker, expected) in [
            (Blocker::Paused, Some("tidegate release resume order")),
            (approval, Some("tidegate release approve order --role manager")),
            (freeze, Some("tidegate freeze end order")),
            (
                Blocker::CheckMissing { check: name("tests") },
                Some("tidegate version check order v2 --name tests --result passed"),
            ),
            (Blocker::Nack { nack: nack() }, Some("tidegate nodes edge-2")),
            (Blocker::Requests { missing: 3 }, None),
        ] {
            assert_eq!(command(release, &blocker).as_deref(), expected, "{blocker:?}");
        }
    }
}
