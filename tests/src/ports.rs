//! Free ports for programs that cannot choose one themselves, reserved against other test processes.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;

/// Below the kernel's range of ephemeral ports, which outgoing connections use.
const RANGE: std::ops::Range<u16> = 16_000..32_000;

/// Reservations of this process: locks on files named after the ports. The operating system releases them with the
/// process.
static RESERVED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A free loopback address, reserved for the life of this process.
///
/// # Errors
/// If no port is free, or the lock files cannot be written.
pub fn free_address() -> Result<SocketAddr> {
    let locks = std::env::temp_dir().join("tidegate-ports");
    fs::create_dir_all(&locks).with_context(|| format!("cannot create {}", locks.display()))?;
    for port in RANGE {
        let path = locks.join(port.to_string());
        let lock =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if lock.try_lock().is_ok() && TcpListener::bind(address).is_ok() {
            RESERVED.lock().push(lock);
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
    fn ports_are_distinct_and_can_be_bound() {
        let addresses: Vec<_> = (0..20).map(|_| free_address().unwrap()).collect();
        assert_eq!(addresses.iter().collect::<HashSet<_>>().len(), 20);
        let bound: Vec<_> =
            addresses.iter().map(|address| TcpListener::bind(address).unwrap()).collect();
        assert_eq!(bound.len(), 20);
    }
}
