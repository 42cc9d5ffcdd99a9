//! Who may see what the sidecars were sent.

use tonic::{Request, Status};

/// Whether a call may be answered. What it tells is the whole mesh, so plaintext is answered only
/// on loopback; this is the one place where another proof of who asks would be weighed.
///
/// # Errors
/// When it may not be answered, or it cannot be told where it comes from.
pub(super) fn allowed<T>(request: &Request<T>) -> Result<(), Status> {
    let is_here = |address: std::net::SocketAddr| address.ip().to_canonical().is_loopback();
    if request.remote_addr().is_some_and(is_here) {
        return Ok(());
    }
    Err(Status::permission_denied(
        "client status is told on loopback only: ask on the control plane's own machine, or use \
         `tidegate nodes`",
    ))
}
