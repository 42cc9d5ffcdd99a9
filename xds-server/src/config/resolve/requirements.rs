//! Requirements of a release: checks and approvals.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{UniqueNames, name};
use crate::config::problem::{Fault, Problems};
use crate::config::raw::{self, Shorthand};
use crate::config::span::Spanned;
use crate::config::units;
use tidegate_delivery::model::requirements::{Approvals, Requirements};
use tidegate_delivery::names::{CheckName, NameError};

/// Default of `expire`.
const EXPIRE: Duration = Duration::from_secs(24 * 60 * 60);

/// The requirements of a service; none if the key is absent.
pub(super) fn requirements(
    raw: Option<&raw::Requirements>,
    problems: &mut Problems,
) -> Requirements {
    let Some(raw) = raw else {
        return Requirements::default();
    };
    let mut names = UniqueNames::default();
    let mut checks = BTreeSet::new();
    for at in &raw.checks {
        names.check("check", at.get(), "", at.span(), problems);
        checks.extend(problems.record(at.span(), name::<CheckName>(at)));
    }
    let approvals = raw.approvals.as_ref().and_then(|at| approvals(at, problems));
    Requirements { checks, approvals }
}

/// Required approvals, of a service or of a step.
pub(super) fn approvals(
    at: &Spanned<Shorthand<raw::Approvals>>,
    problems: &mut Problems,
) -> Option<Approvals> {
    match at.get() {
        Shorthand::Text(role) => {
            let role = role
                .parse()
                .map_err(|error: NameError| Fault::new(error.to_string(), "choose another name"));
            let role = problems.record(at.span(), role)?;
            Some(Approvals { count: 1, role, expire: EXPIRE })
        }
        Shorthand::Map(map) => {
            let expire = map.expire.as_ref();
            let expire =
                expire.and_then(|at| problems.record(at.span(), units::duration(at.get())));
            let role = problems.record(map.role.span(), name(&map.role))?;
            let count = map.count.unwrap_or(1);
            let approvals = Approvals { count, role, expire: expire.unwrap_or(EXPIRE) };
            if let Err(error) = approvals.validate() {
                problems.add(
                    at.span(),
                    error.to_string(),
                    "write for example {count: 2, role: ROLE}",
                );
            }
            Some(approvals)
        }
    }
}
