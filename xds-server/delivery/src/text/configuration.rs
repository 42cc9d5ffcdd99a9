//! The text of what a configuration does not apply: withheld services, losses.

use std::fmt;

use super::changes::{lost, quoted};
use crate::model::change::{Change, Loss};
use crate::model::configuration::{ReleaseInput, Withheld, WithheldCause};
use crate::model::refusal::Losses;

impl fmt::Display for ReleaseInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("its declaration"),
            Self::Environments => f.write_str("its environments"),
            Self::Identity => f.write_str("its `identity`"),
            Self::Dns => f.write_str("its `dns`"),
            Self::Istio => f.write_str("its `istio`, or that of its stable version or candidate,"),
            Self::BusinessMetrics => f.write_str("its business metrics"),
            Self::Version(version) => write!(f, "its version `{version}`"),
            Self::EnvironmentOf(version) => {
                write!(f, "the environment to which its version `{version}` is declared")
            }
        }
    }
}

/// ``service `order`: its `dns` cannot change while its release `order.1` runs``.
impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service `{}`: ", self.service)?;
        match &self.cause {
            WithheldCause::MidRelease { release, input } => {
                write!(f, "{input} cannot change while its release `{release}` runs")
            }
            WithheldCause::Claimed { name, by } => {
                write!(f, "`{name}` belongs to `{by}`, whose change is not applied either")
            }
        }
    }
}

/// What of a configuration is not in force, and when it can be; empty if all is.
#[must_use]
pub fn withheld(withheld: &[Withheld]) -> String {
    if withheld.is_empty() {
        return String::new();
    }
    let all: Vec<_> = withheld.iter().map(ToString::to_string).collect();
    format!("not applied until the release ends: {}", all.join("; "))
}

/// Each change and what is lost; `{:#}`: the options that allow them.
impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.write_str(&allow_options(&self.0));
        }
        for (number, change) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{change}")?;
            if let Some(lost) = lost(&change.kind) {
                write!(f, " ({lost})")?;
            }
        }
        Ok(())
    }
}

/// The options that allow all losses, each after a space, for a shell.
#[must_use]
pub fn allow_options(changes: &[Change]) -> String {
    options(changes.iter().filter_map(|it| it.loss.as_ref()))
}

/// The end of a message about allowed losses that are none; empty if there is none.
pub(super) fn unused<'a>(losses: impl Iterator<Item = &'a Loss>) -> String {
    match options(losses) {
        none if none.is_empty() => none,
        options => format!("; without effect, because nothing of it is lost:{options}"),
    }
}

fn options<'a>(losses: impl Iterator<Item = &'a Loss>) -> String {
    losses.map(|loss| format!(" --allow {}", quoted(&loss.to_string()))).collect()
}
