//! The configurations of an Istio fleet, and the publications that contain them.

use std::collections::VecDeque;

/// Number of configurations that are known.
const MAX_CONFIGURATIONS: usize = 64;

/// The newest configurations, the newest last.
#[derive(Debug, Default)]
pub(super) struct Configurations(VecDeque<Configuration>);

#[derive(Debug)]
struct Configuration {
    version: String,
    /// The oldest publication with it.
    first_serial: u64,
    /// The newest one; [`u64::MAX`] for the newest configuration, which belongs to all publications until the next one.
    last_serial: u64,
}

impl Configurations {
    pub(super) fn publish(&mut self, serial: u64, version: String) {
        if let Some(newest) = self.0.back_mut() {
            if newest.version == version {
                return;
            }
            newest.last_serial = serial.saturating_sub(1);
        }
        self.0.retain(|it| it.version != version);
        if self.0.len() >= MAX_CONFIGURATIONS {
            self.0.pop_front();
        }
        let (first_serial, last_serial) = (serial, u64::MAX);
        self.0.push_back(Configuration { version, first_serial, last_serial });
    }

    /// The oldest publication with a configuration; 0 if it is not known.
    pub(super) fn first_serial(&self, version: &str) -> u64 {
        self.find(version).map_or(0, |it| it.first_serial)
    }

    /// The newest publication with a configuration; 0 if it is not known.
    pub(super) fn last_serial(&self, version: &str) -> u64 {
        self.find(version).map_or(0, |it| it.last_serial)
    }

    fn find(&self, version: &str) -> Option<&Configuration> {
        self.0.iter().rev().find(|it| it.version == version)
    }
}
