//! Free ports for programs that cannot be told to take any: they get one that nobody else will take in the meantime.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;

/// Below the range from which the kernel serves outgoing connections, which would otherwise race us for a port.
const RANGE: std::ops::Range<u16> = 16_000..32_000;

/// Claims of this process. A claim is a lock on a file named after the port, which the system drops with the process;
/// until then no other test process takes that port, and neither do we.
static CLAIMS: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A loopback address that is free, and stays ours for the life of this process.
///
/// # Errors
/// If no port is free, or the claims cannot be written.
pub fn free_address() -> Result<SocketAddr> {
    let claims = std::env::temp_dir().join("tidegate-ports");
    fs::create_dir_all(&claims).with_context(|| format!("cannot create {}", claims.display()))?;
    for port in RANGE {
        let path = claims.join(port.to_string());
        let claim =
            File::create(&path).with_context(|| format!("cannot claim {}", path.display()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if claim.try_lock().is_ok() && TcpListener::bind(address).is_ok() {
            CLAIMS.lock().push(claim);
            return Ok(address);
        }
    }
    bail!("no free port from {} to {}", RANGE.start, RANGE.end)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_and_each_can_be_bound() {
        let addresses: Vec<_> = (0..20).map(|_| free_address().unwrap()).collect();
        assert_eq!(addresses.iter().collect::<HashSet<_>>().len(), 20);
        let bound: Vec<_> =
            addresses.iter().map(|address| TcpListener::bind(address).unwrap()).collect();
        assert_eq!(bound.len(), 20);
    }
}
