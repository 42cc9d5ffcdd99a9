//! Where a version may be deployed: never where it would change what serves without a release.

use crate::model::catalogue::VersionSpec;
use crate::model::misfit::Conflict;
use crate::model::state::ServiceState;
use crate::names::VersionName;

impl ServiceState {
    /// Puts a version where its spec says. Whatever was in that environment is displaced.
    ///
    /// # Errors
    /// When a version in use would be displaced or moved; nothing changed then.
    pub(crate) fn place(
        &mut self,
        version: &VersionName,
        spec: &VersionSpec,
    ) -> Result<(), Conflict> {
        let displaced = self.displaced_by(version, spec)?.cloned();
        if let Some(displaced) = displaced {
            self.spec.versions.remove(&displaced);
        }
        self.spec.versions.insert(version.clone(), spec.clone());
        self.drop_missing_versions();
        Ok(())
    }

    /// The version that would have to go if another were deployed.
    ///
    /// # Errors
    /// When that cannot be done.
    pub(crate) fn displaced_by(
        &self,
        version: &VersionName,
        spec: &VersionSpec,
    ) -> Result<Option<&VersionName>, Conflict> {
        let Some(environment) = spec.environment else {
            return Ok(None);
        };
        let held = self.spec.versions.get(version);
        if let Some(held) = held.and_then(|held| held.environment)
            && held != environment
            && self.in_use(version)
        {
            return Err(Conflict::Moves { version: version.clone(), environment: held });
        }
        match self.occupant(environment) {
            Some(occupant) if occupant == version => Ok(None),
            Some(occupant) if self.in_use(occupant) => {
                Err(Conflict::Occupied { environment, occupant: occupant.clone() })
            }
            occupant => Ok(occupant),
        }
    }

    /// `previous` is a promise that one push brings it back: it must still run. Of what does not
    /// run, nothing can be wrong.
    pub(crate) fn drop_missing_versions(&mut self) {
        let versions = &self.spec.versions;
        self.previous = self.previous.take().filter(|it| versions.contains_key(it));
        self.previous_until = self.previous_until.filter(|_| self.previous.is_some());
        self.signals.retain(|it| versions.contains_key(it));
    }
}
