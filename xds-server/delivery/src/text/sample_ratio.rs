//! The text of sidecars that do not follow the weight: `edge-2 sent 0 of 2400 requests (0%) to the candidate; 3 more`.

use std::fmt;

use crate::model::sample_ratio::{Deviation, SampleRatio, Split};

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { candidate, requests } = self;
        write!(f, "{candidate} of {requests} requests ({}) to the candidate", self.share())
    }
}

impl fmt::Display for SampleRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(total) = self.total {
            write!(f, "all sidecars together sent {total}")?;
        }
        for (number, Deviation { node, split }) in self.sidecars.iter().enumerate() {
            let separator = if number == 0 && self.total.is_none() { "" } else { "; " };
            write!(f, "{separator}`{node}` sent {split}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "; {more} more"),
        }
    }
}
