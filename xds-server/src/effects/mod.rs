//! I/O beside xDS: smoke tests, health checks, hooks, DNS updates, notifications and traces.
//!
//! Effects observe the controller's view and submit commands to it; the controller never waits for an effect. All are
//! level-triggered: the pending work is derived from the state, so a restart continues it. Results are submitted as
//! commands and become events. A task that panics or ends early is restarted, see [`Supervisor`].

mod backoff;
pub mod dns;
#[cfg(test)]
mod fakes;
pub mod health;
pub mod hooks;
mod keyed_tasks;
pub mod names;
pub mod notifier;
pub mod queries;
mod secret;
mod signature;
pub mod smoke;
mod submit;
mod supervisor;
pub mod traces;
mod webhook;

pub use self::backoff::Backoff;
pub use self::supervisor::{Supervisor, Task};
pub use self::webhook::{TlsError, WebhookClient};
