//! The controller's loop: the only task that runs the [`Engine`], and so the only writer of the journal.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::engine::Engine;
use super::handle::Request;

/// Longest time between two evaluations: steps, freezes and approvals end by time as well.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// Shortest time between two evaluations because of reports or acknowledgements.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Runs the engine until a request stops it, or the last handle is dropped.
pub(super) async fn run(
    mut engine: Engine,
    mut requests: mpsc::Receiver<Request>,
    wake: Arc<Notify>,
) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut earliest = Instant::now();
    loop {
        let woken = async {
            sleep_until(earliest).await;
            wake.notified().await;
        };
        // Sending a response fails if its caller no longer waits, which has no consequence.
        tokio::select! {
            request = requests.recv() => match request {
                None => return,
                Some(Request::Stop { done }) => {
                    // Closes the journal before the response.
                    drop(engine);
                    done.send(()).ok();
                    return;
                }
                Some(Request::TokenKey { key, reply }) => {
                    engine.set_token_key(key);
                    engine.advance();
                    reply.send(Ok(())).ok();
                }
                Some(Request::Command { command, origin, reply }) => {
                    let outcome = engine.command(&command, &origin);
                    engine.advance();
                    reply.send(outcome).ok();
                }
                Some(Request::Configure { configuration, origin, reply }) => {
                    let (command, mesh) = configuration.split();
                    let outcome = engine.reconfigure(&command, mesh, &origin);
                    engine.advance();
                    reply.send(outcome).ok();
                }
            },
            () = woken => engine.advance(),
            _ = tick.tick() => engine.advance(),
        }
        earliest = Instant::now() + MIN_INTERVAL;
    }
}
