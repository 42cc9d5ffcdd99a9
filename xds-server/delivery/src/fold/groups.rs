//! Release groups: created with their releases, and dropped once a member is no longer the newest of its service.

use crate::model::fold_error::FoldErrorKind;
use crate::model::group::Group;
use crate::model::release::Phase;
use crate::model::state::State;
use crate::names::{GroupName, ReleaseId};

impl State {
    /// Creates the group of releases that have just started. It replaces an ended group of that name.
    pub(crate) fn create_group(
        &mut self,
        name: &GroupName,
        members: &[ReleaseId],
    ) -> Result<(), FoldErrorKind> {
        for id in members {
            let release =
                self.release(id).ok_or_else(|| FoldErrorKind::UnknownRelease(id.clone()))?;
            let begins = matches!(release.phase, Phase::Preparing { .. });
            if !begins || self.group_of(id).is_some() {
                return Err(FoldErrorKind::Phase(id.clone()));
            }
        }
        if let Some((_, runs)) =
            self.groups.get(name).and_then(|it| self.members(it).find(|it| it.1.is_running()))
        {
            return Err(FoldErrorKind::ReleaseRunning(runs.id.clone()));
        }
        self.groups.insert(name.clone(), Group { members: members.to_vec() });
        Ok(())
    }

    /// Drops groups with a member that is no longer the newest release of its service: they have ended and can no
    /// longer be rolled back as a group.
    pub(crate) fn drop_stale_groups(&mut self) {
        let services = &self.services;
        let is_newest = |id: &ReleaseId| {
            let newest = services.values().filter_map(|it| it.release.as_ref());
            newest.into_iter().any(|release| release.id == *id)
        };
        self.groups.retain(|_, group| group.members.iter().all(is_newest));
    }
}
