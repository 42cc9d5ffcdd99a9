//! Logs each decision at `info`, and each rollback at `warn` as well.

use tracing::{info, warn};

use crate::journal::Record;
use tidegate_delivery::judge::Finding;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::release::RollbackCause;

pub(super) fn log(record: &Record) {
    let Record { seq, actor, .. } = record;
    let event = record.event.event();
    let kind = event.kind();
    let release = event.release().map(tracing::field::display);
    info!(seq, event = kind, release, actor, "decided");
    let Event::RolledBack { id, cause, .. } = event else {
        return;
    };
    match cause {
        RollbackCause::Guardrail { finding } => {
            let Finding { guardrail, limit, bad, requests, .. } = finding;
            warn!(seq, release = %id, %guardrail, %limit, bad, requests, "rolled back");
        }
        RollbackCause::SmokeTest { failure } => {
            warn!(seq, release = %id, %failure, "rolled back");
        }
        RollbackCause::Security { signal, reason } => {
            warn!(seq, release = %id, %signal, reason, "rolled back");
        }
        RollbackCause::Group { release, cause } => {
            warn!(seq, release = %id, with = %release, %cause, "rolled back");
        }
        RollbackCause::Operator => warn!(seq, release = %id, actor, "rolled back"),
    }
}
