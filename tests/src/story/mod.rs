//! What Tidegate is for, as chapters that come true or fail: the demo tells them, the end-to-end tests assert them.
//!
//! Every chapter runs under load of its own, watches what clients saw, and returns what a reader would want to know.
//! It fails if a promise was broken; a failed request that no faulty version answered is always one.

mod blue_green;
mod canary;
mod crash;
mod flag;
mod forgery;
mod narrator;
mod operator;
mod rollback;
mod traffic;

use anyhow::Result;

use crate::World;
use crate::world_config::Knobs;

pub use self::blue_green::switches_at_once_and_goes_back_when_slow;
pub use self::canary::good_version_climbs;
pub use self::crash::release_survives_the_control_plane;
pub use self::flag::flag_routes_at_weight_zero;
pub use self::forgery::clients_cannot_choose_a_version;
pub use self::narrator::Narrator;
pub use self::operator::{Operator, Phase, ReleaseView};
pub use self::rollback::bad_version_is_put_back;
pub use self::traffic::Traffic;

/// How a chapter came out.
#[derive(Debug)]
pub struct Chapter {
    /// What came true.
    pub title: &'static str,
    /// The figures, in a line.
    pub found: String,
    /// Requests that were sent for it.
    pub requests: u64,
    /// Failed ones that no faulty version answered. A chapter with any fails, so this is here to be shown as 0.
    pub caused: u64,
}

/// The configuration that the chapters are written for: steps of seconds instead of minutes, and a limit on response
/// times that a demo can show without waiting ten seconds for each answer.
#[must_use]
pub fn knobs() -> Knobs {
    let canary = |steps: &str| {
        format!("{{canary: {{steps: [{steps}], step_time: 5s, watch: 4s, min_requests: 10}}}}")
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

/// All chapters in order, in one world. Stops at the first that does not come true.
///
/// # Errors
/// With the promise that was broken.
pub async fn tell(world: &mut World, narrator: &Narrator) -> Result<Vec<Chapter>> {
    Ok(vec![
        narrator.chapter("a", good_version_climbs(world, narrator)).await?,
        narrator.chapter("b", bad_version_is_put_back(world, narrator)).await?,
        narrator.chapter("c", switches_at_once_and_goes_back_when_slow(world, narrator)).await?,
        narrator.chapter("d", flag_routes_at_weight_zero(world, narrator)).await?,
        narrator.chapter("e", release_survives_the_control_plane(world, narrator)).await?,
        narrator.chapter("f", clients_cannot_choose_a_version(world, narrator)).await?,
    ])
}
