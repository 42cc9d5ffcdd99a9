//! Invariants of release groups.

use super::*;
use crate::model::group::Group;
use crate::model::release::Release;

impl Model {
    pub(super) fn check_groups(&self) {
        let mut grouped: Vec<&ReleaseId> = Vec::new();
        for (called, group) in &self.state.groups {
            assert!(group.members.iter().all(|it| !grouped.contains(&it)), "in two groups");
            grouped.extend(&group.members);
            let members: Vec<_> = self.state.members(group).map(|(_, it)| it).collect();
            assert!(members.len() == group.members.len() && members.len() > 1, "{called}");
            if members.iter().any(|it| it.is_running()) {
                self.check_same_step(&members);
                self.check_rollback(group, &members);
            }
        }
    }

    /// All members are on the same step, and none can be promoted or paused alone.
    fn check_same_step(&self, members: &[&Release]) {
        let place = |release: &Release| (release.phase.name(), release.step());
        assert!(members.iter().all(|it| place(it) == place(members[0])), "{members:#?}");
        for verb in [ReleaseCommand::Promote { all: true }, ReleaseCommand::Pause] {
            let alone = Command::Release(members[0].id.clone(), verb);
            let decided = decide_command(&self.state, &command_context("anne", self.now), &alone);
            assert!(decided.is_err(), "{decided:?}");
        }
    }

    /// The rollback of one member, or of the group, rolls back all members in one append.
    fn check_rollback(&self, group: &Group, members: &[&Release]) {
        let one = Command::Release(members[1].id.clone(), ReleaseCommand::Rollback);
        let called = self.state.group_of(&members[0].id).unwrap().0.clone();
        let all = Command::Group(called, ReleaseCommand::Rollback);
        for command in [one, all] {
            let decided = decide_command(&self.state, &command_context("anne", self.now), &command);
            let (events, _) = decided.unwrap();
            assert!(events.iter().all(|it| matches!(it, Event::RolledBack { .. })), "{events:?}");
            let mut back: Vec<_> = events.iter().filter_map(Event::release).collect();
            back.sort();
            let mut wanted: Vec<_> = group.members.iter().collect();
            wanted.sort();
            assert_eq!(back, wanted);
        }
    }
}
