//! Work that follows what is wanted: one task for each thing, for as long as it is wanted so.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

/// What is wanted, by key, each with the task that works at it: dropping a set aborts what is in it.
#[derive(Debug)]
pub(super) struct UnderWay<K, W>(BTreeMap<K, (W, JoinSet<()>)>);

impl<K: Ord + Clone, W: PartialEq + Clone> UnderWay<K, W> {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Ends what is not wanted any more, or otherwise, and begins what is new. What ended by itself is not begun again
    /// while the same is wanted.
    pub(super) fn follow<F>(&mut self, wanted: BTreeMap<K, W>, begin: impl Fn(K, W) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.retain(|key, (before, _)| wanted.get(key) == Some(before));
        for (key, wanted) in wanted {
            self.0.entry(key).or_insert_with_key(|key| {
                let mut task = JoinSet::new();
                task.spawn(begin(key.clone(), wanted.clone()));
                (wanted, task)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::mpsc;

    use super::*;

    /// Says when it began, and by the channel's end when it ended.
    #[tokio::test]
    async fn each_is_begun_once_and_ended_when_it_is_wanted_no_more_or_otherwise() {
        let (began, mut begun) = mpsc::unbounded_channel();
        let mut under_way = UnderWay::new();
        let mut follow = |wanted: &[(&'static str, u8)]| {
            under_way.follow(wanted.iter().copied().collect(), |key, how| {
                let (alive, ended) = mpsc::channel::<()>(1);
                began.send((key, how, ended)).unwrap();
                async move {
                    pending::<()>().await;
                    drop(alive);
                }
            });
        };
        follow(&[("a", 1), ("b", 1)]);
        let (a, mut b) = (begun.recv().await.unwrap(), begun.recv().await.unwrap());
        assert_eq!([(a.0, a.1), (b.0, b.1)], [("a", 1), ("b", 1)]);
        follow(&[("a", 1), ("b", 2)]);
        assert_eq!(b.2.recv().await, None);
        let mut again = begun.recv().await.unwrap();
        assert_eq!((again.0, again.1), ("b", 2));
        follow(&[("a", 1)]);
        assert_eq!(again.2.recv().await, None);
        assert!(begun.try_recv().is_err() && !a.2.is_closed());
    }
}
