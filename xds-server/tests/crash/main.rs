//! A release survives a crash at every point. Each scenario runs once without a crash, which counts the appends to the journal
//! and the calls of the server. Then it runs again for each of these points with a crash there: before and after each append,
//! before and after the response to each call. After the restart from the journal the result must be that without a crash.
//!
//! Journal, controller and effects are the real ones, and calls use real sockets. Sidecars, counts and time are simulated.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: a panic is a failed test, with its line"
)]

mod crash_trigger;
mod crashing_journal;
mod dns;
mod environment;
mod outcome;
mod scenarios;
mod server_run;

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use self::crash_trigger::{CrashPoint, CrashTrigger};
use self::crashing_journal::Publications;
use self::environment::Environment;
use self::outcome::Outcome;
use self::scenarios::Scenario;
use self::server_run::{RunEnd, run_server};

/// Concurrent runs: each waits mostly for the disk.
const CONCURRENCY: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_survives_every_crash() {
    println!("{}", crash_everywhere(scenarios::canary()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_survives_every_crash() {
    println!("{}", crash_everywhere(scenarios::bad_canary()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_rollback_survives_every_crash() {
    println!("{}", crash_everywhere(scenarios::group()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blue_green_and_dns_survive_every_crash() {
    println!("{}", crash_everywhere(scenarios::blue_green_rollback()).await);
}

/// Runs a scenario without a crash, then with a crash at each point. Returns a summary of the numbers.
async fn crash_everywhere(scenario: Scenario) -> String {
    let (expected, crash_trigger) = run(&scenario, None).await;
    let (appends, calls) = crash_trigger.counts();
    assert!(appends > 5 && calls > 3, "only {appends} appends and {calls} calls");
    let points = |count: usize, point: fn(usize, bool) -> CrashPoint| {
        (1..=count).flat_map(move |number| [point(number, false), point(number, true)])
    };
    let appended = points(appends, |number, written| CrashPoint::Append { number, written });
    let called = points(calls, |number, answered| CrashPoint::Call { number, answered });
    let tried = stream::iter(appended.chain(called))
        .map(async |crash_point| {
            let (outcome, crash_trigger) = run(&scenario, Some(crash_point)).await;
            assert!(crash_trigger.is_reached(), "{crash_point:?} was never reached");
            outcome.compare(&expected, crash_point);
        })
        .buffer_unordered(CONCURRENCY)
        .count()
        .await;
    assert_eq!(tried, 2 * (appends + calls));
    format!("{}: {appends} appends, {calls} calls, {tried} crashes", scenario.name)
}

/// Runs a scenario to its end, with a restart of the server after the crash.
async fn run(scenario: &Scenario, crash_point: Option<CrashPoint>) -> (Outcome, Arc<CrashTrigger>) {
    let dir = tempfile::tempdir().unwrap();
    let crash_trigger = Arc::new(CrashTrigger::new(crash_point));
    let environment = Environment::start(Arc::clone(&crash_trigger)).await;
    let publications = Arc::new(Publications::default());
    while let RunEnd::Crashed = run_server(scenario, &environment, dir.path(), &publications).await
    {
        crash_trigger.restart();
    }
    (Outcome::read(dir.path(), &environment, &publications), crash_trigger)
}
