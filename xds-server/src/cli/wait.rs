//! `tidegate release wait`: waits for the end of a release, for pipelines. Every end has an exit code of its own.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tidegate::api::views::{BlockerView, PhaseKind, ReleaseView, Service};
use tidegate_delivery::model::blocker::Blocker;
use tokio::time::{Instant, sleep};

use super::client::Client;
use super::failure::Failure;
use super::output;
use super::text;

/// Time between two requests.
const PERIOD: Duration = Duration::from_secs(1);

const DEFAULT_TIMEOUT: &str = "24h";

/// What to wait for, and how long.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Until {
    /// Wait for this: `completed`, or `step=N` for the start of a step or a later one
    #[arg(long = "for", value_name = "STATE", default_value = "completed")]
    goal: Goal,
    /// Give up after this time
    #[arg(long, value_name = "DURATION", default_value = DEFAULT_TIMEOUT, value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Wait also while the release is paused or needs an approval
    #[arg(long)]
    through_pauses: bool,
}

/// The state that ends the wait with success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Completed,
    /// Counted from 1.
    Step(usize),
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let step = text.strip_prefix("step=").and_then(|step| step.parse().ok());
        match (text, step) {
            ("completed", _) => Ok(Self::Completed),
            (_, Some(step)) if step > 0 => Ok(Self::Step(step)),
            _ => Err("write `completed`, or `step=N` with a step from 1".to_owned()),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("its completion"),
            Self::Step(step) => write!(f, "step {step}"),
        }
    }
}

impl Until {
    /// The completion of a release.
    pub(super) fn completed(timeout: Option<Duration>) -> Self {
        let timeout = timeout.unwrap_or(Duration::from_secs(24 * 3600));
        Self { goal: Goal::Completed, timeout, through_pauses: false }
    }
}

/// The end of a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Reached,
    /// With its cause.
    RolledBack(String),
    /// An operator must act: the blockers as text.
    Paused(Vec<String>),
}

/// Waits for a release, and prints a line for each change.
pub(super) async fn run(
    client: &Client,
    service: &str,
    release: &str,
    until: &Until,
) -> Result<(), Failure> {
    let deadline = Instant::now() + until.timeout;
    let mut printed = String::new();
    loop {
        let seen = match fetch(client, service, release).await {
            // The wait continues across a restart of the server.
            Err(failure @ Failure::Unreachable { .. }) if Instant::now() >= deadline => {
                return Err(failure);
            }
            Err(Failure::Unreachable { .. }) => None,
            seen => Some(seen?),
        };
        if let Some((line, view)) = &seen {
            if *line != printed {
                output::print(line)?;
                printed.clone_from(line);
            }
            match end(view, until.goal) {
                Some(End::Reached) => return Ok(()),
                Some(End::RolledBack(cause)) => {
                    return Err(Failure::RolledBack { release: release.to_owned(), cause });
                }
                Some(End::Paused(blockers)) if !until.through_pauses => {
                    let blockers = blockers.join("; ");
                    return Err(Failure::Paused { release: release.to_owned(), blockers });
                }
                Some(End::Paused(_)) | None => {}
            }
        }
        if Instant::now() >= deadline && seen.is_some() {
            let (goal, timeout) = (until.goal.to_string(), until.timeout);
            return Err(Failure::TimedOut { release: release.to_owned(), goal, timeout });
        }
        sleep(PERIOD).await;
    }
}

/// The release, and the line that describes it. A later release of the service ends the wait: this one has ended before.
async fn fetch(
    client: &Client,
    service: &str,
    release: &str,
) -> Result<(String, ReleaseView), Failure> {
    let answer = client.get(&["releases", release]).await?;
    let view: ReleaseView = client.read(&answer)?;
    let answer = client.get(&["services", service]).await?;
    let service: Service = client.read(&answer)?;
    Ok((text::line(&service), view))
}

fn end(release: &ReleaseView, goal: Goal) -> Option<End> {
    let reached_step = |wanted| match release.phase {
        PhaseKind::Stepping => release.step.is_some_and(|step| step >= wanted),
        PhaseKind::Watching | PhaseKind::Completed => true,
        PhaseKind::Preparing | PhaseKind::RolledBack => false,
    };
    match (release.phase, goal) {
        (PhaseKind::RolledBack, _) => {
            let cause = release.cause.as_ref().map(ToString::to_string).unwrap_or_default();
            return Some(End::RolledBack(cause));
        }
        (PhaseKind::Completed, _) => return Some(End::Reached),
        (_, Goal::Step(step)) if reached_step(step) => return Some(End::Reached),
        _ => {}
    }
    let blockers = &release.progress.as_ref()?.blockers;
    let needed: Vec<_> = blockers.iter().filter(|it| needs_operator(&it.blocker)).collect();
    let is_paused = release.paused || (!needed.is_empty() && needed.len() == blockers.len());
    let texts = || needed.iter().map(|BlockerView { detail, .. }| detail.clone()).collect();
    is_paused.then(|| End::Paused(texts()))
}

/// Whether only an operator ends this blocker.
const fn needs_operator(blocker: &Blocker) -> bool {
    matches!(
        blocker,
        Blocker::Paused
            | Blocker::PausedByGuardrail { .. }
            | Blocker::Approval { .. }
            | Blocker::Freeze { .. }
            | Blocker::HookFailed { .. }
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn release(change: &Value) -> ReleaseView {
        let mut release = json!({
            "id": "order.1", "service": "order", "candidate": "v2", "stable": "v1",
            "phase": "stepping", "since": "2026-01-01T00:00:00Z", "step": 2, "steps": 3,
            "weight_percent": 50.0, "paused": false, "cause": null, "alerts": {},
            "progress": null, "started_at": "2026-01-01T00:00:00Z", "started_by": "ci",
            "plan": {"strategy": "canary", "steps": [], "watch_ms": 0, "holdback": "0%", "smoke_tests": [], "checks": [],
                "on_fail": "rollback", "convergence_percent": 100.0, "rollback_window_ms": 0,
                "rollback_after_completion_ms": 0},
        });
        for (name, value) in change.as_object().unwrap() {
            release[name] = value.clone();
        }
        serde_json::from_value(release).unwrap()
    }

    #[test]
    fn a_goal_is_a_step_or_the_completion() {
        assert_eq!("completed".parse(), Ok(Goal::Completed));
        assert_eq!("step=2".parse(), Ok(Goal::Step(2)));
        for wrong in ["", "step=0", "step=x", "step", "2"] {
            assert!(wrong.parse::<Goal>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_state_has_its_end() {
        let at = |change: Value, goal| end(&release(&change), goal);
        assert_eq!(at(json!({}), Goal::Completed), None);
        assert_eq!(at(json!({}), Goal::Step(3)), None);
        assert_eq!(at(json!({}), Goal::Step(2)), Some(End::Reached));
        assert_eq!(
            at(json!({"phase": "watching", "step": null}), Goal::Step(3)),
            Some(End::Reached)
        );
        assert_eq!(
            at(json!({"phase": "completed", "step": null}), Goal::Completed),
            Some(End::Reached)
        );
        let rolled_back = json!({"phase": "rolled_back", "cause": {"kind": "operator"}});
        assert!(
            matches!(at(rolled_back, Goal::Step(1)), Some(End::RolledBack(cause)) if !cause.is_empty())
        );
    }
}
