//! Release groups: releases of several services that go forward, and back, together. A group is
//! known as long as each of its members is the newest release of its service.

use serde::{Deserialize, Serialize};

use crate::model::commit::Commit;
use crate::model::release::Release;
use crate::model::state::{ServiceState, State};
use crate::names::{GroupName, ReleaseId, ServiceName, VersionName};

/// Most members that a group may have.
pub const MAX_MEMBERS: usize = 20;

/// What one service is to be released to, with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The service.
    pub service: ServiceName,
    /// The candidate.
    pub version: VersionName,
    /// What it brings to production.
    pub commit: Option<Commit>,
}

/// A group that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The release of each service, in the order in which they were named.
    pub members: Vec<ReleaseId>,
}

/// A release and its service.
pub type GroupedRelease<'a> = (&'a ServiceState, &'a Release);

impl State {
    /// The group that a release belongs to.
    #[must_use]
    pub fn group_of(&self, id: &ReleaseId) -> Option<(&GroupName, &Group)> {
        self.groups.iter().find(|(_, group)| group.members.contains(id))
    }

    /// The releases of a group, each with its service.
    pub fn members<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = GroupedRelease<'a>> {
        group.members.iter().filter_map(|id| {
            let service = self.service_of(id)?;
            Some((service, service.release.as_ref()?))
        })
    }

    /// All that goes with a release: its group, or it alone.
    #[must_use]
    pub fn with_group(&self, id: &ReleaseId) -> Vec<GroupedRelease<'_>> {
        match self.group_of(id) {
            Some((_, group)) => self.members(group).collect(),
            None => {
                let service = self.service_of(id);
                service.and_then(|it| Some((it, it.release.as_ref()?))).into_iter().collect()
            }
        }
    }

    /// Everything that runs, what goes together together.
    pub fn running_groups(&self) -> impl Iterator<Item = Vec<GroupedRelease<'_>>> {
        let leads = |id: &ReleaseId| {
            self.group_of(id).is_none_or(|(_, group)| group.members.first() == Some(id))
        };
        self.running().filter(move |it| leads(&it.id)).map(|it| self.with_group(&it.id))
    }
}
