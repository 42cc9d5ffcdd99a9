//! The text of rollback causes: what failed in a release.

use std::fmt;

use crate::model::failure::{RequestFailure, SmokeTestFailure};
use crate::model::health::{InstanceHealth, UnhealthyInstance};
use crate::model::release::RollbackCause;
use crate::model::signals::reason_suffix;

impl fmt::Display for RequestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedStatus { status, expected } => write!(f, "{status}, not {expected}"),
            Self::Timeout => f.write_str("no response within the timeout"),
            Self::Transport { error } => f.write_str(error),
        }
    }
}

impl fmt::Display for SmokeTestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GET {}: {}", self.url, self.failure)
    }
}

/// The unhealthy instances, each with its failure.
impl fmt::Display for InstanceHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, UnhealthyInstance { endpoint, failure }) in self.unhealthy.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{endpoint} ({failure})")?;
        }
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}

impl fmt::Display for RollbackCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guardrail { finding } => write!(f, "{finding}"),
            Self::SmokeTest { failure } => write!(f, "smoke test: {failure}"),
            Self::Security { signal, reason } => {
                write!(f, "security signal {signal}{}", reason_suffix(reason.as_deref()))
            }
            Self::Group { release, cause } => write!(f, "with {release} of its group: {cause}"),
            Self::Operator => f.write_str("by an operator"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{finding, name, smoke_test_failure};
    use crate::judge::Level;

    #[test]
    fn rollback_causes_name_values() {
        let guardrail = RollbackCause::Guardrail { finding: finding(Level::Rollback) };
        let smoke_test = RollbackCause::SmokeTest { failure: smoke_test_failure() };
        let group =
            RollbackCause::Group { release: name("product.1"), cause: Box::new(guardrail.clone()) };
        for (cause, expected) in [
            (guardrail, "error rate above 5%: 60 of 1000 requests"),
            (smoke_test, "smoke test: GET http://127.0.0.1:9202/healthz: 503, not 200"),
            (group, "with product.1 of its group: error rate above 5%: 60 of 1000 requests"),
        ] {
            assert_eq!(cause.to_string(), expected);
            let json = serde_json::to_string(&cause).unwrap();
            assert_eq!(serde_json::from_str::<RollbackCause>(&json).unwrap(), cause, "{json}");
        }
    }
}
