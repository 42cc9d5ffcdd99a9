//! A release survives every crash. Each story is told once in peace, which counts where the server
//! acts: its appends to the journal, and the calls that it makes. Then it is told again for each of
//! these places, and there the server dies: before and after each append, before and after the
//! answer to each call. Whoever starts it again finds what the journal on the disk says, and it has
//! to end as it would have ended.
//!
//! Journal, controller and effects are the real ones, receivers are on real sockets; only sidecars,
//! their counts and the time are told.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: a panic is a failed test, with its line"
)]

mod dns;
mod fuse;
mod left;
mod life;
mod mortal;
mod outside;
mod stories;

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use self::fuse::{Cut, Fuse};
use self::left::Left;
use self::life::{End, live};
use self::mortal::Sent;
use self::outside::Outside;
use self::stories::Story;

/// Runs at a time: each waits for the disk most of its time.
const ABREAST: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_ends_as_it_would_have() {
    println!("{}", everywhere(stories::canary()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_canary_goes_back_as_it_would_have() {
    println!("{}", everywhere(stories::bad_canary()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_goes_back_together_as_it_would_have() {
    println!("{}", everywhere(stories::group()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blue_green_goes_there_and_back_as_it_would_have() {
    println!("{}", everywhere(stories::there_and_back()).await);
}

/// Tells a story in peace, and then with a crash at each place. Says how many there were.
async fn everywhere(story: Story) -> String {
    let (peace, fuse) = tell(&story, None).await;
    let (appends, calls) = fuse.counted();
    assert!(appends > 5 && calls > 3, "{appends} appends and {calls} calls are no story");
    let cuts = |count: usize, cut: fn(usize, bool) -> Cut| {
        (1..=count).flat_map(move |number| [cut(number, false), cut(number, true)])
    };
    let appended = cuts(appends, |number, written| Cut::Append { number, written });
    let called = cuts(calls, |number, answered| Cut::Call { number, answered });
    let tried = stream::iter(appended.chain(called))
        .map(async |cut| {
            let (left, fuse) = tell(&story, Some(cut)).await;
            assert!(fuse.is_spent(), "{cut:?} was never reached");
            left.compare(&peace, cut);
        })
        .buffer_unordered(ABREAST)
        .count()
        .await;
    assert_eq!(tried, 2 * (appends + calls));
    format!("{}: {appends} appends, {calls} calls, {tried} crashes", story.name)
}

/// Tells a story to its end, through as many lives of the server as that takes.
async fn tell(story: &Story, cut: Option<Cut>) -> (Left, Arc<Fuse>) {
    let dir = tempfile::tempdir().unwrap();
    let fuse = Arc::new(Fuse::new(cut));
    let outside = Outside::start(Arc::clone(&fuse)).await;
    let sent = Arc::new(Sent::default());
    while let End::Killed = live(story, &outside, dir.path(), &sent).await {
        fuse.renew();
    }
    (Left::behind(dir.path(), &outside, &sent), fuse)
}
