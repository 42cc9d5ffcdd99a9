//! The demo's two programs as a library, so that a test can run several services and load generators in one process.
//!
//! [`service`] is an HTTP service whose responses name the version that sent them and whose [`faults`] can be changed
//! at run time. [`load`] sends requests at a constant rate and counts responses by version.

#![expect(missing_docs, reason = "an application: names and error messages are the documentation")]

pub mod faults;
pub mod load;
pub mod service;
