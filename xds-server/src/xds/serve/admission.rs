//! Newcomers wait their turn while the server is behind.
//!
//! When a whole fleet comes back at once, each newcomer is worth many pushes, and a rollback for those
//! who are here already would wait behind them all. So newcomers are served some at a time, in the
//! order in which they came, and how many follows from how late tasks run ([`Window`]). Whoever waits
//! costs a parked task; how many may wait is bounded with the number of streams.
//!
//! Nobody is sent away with a hint when to come back: Envoy and gRPC heed none on these streams but
//! their own backoff (which `tidegate envoy bootstrap` sets), and a gRPC client whose stream ends
//! before its first response fails its calls.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

/// How late tasks may run. A push goes through a few tasks, and is to reach the last sidecar well
/// within the half second in which a bad version is put back.
const BEHIND: Duration = Duration::from_millis(50);
/// Newcomers at a time, at first: with ten services, some 25 ms of work for one core.
const FIRST: usize = 64;
/// Newcomers at a time, however late tasks run. With [`HOLD`] that makes 64 a second at the least, more
/// than other control planes let in at best on as few cores.
const FEWEST: usize = 16;
/// Newcomers at a time, however soon tasks run.
const MOST: usize = 512;
/// How long one may be a newcomer. Whoever takes longer keeps itself waiting, not the server: its
/// clusters warm, or it does not say a word.
const HOLD: Duration = Duration::from_millis(250);

/// How many newcomers may be served at a time: one more for each that was served in time, and half as
/// many when tasks run late, at most once for as many as there were at a time: those were let in
/// before the last time, and tell nothing new.
#[derive(Debug)]
struct Window {
    width: usize,
    /// Measurements that are still to come from before it was halved.
    old: usize,
}

impl Window {
    /// Takes a measurement. `is_wanted` is true if there are newcomers who wait.
    fn measure(&mut self, lag: Duration, is_wanted: bool) {
        let is_old = self.old > 0;
        self.old = self.old.saturating_sub(1);
        if lag <= BEHIND {
            self.width = (self.width + usize::from(is_wanted)).min(MOST);
        } else if !is_old {
            self.old = self.width;
            self.width = (self.width / 2).max(FEWEST);
        }
    }
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Admission {
    turns: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    window: Window,
    /// Turns that there are, given or not. It follows the window, downwards as turns end.
    turns: usize,
}

/// The server stops: there are no more turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed;

/// A newcomer's turn. It ends when this is dropped, or by itself when it took too long.
#[derive(Debug)]
pub(super) struct Turn {
    _ended: oneshot::Sender<()>,
}

impl Default for Admission {
    fn default() -> Self {
        Self::of(FIRST)
    }
}

impl Admission {
    /// So many turns at first.
    pub(super) fn of(width: usize) -> Self {
        let state = State { window: Window { width, old: 0 }, turns: width };
        Self { turns: Arc::new(Semaphore::new(width)), state: Mutex::new(state) }
    }

    /// A turn, if nobody must wait.
    pub(super) fn try_enter(self: &Arc<Self>) -> Option<Turn> {
        Arc::clone(&self.turns).try_acquire_owned().ok().map(|permit| self.begin(permit))
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// When there will be none.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Turn, Closed> {
        let permit = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Closed)?;
        Ok(self.begin(permit))
    }

    /// Notes how late tasks run: as late as this one, which asks to be run again.
    pub(super) async fn measure(&self) {
        let asked = Instant::now();
        yield_now().await;
        self.note(asked.elapsed());
    }

    /// No more turns: whoever waits for one learns it.
    pub(super) fn close(&self) {
        self.turns.close();
    }

    fn note(&self, lag: Duration) {
        let is_wanted = self.turns.available_permits() == 0;
        let mut state = self.state.lock();
        state.window.measure(lag, is_wanted);
        let more = state.window.width.saturating_sub(state.turns);
        state.turns += more;
        self.turns.add_permits(more);
    }

    fn begin(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Turn {
        let (turn, ended) = oneshot::channel::<()>();
        let admission = Arc::clone(self);
        tokio::spawn(async move {
            // Either way it is over.
            let _ = timeout(HOLD, ended).await;
            admission.end(permit);
        });
        Turn { _ended: turn }
    }

    fn end(&self, permit: OwnedSemaphorePermit) {
        let mut state = self.state.lock();
        if state.turns > state.window.width {
            state.turns -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOON: Duration = Duration::from_millis(1);
    const LATE: Duration = Duration::from_millis(400);

    fn window(width: usize) -> Window {
        Window { width, old: 0 }
    }

    #[test]
    fn a_server_that_is_behind_takes_fewer_at_a_time() {
        let mut window = window(400);
        window.measure(LATE, true);
        assert_eq!(window.width, 200);
        for _ in 0..400 {
            window.measure(LATE, true);
        }
        assert_eq!(window.width, 200, "those were let in before");
        window.measure(LATE, true);
        assert_eq!(window.width, 100);
    }

    #[test]
    fn a_server_that_keeps_up_takes_more_if_they_come() {
        let mut window = window(FIRST);
        for _ in 0..FIRST {
            window.measure(SOON, true);
        }
        assert_eq!(window.width, 2 * FIRST);
        window.measure(SOON, false);
        assert_eq!(window.width, 2 * FIRST, "there is nobody to take");
    }

    proptest! {
        #[test]
        fn there_is_always_a_turn_and_never_too_many(
            lags in proptest::collection::vec((0_u64..200, proptest::bool::ANY), 0..2_000),
        ) {
            let mut window = window(FIRST);
            for (lag, is_wanted) in lags {
                window.measure(Duration::from_millis(lag), is_wanted);
                prop_assert!((FEWEST..=MOST).contains(&window.width));
            }
            // Whatever was, it recovers in as many measurements as there may be at a time.
            for _ in 0..MOST {
                window.measure(SOON, true);
            }
            prop_assert_eq!(window.width, MOST);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn turns_go_by_the_order_of_arrival() {
        let admission = Arc::new(Admission::of(1));
        let first = admission.try_enter().unwrap();
        assert!(admission.try_enter().is_none());
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..5)
            .map(|newcomer| {
                let (admission, order) = (Arc::clone(&admission), Arc::clone(&order));
                tokio::spawn(async move {
                    let turn = admission.enter().await.unwrap();
                    order.lock().push(newcomer);
                    drop(turn);
                })
            })
            .collect();
        yield_now().await;
        assert!(order.lock().is_empty());
        drop(first);
        for newcomer in waiting {
            newcomer.await.unwrap();
        }
        assert_eq!(*order.lock(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_too_long_does_not_keep_others_waiting() {
        let admission = Arc::new(Admission::of(1));
        let slow = admission.try_enter().unwrap();
        let began = Instant::now();
        admission.enter().await.unwrap();
        assert!(began.elapsed() >= HOLD);
        drop(slow);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_follow_the_window() {
        let admission = Arc::new(Admission::of(64));
        let turns: Vec<_> = (0..64).map(|_| admission.try_enter().unwrap()).collect();
        admission.note(SOON);
        let more = admission.try_enter();
        assert!(more.is_some() && admission.try_enter().is_none(), "one more than before");
        admission.note(LATE);
        drop((turns, more));
        tokio::time::sleep(2 * HOLD).await;
        assert_eq!(admission.turns.available_permits(), 32);
    }

    #[tokio::test]
    async fn a_server_that_stops_keeps_nobody_waiting() {
        let admission = Arc::new(Admission::of(1));
        let _turn = admission.try_enter().unwrap();
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.enter().await.map(drop) }
        });
        yield_now().await;
        admission.close();
        assert_eq!(waiting.await.unwrap(), Err(Closed));
    }
}
