//! Deployment of versions to environments, and their removal. A version in use is never replaced, moved or removed.

use crate::model::catalogue::VersionSpec;
use crate::model::fold_error::{FoldErrorKind, PlacementError};
use crate::model::state::ServiceState;
use crate::names::VersionName;

impl ServiceState {
    /// Deploys a version. Another version in its environment is removed.
    ///
    /// # Errors
    /// When a version in use would be replaced or moved. Nothing changes then.
    pub(crate) fn place(
        &mut self,
        version: &VersionName,
        spec: &VersionSpec,
    ) -> Result<(), PlacementError> {
        let displaced = self.displaced_by(version, spec)?.cloned();
        if let Some(displaced) = displaced {
            self.spec.versions.remove(&displaced);
        }
        self.spec.versions.insert(version.clone(), spec.clone());
        self.drop_missing_versions();
        Ok(())
    }

    /// Removes a version that is not in use.
    pub(crate) fn remove_version(&mut self, version: &VersionName) -> Result<(), FoldErrorKind> {
        let removed = if self.in_use(version) { None } else { self.spec.versions.remove(version) };
        removed.ok_or_else(|| FoldErrorKind::UnknownVersion(version.clone()))?;
        self.drop_missing_versions();
        Ok(())
    }

    /// The version that the deployment would remove.
    ///
    /// # Errors
    /// When a version in use would be replaced or moved.
    pub(crate) fn displaced_by(
        &self,
        version: &VersionName,
        spec: &VersionSpec,
    ) -> Result<Option<&VersionName>, PlacementError> {
        let Some(environment) = spec.environment else {
            return Ok(None);
        };
        let current = self.spec.versions.get(version).and_then(|it| it.environment);
        if let Some(current) = current
            && current != environment
            && self.in_use(version)
        {
            return Err(PlacementError::Moves { version: version.clone(), environment: current });
        }
        match self.occupant(environment) {
            Some(occupant) if occupant == version => Ok(None),
            Some(occupant) if self.in_use(occupant) => {
                Err(PlacementError::Occupied { environment, occupant: occupant.clone() })
            }
            occupant => Ok(occupant),
        }
    }

    /// Drops references to versions that are no longer deployed: the previous version, and signals.
    pub(crate) fn drop_missing_versions(&mut self) {
        let versions = &self.spec.versions;
        self.previous = self.previous.take().filter(|it| versions.contains_key(it));
        self.previous_until = self.previous_until.filter(|_| self.previous.is_some());
        self.signals.retain(|it| versions.contains_key(it));
    }
}
