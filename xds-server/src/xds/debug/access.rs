//! Who may see what the sidecars were sent.

use tonic::{Request, Status};

use crate::door::peer::Peer;

/// Whether a call may be answered. What it tells is the whole mesh, and a certificate says only
/// which sidecar somebody is: so whoever asks must be on the control plane's own machine.
///
/// # Errors
/// When it may not be answered, or it cannot be told where it comes from.
pub(super) fn allowed<T>(request: &Request<T>) -> Result<(), Status> {
    let peer = request.extensions().get::<Peer>().map(Peer::ip);
    // Who serves without the door has tonic's word for it.
    let from = peer.or_else(|| request.remote_addr().map(|at| at.ip().to_canonical()));
    if from.is_some_and(|ip| ip.is_loopback()) {
        return Ok(());
    }
    Err(Status::permission_denied(
        "client status is told on loopback only: ask on the control plane's own machine, or use \
         `tidegate nodes`",
    ))
}
