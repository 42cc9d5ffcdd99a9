//! Alerts about versions that no release judges.

use crate::judge::{Finding, Guardrail};
use crate::model::fold_error::FoldErrorKind;
use crate::model::state::ServiceState;
use crate::names::VersionName;

impl ServiceState {
    pub(super) fn raise_alert(
        &mut self,
        version: &VersionName,
        finding: &Finding,
    ) -> Result<(), FoldErrorKind> {
        if !self.spec.versions.contains_key(version) {
            return Err(FoldErrorKind::UnknownVersion(version.clone()));
        }
        let alerts = self.alerts.entry(version.clone()).or_default();
        alerts.insert(finding.guardrail.clone(), finding.level);
        Ok(())
    }

    pub(super) fn clear_alert(&mut self, version: &VersionName, guardrail: &Guardrail) {
        if let Some(alerts) = self.alerts.get_mut(version) {
            alerts.remove(guardrail);
        }
        self.alerts.retain(|_, alerts| !alerts.is_empty());
    }
}
