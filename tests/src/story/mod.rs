//! The main use cases as scenarios. The demo runs all of them in one [`World`], the end-to-end tests each in its own.
//!
//! A scenario runs under its own load, asserts on what clients observed, and returns its figures. A failed request that no
//! faulty version answered fails every scenario.

mod blue_green;
mod canary;
mod crash;
mod flag;
mod forgery;
mod operator;
mod output;
mod rollback;
mod traffic;

use anyhow::Result;

use crate::World;
use crate::world_config::Knobs;

pub use self::blue_green::blue_green_switches_and_is_rolled_back;
pub use self::canary::{answers_of_all_users, good_canary_completes, users_on};
pub use self::crash::release_survives_a_control_plane_crash;
pub use self::flag::flag_routes_at_weight_zero;
pub use self::forgery::clients_cannot_choose_a_version;
pub use self::operator::{Operator, Phase, ReleaseView};
pub use self::output::ProgressOutput;
pub use self::rollback::bad_canary_is_rolled_back;
pub use self::traffic::Traffic;

/// The result of a scenario.
#[derive(Debug)]
pub struct ScenarioReport {
    /// What was asserted.
    pub title: &'static str,
    /// The figures, in one line.
    pub figures: String,
    /// Requests sent.
    pub requests: u64,
    /// Failed requests that no faulty version answered: 0, because a scenario with any fails.
    pub unexplained: u64,
}

/// The configuration of the scenarios: steps of seconds instead of minutes, and a latency limit of one second.
#[must_use]
pub fn knobs() -> Knobs {
    let canary = |steps: &str| {
        format!("{{canary: {{steps: [{steps}], step_time: 5s, watch: 6s, min_requests: 10}}}}")
    };
    let strategies = crate::backends::CANARY
        .map(|(name, steps)| (name.to_owned(), canary(steps)))
        .into_iter()
        .collect();
    Knobs {
        watch: "30s".to_owned(),
        defaults: Some(
            "{guardrails: {latency: {quantile: p99, warning: 600ms, critical: 800ms, rollback: 1s}}}"
                .to_owned(),
        ),
        strategies,
        ..Knobs::default()
    }
}

/// Runs all scenarios in order, in one world, and stops at the first failure.
///
/// # Errors
/// The error of the scenario.
pub async fn run_all(world: &mut World, output: &ProgressOutput) -> Result<Vec<ScenarioReport>> {
    Ok(vec![
        output.scenario("a", good_canary_completes(world, output)).await?,
        output.scenario("b", bad_canary_is_rolled_back(world, output)).await?,
        output.scenario("c", blue_green_switches_and_is_rolled_back(world, output)).await?,
        output.scenario("d", flag_routes_at_weight_zero(world, output)).await?,
        output.scenario("e", release_survives_a_control_plane_crash(world, output)).await?,
        output.scenario("f", clients_cannot_choose_a_version(world, output)).await?,
    ])
}
