//! How the engine says things to people.

/// Why, behind what was said: the words themselves, if there are any.
pub(crate) fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}
