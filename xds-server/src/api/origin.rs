//! Who asks, and why: it goes into the journal, so it is bounded and printable.

use serde::Deserialize;

use super::backend::Origin;
use super::problem::Problem;

/// Recorded when a request names nobody.
const ANONYMOUS: &str = "api";
/// Longest actor, in bytes.
const MAX_ACTOR: usize = 128;
/// Longest reason, in bytes.
const MAX_REASON: usize = 1024;

/// `actor` and `reason` as they come with a request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    pub(super) actor: Option<String>,
    pub(super) reason: Option<String>,
}

impl Given {
    /// Checks both.
    pub(super) fn origin(self) -> Result<Origin, Problem> {
        let actor = self.actor.filter(|actor| !actor.is_empty());
        Ok(Origin {
            actor: checked("actor", actor, MAX_ACTOR)?.unwrap_or_else(|| ANONYMOUS.to_owned()),
            reason: checked("reason", self.reason, MAX_REASON)?,
        })
    }
}

fn checked(what: &str, text: Option<String>, max: usize) -> Result<Option<String>, Problem> {
    let good = |text: &String| text.len() <= max && !text.chars().any(char::is_control);
    if text.as_ref().is_none_or(good) {
        return Ok(text);
    }
    Err(Problem::bad_request(format!(
        "`{what}` may hold up to {max} bytes and no control characters"
    )))
}
