//! The protocol's promises, one test each. The numbers in the comments are the lines of the
//! project's xDS checklist.

mod answers;
mod holdings;
mod limits;
mod model;
mod order;
mod subscriptions;
mod support;
mod synced;
