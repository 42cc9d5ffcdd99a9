//! Releases: phases, verdicts with their evidence, rollbacks, hooks and DNS.

use std::fmt;

use super::super::views::{self, PhaseKind};
use crate::controller::DeliveryView;
use crate::metrics::families::Families;
use tidegate_delivery::judge::Verdict;
use tidegate_delivery::model::hook::CallState;

pub(super) fn encode(view: &DeliveryView, metrics: &mut Families<'_>) -> fmt::Result {
    let newest = view.state.services.values().filter_map(|it| it.release.as_ref());
    let phases: Vec<PhaseKind> = newest.map(|release| views::phase(release).0).collect();
    // A phase without releases is exported as 0.
    let counts = PhaseKind::ALL.into_iter().map(|phase| {
        let count = phases.iter().filter(|it| **it == phase).count();
        ([("phase", phase.as_str())], u64::try_from(count).unwrap_or(u64::MAX))
    });
    metrics.gauges("releases_by_phase", "Newest release of each service, by phase", counts)?;
    judged(view, metrics)?;

    let services = view.state.services.iter();
    let started = services.clone().map(|(name, it)| ([("service", name.as_str())], it.releases));
    metrics.counters("releases", "Releases started, over the life of the journal", started)?;
    let rolled_back = services.clone().flat_map(|(name, _)| {
        let causes = view.figures.rollbacks(name.as_str());
        causes.into_iter().map(move |(cause, count)| {
            ([("service", name.as_str()), ("cause", cause.as_str())], count)
        })
    });
    let help = "Releases rolled back, over the life of the journal";
    metrics.counters("rollbacks", help, rolled_back)?;

    let pending = services.clone().map(|(name, it)| {
        ([("service", name.as_str())], u64::try_from(it.due_calls().count()).unwrap_or(u64::MAX))
    });
    metrics.gauges("hooks_pending", "Hook calls that are not yet delivered", pending)?;
    let failed = services.clone().map(|(name, it)| {
        let calls = it.release.iter().flat_map(|release| &release.calls);
        let failed = calls.filter(|call| matches!(call.end, CallState::Failed { .. })).count();
        ([("service", name.as_str())], u64::try_from(failed).unwrap_or(u64::MAX))
    });
    metrics.gauges("hooks_failed", "Hook calls of the newest release that failed", failed)?;
    let dns = services
        .filter(|(_, it)| it.spec.dns.is_some())
        .map(|(name, it)| ([("service", name.as_str())], u32::from(it.dns.error.is_some())));
    metrics.gauges("dns_update_failing", "1 while the last DNS update failed", dns)
}

/// What the judge finds in the running releases.
fn judged(view: &DeliveryView, metrics: &mut Families<'_>) -> fmt::Result {
    let running = view.state.services.iter().filter_map(|(name, service)| {
        let release = service.running()?;
        let progress = view.progress.get(&release.id)?;
        Some((name.as_str(), release, &progress.observation.verdict))
    });
    let verdicts = running.clone().flat_map(|(service, _, verdict)| {
        ["healthy", "inconclusive", "alert", "roll_back"].map(|name| {
            ([("service", service), ("verdict", name)], u32::from(name_of(verdict) == name))
        })
    });
    let watched = view.state.services.iter().flat_map(|(name, service)| {
        service.alerts.iter().flat_map(move |(version, alerts)| {
            alerts.iter().map(move |(guardrail, level)| {
                let labels = [
                    ("service", name.to_string()),
                    ("version", version.to_string()),
                    ("guardrail", String::from(guardrail.clone())),
                    ("level", level.to_string()),
                ];
                (labels, 1_u32)
            })
        })
    });
    let help = "1 while a guardrail of a version alerts that no release judges";
    metrics.gauges("version_alert", help, watched)?;
    let deviating = view.state.services.iter().filter_map(|(name, service)| {
        let progress = view.progress.get(&service.running()?.id)?;
        let ratio = &progress.observation.convergence.sample_ratio;
        Some(([("service", name.as_str())], ratio.deviating()))
    });
    let help = "Sidecars whose share of requests to the candidate is far from its weight";
    metrics.gauges("sidecars_off_weight", help, deviating)?;
    let help = "1 for the present verdict on a running release, 0 for the others";
    metrics.gauges("verdict", help, verdicts)?;
    let alerts = running.clone().flat_map(|(service, release, _)| {
        release.alerts.iter().map(move |(guardrail, level)| {
            let labels = [
                ("service", service.to_owned()),
                ("guardrail", String::from(guardrail.clone())),
                ("level", level.to_string()),
            ];
            (labels, 1_u32)
        })
    });
    metrics.gauges("release_alert", "1 while a guardrail of a running release alerts", alerts)?;
    let evidence = running.flat_map(|(service, _, verdict)| {
        verdict.findings().iter().filter_map(move |finding| {
            let guardrail = String::from(finding.guardrail.clone());
            let labels = [("service", service.to_owned()), ("guardrail", guardrail)];
            Some((labels, finding.e_value?.0))
        })
    });
    let help = "Evidence (e-value) that a limit is exceeded, of the guardrails with a finding";
    metrics.gauges("guardrail_e_value", help, evidence)
}

const fn name_of(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "healthy",
        Verdict::Inconclusive { .. } => "inconclusive",
        Verdict::Alert { .. } => "alert",
        Verdict::RollBack { .. } => "roll_back",
    }
}
