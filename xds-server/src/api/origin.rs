//! Who asks, and why: it goes into the journal, and from there to terminals. The controller bounds
//! its length; here it is made printable.

use serde::Deserialize;

use super::problem::Problem;
use crate::controller::Origin;

/// Actor recorded when a request names none.
const ANONYMOUS: &str = "api";

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
            actor: printable("actor", actor)?.unwrap_or_else(|| ANONYMOUS.to_owned()),
            reason: printable("reason", self.reason)?,
        })
    }
}

fn printable(what: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.chars().any(char::is_control) => {
            Err(Problem::bad_request(format!("`{what}` holds control characters; leave them out")))
        }
        text => Ok(text),
    }
}
