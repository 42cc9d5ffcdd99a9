//! Submits the results of effects to the controller.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::controller::{CommandError, Handle, Origin};
use tidegate_delivery::model::command::Command;

/// Longest wait for the controller's reply to one submission.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// Delay before a submission that failed is repeated.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Submits a result until it is in the journal, is refused, or the controller has stopped. A submission without a reply
/// is repeated, so a result may be recorded twice.
pub(super) async fn submit(controller: &Handle, actor: &'static str, result: Command) {
    submit_within(REPLY_TIMEOUT, RETRY_DELAY, controller, actor, result).await;
}

async fn submit_within(
    reply_timeout: Duration,
    retry_delay: Duration,
    controller: &Handle,
    actor: &'static str,
    result: Command,
) {
    loop {
        let reply = controller.submit(result.clone(), Origin::component(actor));
        match timeout(reply_timeout, reply).await {
            Ok(Ok(_) | Err(CommandError::Stopped)) => return,
            Ok(Err(CommandError::Refused(refusal))) => {
                debug!(actor, %refusal, "the result no longer applies");
                return;
            }
            Ok(Err(error)) => warn!(actor, %error, "the result was not journaled; retrying"),
            Err(_) => warn!(actor, ?reply_timeout, "no reply from the controller; retrying"),
        }
        sleep(retry_delay).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::fakes::{World, until};
    use crate::controller::{Parts, spawn};
    use tidegate_delivery::fixtures::{dns, name, order, product};
    use tidegate_delivery::model::event::Event;

    #[tokio::test]
    async fn a_submission_without_a_reply_is_repeated() {
        let world = World::default();
        let mut spec = product();
        spec.dns = Some(dns());
        let services = vec![order(), spec];
        let handle = spawn(Parts { services, ..world.parts(Box::new(world.clone())) }).unwrap();
        let records = handle.view().borrow().state.services["product"].desired_records().unwrap();
        world.hang_disk(true);
        let submitter = handle.clone();
        let task = tokio::spawn(async move {
            let checked = Command::DnsChecked { service: name("product"), result: Ok(records) };
            let (timeout, delay) = (Duration::from_millis(10), Duration::from_millis(1));
            submit_within(timeout, delay, &submitter, "DNS", checked).await;
        });
        // The disk hangs for much longer than the timeout.
        sleep(Duration::from_millis(200)).await;
        world.hang_disk(false);
        task.await.unwrap();
        until(&handle, |view| view.state.services["product"].dns.published.is_some()).await;
        let updated =
            |it: &&crate::journal::Record| matches!(it.event.event(), Event::DnsUpdated { .. });
        assert!(world.records().iter().filter(updated).count() >= 2);
    }
}
