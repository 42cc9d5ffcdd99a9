//! Hook calls: due from the event that they report, until the event of their end.

use crate::model::hook::{Call, CallEnd, Hook, Moment};
use crate::model::misfit::Misfit;
use crate::model::release::Release;
use crate::model::state::ServiceState;
use crate::names::{HookName, ReleaseId};
use crate::units::Timestamp;

impl Release {
    /// Makes the calls due of all hooks that are configured for this moment.
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
            end: CallEnd::Due,
        });
        self.calls.extend(calls.collect::<Vec<_>>());
    }
}

impl ServiceState {
    /// Ends a call. A call of an earlier release is dropped: no view shows it.
    pub(crate) fn end_call(
        &mut self,
        release: &ReleaseId,
        hook: &HookName,
        on: Moment,
        end: CallEnd,
    ) -> Result<(), Misfit> {
        let it = |call: &Call| call.is(release, hook, on);
        let newest = self.release.iter_mut().flat_map(|release| &mut release.calls);
        if let Some(call) = newest.into_iter().find(|call| it(call) && call.is_due()) {
            call.end = end;
            return Ok(());
        }
        match self.left_calls.iter().position(it) {
            Some(place) => {
                self.left_calls.remove(place);
                Ok(())
            }
            None => Err(Misfit::NoCall { release: release.clone(), hook: hook.clone() }),
        }
    }

    /// Keeps the due calls of a release that the next one replaces.
    pub(crate) fn retain_due_calls(&mut self) {
        let calls = self.release.iter_mut().flat_map(|release| release.calls.drain(..));
        self.left_calls.extend(calls.filter(Call::is_due));
    }
}
