//! How long a stream lives. It ends by itself when it is old, so that sidecars find replicas that
//! came after them; and when the server stops. Neither happens to all at once: whoever ends comes
//! back at once, and somewhere that costs something.
//!
//! tonic can end connections for their age, but not streams: it adds no jitter, and cuts what is
//! under way.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// How far the ages of streams lie apart, up and down: a fleet that came at once does not go at once.
const JITTER: f64 = 0.2;
/// How long an old stream waits for a quiet moment. A client that answers nothing for so long is
/// better off with a new stream.
const OLD_PATIENCE: Duration = Duration::from_secs(30);
/// How long a stream waits for a quiet moment when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// How long streams live.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ages {
    /// A stream's age when it ends, a fifth more or less.
    pub(super) old: Duration,
    /// When the server stops, streams end within this time.
    pub(super) spread: Duration,
}

impl Default for Ages {
    /// Half an hour, as other control planes have it: long beside what a new stream costs, short
    /// beside how long an operator waits for a new replica to take its share. Two seconds to stop
    /// are short beside a restart, and make 4 500 sidecars a second of the largest fleet.
    fn default() -> Self {
        Self { old: Duration::from_secs(30 * 60), spread: Duration::from_secs(2) }
    }
}

/// The life of one stream.
#[derive(Debug)]
pub(super) struct Lifetime {
    stage: Stage,
    /// The end of the stage.
    timer: Pin<Box<Sleep>>,
    ages: Ages,
    patience: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Living,
    /// To end at the first quiet moment.
    Leaving,
    /// To end.
    Over,
}

impl Lifetime {
    /// The life of a stream that begins now. `chance`, from 0 to 1, sets it apart from others.
    pub(super) fn new(ages: Ages, chance: f64) -> Self {
        let end = Instant::now() + ages.old.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance);
        let timer = Box::pin(sleep_until(end));
        Self { stage: Stage::Living, timer, ages, patience: OLD_PATIENCE }
    }

    /// The server stops: what is left of this life is short.
    pub(super) fn hasten(&mut self, chance: f64) {
        self.patience = STOP_PATIENCE;
        let left = match self.stage {
            Stage::Living => self.ages.spread.mul_f64(chance),
            Stage::Leaving | Stage::Over => self.patience,
        };
        let end = self.timer.deadline().min(Instant::now() + left);
        self.timer.as_mut().reset(end);
    }

    /// Returns when [`Self::is_over`] may have another answer.
    pub(super) async fn turn(&mut self) {
        self.timer.as_mut().await;
        self.stage = match self.stage {
            Stage::Living => Stage::Leaving,
            Stage::Leaving | Stage::Over => Stage::Over,
        };
        self.timer.as_mut().reset(Instant::now() + self.patience);
    }

    /// Whether the stream is to end now. A quiet stream has nothing under way.
    pub(super) fn is_over(&self, is_quiet: bool) -> bool {
        match self.stage {
            Stage::Living => false,
            Stage::Leaving => is_quiet,
            Stage::Over => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGES: Ages = Ages { old: Duration::from_secs(1000), spread: Duration::from_secs(2) };

    /// How long a quiet stream lives.
    async fn lives(mut life: Lifetime) -> Duration {
        let born = Instant::now();
        while !life.is_over(true) {
            life.turn().await;
        }
        born.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn ages_lie_a_fifth_around_the_middle() {
        for (chance, expected) in [(0.0, 800), (0.5, 1000), (0.999_999, 1200)] {
            let age = lives(Lifetime::new(AGES, chance)).await;
            let off = age.as_secs_f64() - f64::from(expected);
            assert!(off.abs() < 0.1, "{age:?} instead of {expected} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_is_waited_for_but_not_for_ever() {
        let mut life = Lifetime::new(AGES, 0.5);
        assert!(!life.is_over(true), "it is young");
        life.turn().await;
        assert!(!life.is_over(false));
        assert!(life.is_over(true));
        let old = Instant::now();
        life.turn().await;
        assert!(life.is_over(false));
        assert_eq!(old.elapsed().as_secs(), OLD_PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stops_ends_streams_one_after_the_other() {
        for (chance, expected) in [(0.0, 0), (0.25, 500), (0.75, 1500)] {
            let mut life = Lifetime::new(AGES, 0.5);
            life.hasten(chance);
            let left = lives(life).await.as_millis();
            assert!((expected..expected + 10).contains(&left), "{left} instead of {expected} ms");
        }
    }

    /// One that is about to end of age does not live longer for it, nor one with something under way
    /// longer than a stop may take.
    #[tokio::test(start_paused = true)]
    async fn a_stop_makes_no_life_longer() {
        let mut life = Lifetime::new(AGES, 0.0);
        tokio::time::advance(Duration::from_millis(799_900)).await;
        life.hasten(0.9);
        assert!(lives(life).await.as_millis() < 110);

        let mut busy = Lifetime::new(AGES, 0.0);
        busy.turn().await;
        busy.hasten(0.9);
        let hastened = Instant::now();
        busy.turn().await;
        assert!(busy.is_over(false));
        assert!(hastened.elapsed().as_millis() < STOP_PATIENCE.as_millis() + 10);
    }
}
