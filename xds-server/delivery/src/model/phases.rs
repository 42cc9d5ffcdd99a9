//! The phases of a release and their transitions. The diagram in ARCHITECTURE.md is generated from this table, and the model
//! test of the reducer compares it with the transitions that occur.

use serde::{Deserialize, Serialize};

use crate::model::release::Phase;

/// The kind of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseKind {
    /// At 0 %: smoke tests and health checks run, checks and approvals are collected.
    Preparing,
    /// On a step below 100 %.
    Stepping,
    /// At 100 %, in the watch period.
    Watching,
    /// Completed.
    Completed,
    /// Rolled back.
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

/// A transition between phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseChange {
    /// The phase before; none before the start of a release.
    pub from: Option<PhaseKind>,
    /// The event, see [`crate::model::event::Event::kind`].
    pub event: &'static str,
    /// The phase after.
    pub to: PhaseKind,
}

/// All transitions. Other events do not change the phase.
pub const PHASE_CHANGES: [PhaseChange; 10] = {
    use PhaseKind::{Completed, Preparing, RolledBack, Stepping, Watching};
    const fn change(from: PhaseKind, event: &'static str, to: PhaseKind) -> PhaseChange {
        PhaseChange { from: Some(from), event, to }
    }
    [
        PhaseChange { from: None, event: "release_started", to: Preparing },
        change(Preparing, "step_entered", Stepping),
        change(Preparing, "step_entered", Watching),
        change(Stepping, "step_entered", Stepping),
        change(Stepping, "step_entered", Watching),
        change(Watching, "completed", Completed),
        change(Preparing, "rolled_back", RolledBack),
        change(Stepping, "rolled_back", RolledBack),
        change(Watching, "rolled_back", RolledBack),
        change(Completed, "stable_restored", RolledBack),
    ]
};

/// The table as a Mermaid state diagram.
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
    fn the_diagram_in_the_architecture_is_this_table() {
        let text = include_str!("../../../../ARCHITECTURE.md");
        let (_, rest) = text.split_once("```mermaid\n").expect("a picture");
        let (picture, _) = rest.split_once("\n```").expect("its end");
        assert_eq!(picture, mermaid(), "copy the right side into ARCHITECTURE.md");
    }
}
