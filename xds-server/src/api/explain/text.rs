//! The text of an explanation: where the release is, what it waits for and how to end that, what was measured, what comes next,
//! and what happened.

use std::time::Duration;

use super::{ReleaseEvent, Sidecars, advice};
use crate::api::views::{BlockerView, phase};
use crate::controller::DeliveryView;
use tidegate_delivery::judge::guardrails::{Guardrails, WorseThanStable};
use tidegate_delivery::judge::statistics::Units;
use tidegate_delivery::judge::{EValue, Evidence, Finding, Verdict};
use tidegate_delivery::model::holdback::Holdback;
use tidegate_delivery::model::plan::{OnFail, Plan, Step};
use tidegate_delivery::model::progress::Progress;
use tidegate_delivery::model::release::{Phase, Release, RollbackCause};
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::VersionName;
use tidegate_delivery::text;
use tidegate_delivery::units::Ppm;

/// What is explained.
pub(super) struct Context<'a> {
    pub(super) view: &'a DeliveryView,
    pub(super) service: &'a ServiceState,
    pub(super) release: &'a Release,
    pub(super) blockers: &'a [BlockerView],
    pub(super) sidecars: &'a Sidecars,
    pub(super) events: &'a [ReleaseEvent],
}

/// The explanation, one line each.
pub(super) fn lines(context: &Context<'_>) -> Vec<String> {
    let Context { view, service, release, events, .. } = context;
    let mut lines = vec![headline(release), state(release)];
    lines.extend(
        view.halted.as_ref().map(|why| format!("The control plane takes no decisions now: {why}.")),
    );
    if release.is_running() {
        lines.extend(waiting(context));
    }
    let progress = view.progress.get(&release.id);
    lines.extend(progress.iter().flat_map(|progress| measured(release, progress)));
    lines.extend(cause(release).and_then(by_chance));
    lines.push(next(service, release));
    if release.is_running() {
        lines.push(failure(&service.spec.guardrails, release));
    }
    lines.extend(group(view, release));
    lines.extend(flags(service, release));
    lines.extend(sidecars(context));
    if !events.is_empty() {
        lines.push("What happened:".to_owned());
        lines.extend(events.iter().map(event));
    }
    lines
}

fn headline(release: &Release) -> String {
    let Release { id, service, candidate, stable, started_at, started_by, .. } = release;
    format!(
        "Release {id} moves {service} from {stable}, its stable version, to {candidate}. {started_by} started it at {started_at}."
    )
}

fn state(release: &Release) -> String {
    let Release { candidate, stable, plan, .. } = release;
    let since = phase(release).1;
    let paused = match (&release.paused_by_guardrail, release.paused_at) {
        (Some(_), _) => " It is paused, because a guardrail broke.",
        (None, Some(_)) => " It is paused by an operator.",
        (None, None) => "",
    };
    let state = match &release.phase {
        Phase::Preparing { .. } => format!(
            "It is being prepared since {since}: {candidate} receives no requests yet, and all go to {stable}."
        ),
        Phase::Stepping { step, .. } => {
            let (step, steps) = (step.saturating_add(1), plan.steps.len());
            let weight = release.weight();
            format!(
                "It is on step {step} of {steps} since {since}: {candidate} receives {weight} of the requests."
            )
        }
        Phase::Watching { holdback, .. } => {
            let receives = match holdback {
                &Ppm::ZERO => format!("{candidate} receives all requests"),
                share => format!(
                    "{candidate} receives {} of the requests, {stable} the remaining {share} for comparison",
                    release.weight()
                ),
            };
            format!("It is watched since {since}: {receives}. It can still be rolled back.")
        }
        Phase::Completed { at } => {
            format!("It completed at {at}: {candidate} is the stable version.")
        }
        Phase::RolledBack { at, cause } => {
            format!("It was rolled back at {at}: {cause}. All requests go to {stable} since then.")
        }
    };
    state + paused
}

/// What it waits for, each with the command that ends it.
fn waiting(Context { release, blockers, .. }: &Context<'_>) -> Vec<String> {
    if blockers.is_empty() {
        return vec!["It waits for nothing, and goes on with the next evaluation.".to_owned()];
    }
    let each = blockers.iter().map(|BlockerView { blocker, detail }| {
        let command = advice::command(release, blocker);
        let command = command.map(|command| format!(" -> {command}")).unwrap_or_default();
        format!("- {detail}{command}")
    });
    std::iter::once("To go on it waits for:".to_owned()).chain(each).collect()
}

/// The counts of the step, and what follows from them.
fn measured(release: &Release, progress: &Progress) -> Vec<String> {
    let seen = &progress.observation;
    let (candidate, stable) = (&seen.candidate, &seen.stable);
    let failures = |name: &VersionName, counted: &Evidence| {
        let Units { bad, all } = counted.failures();
        format!("{name} failed {bad} of {all} requests")
    };
    let mut lines = vec![match (candidate.requests, stable.requests) {
        (0, 0) => "No requests were counted in this step yet.".to_owned(),
        _ => format!(
            "In this step {} and {}; verdict: {}.",
            failures(&release.candidate, candidate),
            failures(&release.stable, stable),
            seen.verdict
        ),
    }];
    if matches!(seen.verdict, Verdict::Inconclusive { .. }) && candidate.requests > 0 {
        let name = &release.candidate;
        lines.push(format!(
            "Inconclusive means: the counts show neither that {name} is good enough, nor that it is too bad."
        ));
    }
    lines.extend(seen.verdict.findings().iter().find_map(by_chance));
    lines
}

fn cause(release: &Release) -> Option<&Finding> {
    match &release.phase {
        Phase::RolledBack { cause: RollbackCause::Guardrail { finding }, .. } => Some(finding),
        _ => None,
    }
}

/// The meaning of an e-value.
fn by_chance(finding: &Finding) -> Option<String> {
    let EValue(value) = finding.e_value?;
    Some(format!(
        "An e-value of {value} means: were {} within its limit, such counts would occur in at most 1 of {value} releases.",
        finding.guardrail
    ))
}

fn next(service: &ServiceState, release: &Release) -> String {
    let Release { candidate, stable, plan, .. } = release;
    match &release.phase {
        Phase::Preparing { .. } => {
            format!("Next: {}.", entering(plan, plan.steps.first(), candidate.as_str()))
        }
        Phase::Stepping { step, .. } => {
            let (time, requests) = plan
                .steps
                .get(*step)
                .map_or((Duration::ZERO, 0), |step| (step.time, step.min_requests));
            let following = plan.steps.get(step.saturating_add(1));
            format!(
                "The step lasts until {} have passed and {candidate} has served {requests} requests, counted from when \
                 {} of the sidecars have it, no guardrail alerts and nothing else blocks it. Next: {}.",
                shown(time),
                plan.convergence.share,
                entering(plan, following, candidate.as_str())
            )
        }
        Phase::Watching { .. } => format!(
            "Next: after {} without a broken guardrail {candidate} becomes the stable version, and receives all requests.",
            shown(plan.watch)
        ),
        Phase::Completed { .. } => match (&service.previous, service.previous_until) {
            (Some(previous), Some(until)) => format!(
                "{previous} is kept until {until}: tidegate release rollback {} returns to it at once.",
                release.service
            ),
            _ => "The version before it is no longer kept.".to_owned(),
        },
        Phase::RolledBack { cause: RollbackCause::Operator, .. } => format!(
            "Next: tidegate release start {} VERSION starts another release. {stable} stays stable.",
            release.service
        ),
        Phase::RolledBack { .. } => format!(
            "Next: repair {candidate}, and release the repaired version: tidegate release start {} VERSION. {stable} stays stable.",
            release.service
        ),
    }
}

/// What happens on a step.
fn entering(plan: &Plan, step: Option<&Step>, candidate: &str) -> String {
    match step.map(|step| step.weight) {
        Some(Ppm::ALL) | None => {
            let watch = shown(plan.watch);
            match plan.holdback() {
                Holdback::NONE => {
                    format!("{candidate} receives all requests, and is watched for {watch}")
                }
                Holdback::Auto => format!(
                    "{candidate} receives all requests but 1% (below 1000 requests per second 5%), which stay on stable for \
                     comparison, and is watched for {watch}"
                ),
                Holdback::Share(share) => format!(
                    "{candidate} receives all requests but {share}, which stay on stable for comparison, and is watched for \
                     {watch}"
                ),
            }
        }
        Some(weight) => format!("{candidate} receives {weight} of the requests"),
    }
}

/// What fails a release.
fn failure(limits: &Guardrails, release: &Release) -> String {
    let Release { candidate, stable, plan, .. } = release;
    let Guardrails { error_rate, latency, false_rollback, .. } = limits;
    let then = match plan.on_fail {
        OnFail::Rollback => "is rolled back by itself",
        OnFail::Pause => "is paused by itself",
    };
    let compared = match error_rate.worse_than_stable {
        WorseThanStable::Rollback => format!(", or more often than {stable} at the same time"),
        _ => String::new(),
    };
    format!(
        "{candidate} {then} if it fails more than {} of its requests{compared}, or if more than {} of them take longer than \
         {}. Above {} of failures, or {}, it waits. Of the releases of a version that is no worse, at most {false_rollback} \
         are rolled back.",
        error_rate.rollback,
        latency.quantile.complement(),
        shown(latency.rollback),
        error_rate.alert,
        shown(latency.warning),
    )
}

fn group(view: &DeliveryView, release: &Release) -> Option<String> {
    let (name, group) = view.state.group_of(&release.id)?;
    let others = group.members.iter().filter(|id| **id != release.id);
    let others: Vec<_> = others.map(ToString::to_string).collect();
    let others = others.join(", ");
    Some(format!(
        "It is in group {name} with {others}: they take each step together, and are rolled back together."
    ))
}

/// Why no flag selects the candidate.
fn flags(service: &ServiceState, release: &Release) -> Option<String> {
    let block = service.flag_block(&release.candidate)?;
    let text = text::flag_block(&release.service, &release.candidate, &block);
    let mut chars = text.chars();
    let first = chars.next()?.to_uppercase();
    Some(format!("{first}{}.", chars.as_str()))
}

/// The sidecars by their state for the newest configuration.
fn sidecars(Context { view, release, sidecars, .. }: &Context<'_>) -> Vec<String> {
    let Sidecars { connected, synced, pending, nacked } = sidecars;
    if *connected == 0 {
        return vec!["No sidecar is connected: start one with tidegate envoy run.".to_owned()];
    }
    let named = |what: &str, names: &[String]| {
        (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
    };
    let states = [
        named("accepted by", synced),
        named("not yet answered by", pending),
        named("rejected (NACK) by", nacked),
    ];
    let states: Vec<_> = states.into_iter().flatten().collect();
    let ratio = view.progress.get(&release.id).map(|it| &it.observation.convergence.sample_ratio);
    let ratio = ratio.filter(|it| !it.is_empty()).map(|ratio| {
        format!(
            "Far from the weight of {}: {ratio}. A sidecar with few clients can be; otherwise it does not follow its configuration.",
            release.weight()
        )
    });
    let state = format!(
        "Connected sidecars: {connected}. Configuration {}, of journal record {}, is {}.",
        view.serial,
        view.seq,
        states.join("; ")
    );
    std::iter::once(state).chain(ratio).collect()
}

fn event(it: &ReleaseEvent) -> String {
    let ReleaseEvent { seq, at, event, actor, reason } = it;
    let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let event = event.replace('_', " ");
    format!("- {at} {event}, by {actor}{reason} (record {seq})")
}

fn shown(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
