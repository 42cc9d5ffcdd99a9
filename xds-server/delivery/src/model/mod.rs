//! The data of delivery and its validation. Nothing here changes a state or decides anything.

pub mod blocker;
pub mod catalogue;
pub mod checks;
pub mod command;
pub mod commit;
pub mod configuration;
pub mod dns;
pub mod event;
pub mod failure;
pub mod flag;
pub mod fold_error;
pub mod freeze;
pub mod group;
pub mod health;
pub mod hook;
pub mod istio;
pub mod phases;
pub mod plan;
pub mod progress;
pub mod refusal;
pub mod release;
pub mod requirements;
pub mod signals;
pub mod state;
pub mod weakness;
