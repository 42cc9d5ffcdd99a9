//! Hook calls: due from the event that triggers them to the event that ends them.

use crate::model::fold_error::FoldErrorKind;
use crate::model::hook::{Call, CallState, Hook, Moment};
use crate::model::release::Release;
use crate::model::state::ServiceState;
use crate::names::{HookName, ReleaseId};
use crate::units::Timestamp;

impl Release {
    /// Adds a due call of each hook that is configured for `on`.
    pub(crate) fn enqueue_calls(&mut self, hooks: &[Hook], on: Moment, at: Timestamp) {
        let (from, to) = match on {
            Moment::RolledBack => (&self.candidate, &self.stable),
            Moment::Started | Moment::Switched | Moment::Completed => {
                (&self.stable, &self.candidate)
            }
        };
        let calls = hooks.iter().filter(|hook| hook.on == on).map(|hook| Call {
            release: self.id.clone(),
            hook: hook.clone(),
            from: from.clone(),
            to: to.clone(),
            at,
            end: CallState::Due,
        });
        self.calls.extend(calls.collect::<Vec<_>>());
    }
}

impl ServiceState {
    /// Ends a call. A call of an earlier release is dropped.
    pub(crate) fn end_call(
        &mut self,
        release: &ReleaseId,
        hook: &HookName,
        end: CallState,
    ) -> Result<(), FoldErrorKind> {
        let matches = |call: &Call| call.release == *release && call.hook.name == *hook;
        let newest = self.release.iter_mut().flat_map(|release| &mut release.calls);
        if let Some(call) = newest.into_iter().find(|call| matches(call) && call.is_due()) {
            call.end = end;
            return Ok(());
        }
        match self.earlier_calls.iter().position(matches) {
            Some(index) => {
                self.earlier_calls.remove(index);
                Ok(())
            }
            None => Err(FoldErrorKind::NoDueCall { release: release.clone(), hook: hook.clone() }),
        }
    }

    /// Keeps the due calls of a release that the next one replaces.
    pub(crate) fn retain_due_calls(&mut self) {
        let calls = self.release.iter_mut().flat_map(|release| release.calls.drain(..));
        self.earlier_calls.extend(calls.filter(Call::is_due));
    }
}
