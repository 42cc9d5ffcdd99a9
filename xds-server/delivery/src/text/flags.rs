//! The text of what flags do not do.

use crate::model::flag::FlagBlock;
use crate::names::{ServiceName, VersionName};

/// Why no flag selects a version, and the command that allows it.
#[must_use]
pub fn flag_block(service: &ServiceName, version: &VersionName, block: &FlagBlock) -> String {
    match block {
        FlagBlock::Quarantined { signal } => format!(
            "no flag selects version `{version}` of `{service}`: it is quarantined by the security signal `{signal}`"
        ),
        FlagBlock::RolledBack { release } => format!(
            "no flag selects version `{version}` of `{service}`: it was rolled back with release `{release}`; complete a \
             release of it, or allow it: tidegate version allow-flags {service} {version}"
        ),
    }
}

/// A routing flag reads attributes that requests do not have.
pub(super) fn absent_attributes(flag: &str, attributes: &[String]) -> String {
    let names: Vec<_> = attributes.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "the rules of flag `{flag}` read {}, which no request has: use targetingKey, headers.NAME, cookies.NAME, host, path or method",
        names.join(", ")
    )
}
