//! Things that may be there only once.

use std::collections::BTreeMap;

use crate::config::place::Place;
use crate::config::problem::Problems;

/// The names of one kind that were seen, and where.
#[derive(Debug, Default)]
pub(super) struct Once(BTreeMap<String, (Place, String)>);

impl Once {
    /// Notes a name. If it was there before that is a problem, told as `what` of `owner`.
    pub(super) fn check(
        &mut self,
        what: &str,
        name: &str,
        owner: &str,
        place: Place,
        problems: &mut Problems,
    ) -> bool {
        if let Some((first, first_owner)) = self.0.get(name) {
            let of = match (first_owner.is_empty(), first_owner == owner) {
                (true, _) | (_, true) => String::new(),
                _ => format!(", for `{first_owner}`"),
            };
            problems.add(
                place,
                format!("{what} `{name}` is there already, on line {}{of}", first.line),
                "remove or rename one of the two",
            );
            return false;
        }
        self.0.insert(name.to_owned(), (place, owner.to_owned()));
        true
    }
}
