//! The way back: what an effect found out is a command like any other, and must arrive.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, warn};

use crate::controller::{CommandError, Handle, Origin};
use tidegate_delivery::model::command::Command;

/// Before a result that could not be delivered is delivered again.
const REDELIVERY: Duration = Duration::from_secs(1);

/// Insists until the result is journaled, or comes too late to matter.
pub(super) async fn deliver(controller: &Handle, part: &'static str, result: Command) {
    loop {
        match controller.submit(result.clone(), Origin::component(part)).await {
            Ok(_) | Err(CommandError::Stopped) => return,
            Err(CommandError::Refused(refusal)) => {
                debug!(part, %refusal, "a result came too late");
                return;
            }
            Err(error) => {
                warn!(part, %error, "a result is not taken; trying again");
                sleep(REDELIVERY).await;
            }
        }
    }
}
