//! Restarts effect tasks that panic or end early.
//!
//! A release may wait for the result of a task, so a task must not stop silently, and its panic must not end the server.
//! Each restart is logged at error level and counted in `tidegate_task_restarts_total{task}`. Restarts back off; a task
//! that has run for longer than the longest delay starts again with the shortest one.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::time::{Instant, sleep};
use tracing::error;

use super::backoff::Backoff;
use crate::controller::Handle;

/// The supervised tasks, as label values of the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Smoke tests.
    SmokeTests,
    /// Health checks of candidate instances.
    HealthChecks,
    /// Hook calls.
    Hooks,
    /// DNS updates.
    Dns,
    /// Delivery of notifications.
    Notifications,
    /// Resolution of the names of endpoints.
    Names,
    /// Export of traces.
    Traces,
    /// Query guardrails.
    Queries,
}

impl Task {
    const ALL: [Self; 8] = [
        Self::SmokeTests,
        Self::HealthChecks,
        Self::Hooks,
        Self::Dns,
        Self::Notifications,
        Self::Names,
        Self::Traces,
        Self::Queries,
    ];

    const fn labels(self) -> TaskLabels {
        TaskLabels {
            task: match self {
                Self::SmokeTests => "smoke_tests",
                Self::HealthChecks => "health_checks",
                Self::Hooks => "hooks",
                Self::Dns => "dns",
                Self::Notifications => "notifications",
                Self::Names => "names",
                Self::Traces => "traces",
                Self::Queries => "queries",
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    task: &'static str,
}

/// Restarts tasks and counts the restarts. Clones share the counters.
#[derive(Debug, Clone)]
pub struct Supervisor {
    restarts: Family<TaskLabels, Counter>,
    backoff: Backoff,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new(Backoff::default())
    }
}

impl Supervisor {
    /// A supervisor whose restarts are delayed by `backoff`.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        let restarts = Family::<TaskLabels, Counter>::default();
        for task in Task::ALL {
            // Creates the sample with the value 0.
            drop(restarts.get_or_create(&task.labels()));
        }
        Self { restarts, backoff }
    }

    /// Registers `task_restarts`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Restarts of tasks that panicked or ended early";
        registry.register("task_restarts", help, self.restarts.clone());
    }

    /// Restarts of a task since the server started.
    #[must_use]
    pub fn restarts(&self, task: Task) -> u64 {
        self.restarts.get_or_create(&task.labels()).get()
    }

    /// Runs a task that has an end. Restarts it after a panic.
    pub(super) async fn run_to_completion<F>(&self, task: Task, start: impl Fn() -> F)
    where
        F: Future<Output = ()>,
    {
        self.restart_while_failing(task, || async { catch_panic(&start).await.err() }).await;
    }

    /// Runs a task that ends with the controller only. Restarts it when it panics or ends before.
    pub(super) async fn run_until_stopped<F>(
        &self,
        task: Task,
        controller: &Handle,
        start: impl Fn() -> F,
    ) where
        F: Future<Output = ()>,
    {
        let view = controller.view();
        let run = || async {
            match catch_panic(&start).await {
                _ if view.has_changed().is_err() => None,
                Ok(()) => Some("it ended before the controller".to_owned()),
                Err(panic) => Some(panic),
            }
        };
        self.restart_while_failing(task, run).await;
    }

    /// Repeats `run` until it returns no failure.
    async fn restart_while_failing<F>(&self, task: Task, run: impl Fn() -> F)
    where
        F: Future<Output = Option<String>>,
    {
        let mut delays = self.backoff.unlimited();
        loop {
            let started = Instant::now();
            let Some(failure) = run().await else { return };
            if started.elapsed() > self.backoff.max {
                delays = self.backoff.unlimited();
            }
            let labels = task.labels();
            error!(task = labels.task, failure, "task failed; restarting it");
            self.restarts.get_or_create(&labels).inc();
            sleep(delays.next().unwrap_or(self.backoff.max)).await;
        }
    }
}

/// Runs a future; a panic becomes an error with its message.
async fn catch_panic<F: Future<Output = ()>>(start: impl Fn() -> F) -> Result<(), String> {
    let run = AssertUnwindSafe(async { start().await }).catch_unwind().await;
    run.map_err(|panic| panic_message(&*panic).to_owned())
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::controller::fakes::World;
    use crate::effects::fakes::FAST;

    #[tokio::test]
    async fn a_task_is_restarted_after_each_panic_until_it_completes() {
        let supervisor = Supervisor::new(FAST);
        let runs = AtomicUsize::new(0);
        let task = || async {
            assert!(runs.fetch_add(1, Ordering::Relaxed) == 2, "not yet");
        };
        supervisor.run_to_completion(Task::Dns, task).await;
        assert_eq!(runs.load(Ordering::Relaxed), 3);
        assert_eq!(supervisor.restarts(Task::Dns), 2);
        assert_eq!(supervisor.restarts(Task::Hooks), 0);
    }

    #[tokio::test]
    async fn a_task_that_ends_before_the_controller_is_restarted_and_then_ends_with_it() {
        let supervisor = Supervisor::new(FAST);
        let handle = World::default().start();
        let runs = AtomicUsize::new(0);
        let task = || async {
            match runs.fetch_add(1, Ordering::Relaxed) {
                0 => {}
                1 => panic!("again"),
                _ => {
                    handle.stop().await;
                    let mut view = handle.view();
                    while view.changed().await.is_ok() {}
                }
            }
        };
        supervisor.run_until_stopped(Task::Hooks, &handle, task).await;
        assert_eq!(runs.load(Ordering::Relaxed), 3);
        assert_eq!(supervisor.restarts(Task::Hooks), 2);
    }

    #[test]
    fn every_task_has_a_sample_from_the_start() {
        let mut registry = Registry::default();
        Supervisor::default().register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let sample =
            |task: Task| format!("task_restarts_total{{task=\"{}\"}} 0", task.labels().task);
        assert!(Task::ALL.into_iter().all(|task| text.contains(&sample(task))), "{text}");
    }
}
