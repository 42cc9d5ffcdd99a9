//! The states of a release, and what leads from one to another: the table that the picture in
//! ARCHITECTURE.md is drawn from, and that what really happens is compared with.

use serde::{Deserialize, Serialize};

use crate::model::release::Phase;

/// Where a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseKind {
    /// 0 %: sidecars learn of the candidate, smoke tests run, checks and approvals come in.
    Preparing,
    /// On a step below 100 %.
    Stepping,
    /// At 100 %, watched.
    Watching,
    /// Ended well.
    Completed,
    /// Ended by going back.
    RolledBack,
}

impl PhaseKind {
    /// All, in the order in which a release goes through them.
    pub const ALL: [Self; 5] =
        [Self::Preparing, Self::Stepping, Self::Watching, Self::Completed, Self::RolledBack];

    /// As in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Stepping => "stepping",
            Self::Watching => "watching",
            Self::Completed => "completed",
            Self::RolledBack => "rolled_back",
        }
    }
}

impl Phase {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> PhaseKind {
        match self {
            Self::Preparing { .. } => PhaseKind::Preparing,
            Self::Stepping { .. } => PhaseKind::Stepping,
            Self::Watching { .. } => PhaseKind::Watching,
            Self::Completed { .. } => PhaseKind::Completed,
            Self::RolledBack { .. } => PhaseKind::RolledBack,
        }
    }
}

/// One way from a state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseChange {
    /// From there; none: there was no release, or it had ended.
    pub from: Option<PhaseKind>,
    /// By this event, see [`crate::model::event::Event::kind`].
    pub event: &'static str,
    /// To there.
    pub to: PhaseKind,
}

/// Every way there is. All other events leave a release where it is.
pub const PHASE_CHANGES: [PhaseChange; 10] = {
    use PhaseKind::{Completed, Preparing, RolledBack, Stepping, Watching};
    const fn way(from: PhaseKind, event: &'static str, to: PhaseKind) -> PhaseChange {
        PhaseChange { from: Some(from), event, to }
    }
    [
        PhaseChange { from: None, event: "release_started", to: Preparing },
        way(Preparing, "step_entered", Stepping),
        way(Preparing, "step_entered", Watching),
        way(Stepping, "step_entered", Stepping),
        way(Stepping, "step_entered", Watching),
        way(Watching, "completed", Completed),
        way(Preparing, "rolled_back", RolledBack),
        way(Stepping, "rolled_back", RolledBack),
        way(Watching, "rolled_back", RolledBack),
        way(Completed, "stable_restored", RolledBack),
    ]
};

/// The table as a state diagram, in Mermaid's words.
#[must_use]
pub fn mermaid() -> String {
    let name = |phase: Option<PhaseKind>| phase.map_or("[*]", PhaseKind::as_str);
    let mut lines = vec!["stateDiagram-v2".to_owned()];
    let arrow =
        |it: &PhaseChange| format!("    {} --> {}: {}", name(it.from), name(Some(it.to)), it.event);
    lines.extend(PHASE_CHANGES.iter().map(arrow));
    let ends = [PhaseKind::Completed, PhaseKind::RolledBack];
    lines.extend(ends.map(|end| format!("    {} --> [*]", end.as_str())));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_in_the_architecture_is_this_table() {
        let text = include_str!("../../../../ARCHITECTURE.md");
        let (_, rest) = text.split_once("```mermaid\n").expect("a picture");
        let (picture, _) = rest.split_once("\n```").expect("its end");
        assert_eq!(picture, mermaid(), "copy the right side into ARCHITECTURE.md");
    }
}
