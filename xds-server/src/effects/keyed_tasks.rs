//! One task for each piece of wanted work, for as long as the same work is wanted.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::supervisor::{Supervisor, Task};

/// Wanted work by key, each with its task. Dropping a `JoinSet` aborts its task.
pub(super) struct KeyedTasks<K, W, S> {
    task: Task,
    supervisor: Supervisor,
    start: S,
    running: BTreeMap<K, (W, JoinSet<()>)>,
}

impl<K, W, S, F> KeyedTasks<K, W, S>
where
    K: Ord + Clone + Send + Sync + 'static,
    W: PartialEq + Clone + Send + Sync + 'static,
    S: Fn(K, W) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    /// `start` makes the future that does the work of one key. It is called again after a panic.
    pub(super) const fn new(task: Task, supervisor: Supervisor, start: S) -> Self {
        Self { task, supervisor, start, running: BTreeMap::new() }
    }

    /// Aborts the tasks whose work is no longer wanted or has changed, and starts those of new work. A task that has
    /// completed is not started again while its work is unchanged.
    pub(super) fn update(&mut self, wanted: BTreeMap<K, W>) {
        self.running.retain(|key, (running, _)| wanted.get(key) == Some(running));
        for (key, work) in wanted {
            self.running.entry(key).or_insert_with_key(|key| {
                let (task, supervisor, start) =
                    (self.task, self.supervisor.clone(), self.start.clone());
                let (key, copy) = (key.clone(), work.clone());
                let mut tasks = JoinSet::new();
                tasks.spawn(async move {
                    supervisor.run_to_completion(task, || start(key.clone(), copy.clone())).await;
                });
                (work, tasks)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc;

    use super::*;
    use crate::effects::fakes::FAST;

    #[tokio::test]
    async fn a_task_starts_once_and_is_aborted_when_its_work_changes_or_is_not_wanted() {
        let (started, mut starts) = mpsc::unbounded_channel();
        let start = move |key: &'static str, work: u8| {
            let (alive, aborted) = mpsc::channel::<()>(1);
            started.send((key, work, aborted)).unwrap();
            async move {
                pending::<()>().await;
                drop(alive);
            }
        };
        let mut tasks = KeyedTasks::new(Task::Hooks, Supervisor::default(), start);
        let mut update = |wanted: &[(&'static str, u8)]| {
            tasks.update(wanted.iter().copied().collect());
        };
        update(&[("a", 1), ("b", 1)]);
        let mut first = [starts.recv().await.unwrap(), starts.recv().await.unwrap()];
        first.sort_by_key(|it| it.0);
        let [a, mut b] = first;
        assert_eq!([(a.0, a.1), (b.0, b.1)], [("a", 1), ("b", 1)]);
        update(&[("a", 1), ("b", 2)]);
        assert_eq!(b.2.recv().await, None);
        let mut changed = starts.recv().await.unwrap();
        assert_eq!((changed.0, changed.1), ("b", 2));
        update(&[("a", 1)]);
        assert_eq!(changed.2.recv().await, None);
        assert!(starts.try_recv().is_err() && !a.2.is_closed());
    }

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_with_the_same_work() {
        let runs = Arc::new(AtomicUsize::new(0));
        let (done, mut completed) = mpsc::unbounded_channel();
        let supervisor = Supervisor::new(FAST);
        let counted = Arc::clone(&runs);
        let start = move |key: u8, work: u8| {
            let (run, done) = (counted.fetch_add(1, Ordering::Relaxed), done.clone());
            async move {
                assert!(run > 0, "the first run fails");
                done.send((key, work)).unwrap();
            }
        };
        let mut tasks = KeyedTasks::new(Task::Dns, supervisor.clone(), start);
        tasks.update([(1, 2)].into());
        assert_eq!(completed.recv().await, Some((1, 2)));
        assert_eq!((runs.load(Ordering::Relaxed), supervisor.restarts(Task::Dns)), (2, 1));
    }
}
