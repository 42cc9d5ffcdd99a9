//! Bounded room for many clients: so many places in all, and so many for one client, so that there
//! is always room for others.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::identity::SpiffeId;

/// Whom a place is counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Client {
    /// Whoever has this identity.
    Identity(SpiffeId),
    /// Whoever comes from this address, where nobody says who he is.
    Address(IpAddr),
}

impl Client {
    /// The client at an address. One who has an IPv6 address mostly has 2⁶⁴ of them.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
            ip @ IpAddr::V4(_) => ip,
        })
    }
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// All are taken.
    #[error("all {0} are taken")]
    All(usize),
    /// This client has taken all that one may have.
    #[error("this client has {0} already, all that one may have")]
    Client(usize),
}

/// The places.
#[derive(Debug)]
pub struct Quota {
    all: usize,
    each: usize,
    taken: AtomicUsize,
    by_client: DashMap<Client, usize>,
}

impl Quota {
    /// So many places, and so many for one client.
    #[must_use]
    pub fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all, each, taken: AtomicUsize::new(0), by_client: DashMap::new() })
    }

    /// Takes a place, which is free again when the value is dropped.
    ///
    /// # Errors
    /// If there is none left, in all or for this client.
    pub fn enter(self: &Arc<Self>, client: Client) -> Result<Place, Full> {
        let one_more = |taken: usize| (taken < self.all).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .map_err(|_| Full::All(self.all))?;
        let mut of_client = self.by_client.entry(client.clone()).or_default();
        *of_client += 1;
        let over = *of_client > self.each;
        drop(of_client);
        // Taken either way: dropping it gives back both.
        let place = Place { quota: Arc::clone(self), client };
        if over { Err(Full::Client(self.each)) } else { Ok(place) }
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// A place that is taken.
#[derive(Debug)]
pub struct Place {
    quota: Arc<Quota>,
    client: Client,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut of_client) = self.quota.by_client.entry(self.client.clone()) {
            *of_client.get_mut() -= 1;
            if *of_client.get() == 0 {
                of_client.remove();
            }
        }
        self.quota.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Client {
        Client::at(address.parse().unwrap())
    }

    #[test]
    fn one_client_leaves_room_for_others() {
        let quota = Quota::new(3, 2);
        let first = quota.enter(at("10.0.0.1")).unwrap();
        let _second = quota.enter(at("10.0.0.1")).unwrap();
        assert_eq!(quota.enter(at("10.0.0.1")).unwrap_err(), Full::Client(2));
        let _other = quota.enter(at("10.0.0.2")).unwrap();
        assert_eq!(quota.enter(at("10.0.0.3")).unwrap_err(), Full::All(3));
        drop(first);
        assert_eq!(quota.taken(), 2);
        let _again = quota.enter(at("10.0.0.1")).unwrap();
    }

    #[test]
    fn nothing_is_kept_of_who_left() {
        let quota = Quota::new(10, 1);
        let place = quota.enter(at("::1")).unwrap();
        quota.enter(at("::1")).unwrap_err();
        drop(place);
        assert_eq!((quota.taken(), quota.by_client.len()), (0, 0));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_a_mapped_address_is_itself() {
        assert_eq!(at("2001:db8:0:1::1"), at("2001:db8:0:1:ffff::2"));
        assert_ne!(at("2001:db8:0:1::1"), at("2001:db8:0:2::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }
}
