//! Whose handshake is next. A handshake costs a thousand times what a byte does, so when a whole fleet comes back at
//! once all would end too late; some at a time, each ends soon, and those who wait cost a parked task. They go by the
//! order in which they came, and no address holds the turns that others need.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::quota::Client;

/// The turns.
#[derive(Debug)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    each: usize,
    /// One for each client that has somebody here.
    lines: DashMap<Client, Arc<Semaphore>>,
}

impl Turns {
    /// So many at a time, and so many of one client.
    pub(super) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all: Arc::new(Semaphore::new(all)), each, lines: DashMap::new() })
    }

    /// Waits for a client's turn, which ends when the value is dropped.
    pub(super) async fn next(self: &Arc<Self>, client: Client) -> Turn {
        let line = self.lines.entry(client.clone());
        let line = Arc::clone(&line.or_insert_with(|| Arc::new(Semaphore::new(self.each))));
        let place = Line { turns: Arc::clone(self), client, line };
        // Neither is ever closed. The client's own first: who waits for it holds nothing of the others.
        let of_client = Arc::clone(&place.line).acquire_owned().await.ok();
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok();
        Turn { _permits: [of_client, of_all], _line: place }
    }
}

/// A turn. What it holds is given back in this order: the line is forgotten when nobody is in it.
#[derive(Debug)]
pub(super) struct Turn {
    _permits: [Option<OwnedSemaphorePermit>; 2],
    _line: Line,
}

/// Somebody in a client's line.
#[derive(Debug)]
struct Line {
    turns: Arc<Turns>,
    client: Client,
    line: Arc<Semaphore>,
}

impl Drop for Line {
    fn drop(&mut self) {
        // The map has one, and this the other.
        self.turns.lines.remove_if(&self.client, |_, _| Arc::strong_count(&self.line) == 2);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn at(address: &str) -> Client {
        Client::at(address.parse().unwrap())
    }

    #[tokio::test]
    async fn one_client_leaves_turns_for_others_and_the_next_follows() {
        let turns = Turns::new(3, 1);
        let first = turns.next(at("10.0.0.1")).await;
        let mut second = Box::pin(turns.next(at("10.0.0.1")));
        assert!(second.as_mut().now_or_never().is_none());
        let _other = turns.next(at("10.0.0.2")).await;
        drop(first);
        second.await;
    }

    #[tokio::test]
    async fn who_waits_holds_nothing() {
        let turns = Turns::new(1, 1);
        let first = turns.next(at("10.0.0.1")).await;
        let waiting: Vec<_> = [1, 1, 2]
            .map(|last| Box::pin(turns.next(at(&format!("10.0.0.{last}")))))
            .into_iter()
            .map(|mut next| {
                assert!(next.as_mut().now_or_never().is_none());
                next
            })
            .collect();
        drop((waiting, first));
        assert_eq!(turns.lines.len(), 0);
        turns.next(at("10.0.0.3")).await;
    }

    #[tokio::test]
    async fn nothing_is_kept_of_who_left() {
        let turns = Turns::new(2, 2);
        let (first, second) = (turns.next(at("::1")).await, turns.next(at("::1")).await);
        drop(first);
        assert_eq!(turns.lines.len(), 1);
        drop(second);
        assert_eq!(turns.lines.len(), 0);
    }
}
