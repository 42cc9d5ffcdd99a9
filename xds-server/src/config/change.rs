//! What of a configuration cannot change while the server runs.

use super::Config;

impl Config {
    /// What another configuration says otherwise that a running server is bound to: ports that
    /// are open, a journal that is. Empty if it could be taken at once.
    #[must_use]
    pub fn needs_restart(&self, other: &Self) -> Vec<&'static str> {
        let (now, then) = (&self.listen, &other.listen);
        [
            ("listen.xds", now.xds == then.xds),
            ("listen.tls", now.security == then.security),
            ("listen.api", now.api == then.api),
            ("data_dir", self.data_dir == other.data_dir),
        ]
        .into_iter()
        .filter_map(|(what, same)| (!same).then_some(what))
        .collect()
    }
}
