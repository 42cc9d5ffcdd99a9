//! What follows from decisions outside the sidecars. Effects watch the controller's view and ask
//! it for things like anybody else; none of them can hold it up.

pub mod smoke;
