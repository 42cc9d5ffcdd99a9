//! The door on a real port, with xDS and reports behind it.

mod ca;
mod certificates;
mod crowd;
mod renewal;
mod strangers;
mod who;
mod world;
