//! Queries and updates of the records of one name.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use hickory_proto::ProtoError;
use hickory_proto::op::{Message, OpCode, Query};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::client::{DnsClient, DnsError};
use tidegate_delivery::model::dns::{Dns, RecordSet};

/// The record types that Tidegate manages at a name. Records of other types are not changed.
const MANAGED_TYPES: [RecordType; 3] = [RecordType::A, RecordType::AAAA, RecordType::CNAME];

/// A managed name and its zone.
pub(super) struct RecordName {
    zone: Name,
    name: Name,
}

/// The managed records that a server answers with.
#[derive(Debug, Default)]
pub(super) struct CurrentRecords {
    addresses: BTreeSet<IpAddr>,
    aliases: Vec<Name>,
    ttls: BTreeSet<u32>,
}

impl CurrentRecords {
    /// Whether these are exactly the wanted records with this TTL.
    pub(super) fn equals(&self, records: &RecordSet, ttl: u32) -> bool {
        let Self { addresses, aliases, ttls } = self;
        let same = match records {
            RecordSet::Addresses(wanted) => addresses == wanted && aliases.is_empty(),
            RecordSet::Alias(wanted) => {
                let alias = Name::from_ascii(wanted).ok();
                addresses.is_empty()
                    && matches!(aliases.as_slice(), [it] if Some(it) == alias.as_ref())
            }
        };
        same && ttls.iter().all(|it| *it == ttl)
    }

    fn add(&mut self, record: &Record) {
        match &record.data {
            RData::A(A(address)) => drop(self.addresses.insert((*address).into())),
            RData::AAAA(AAAA(address)) => drop(self.addresses.insert((*address).into())),
            RData::CNAME(CNAME(alias)) => self.aliases.push(alias.clone()),
            _ => return,
        }
        self.ttls.insert(record.ttl);
    }
}

impl fmt::Display for CurrentRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let all: Vec<String> =
            addresses.chain(self.aliases.iter().map(ToString::to_string)).collect();
        f.write_str(if all.is_empty() { "no records" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

impl RecordName {
    pub(super) fn of(dns: &Dns) -> Result<Self, ProtoError> {
        Ok(Self { zone: Name::from_ascii(&dns.zone)?, name: Name::from_ascii(&dns.name)? })
    }

    /// Queries the current records.
    pub(super) async fn query(&self, server: &mut DnsClient) -> Result<CurrentRecords, DnsError> {
        let mut current = CurrentRecords::default();
        for kind in MANAGED_TYPES {
            let mut query = Message::query();
            query.metadata.recursion_desired = false;
            query.add_query(Query::query(self.name.clone(), kind));
            let response = server.send(&query).await?;
            if !response.metadata.authoritative {
                return Err(DnsError::NotAuthoritative);
            }
            let managed = |it: &&Record| it.name == self.name && it.record_type() == kind;
            response.answers.iter().filter(managed).for_each(|record| current.add(record));
        }
        Ok(current)
    }

    /// One message that deletes all managed records and adds the wanted ones. The server applies it atomically.
    pub(super) fn update(&self, records: &RecordSet, ttl: u32) -> Result<Message, ProtoError> {
        let mut update = Message::query();
        update.metadata.op_code = OpCode::Update;
        update.metadata.recursion_desired = false;
        update.add_query(Query::query(self.zone.clone(), RecordType::SOA));
        for kind in MANAGED_TYPES {
            let mut deleted = Record::update0(self.name.clone(), 0, kind);
            deleted.dns_class = DNSClass::ANY;
            update.add_authority(deleted);
        }
        let mut add = |data| {
            update.add_authority(Record::from_rdata(self.name.clone(), ttl, data));
        };
        match records {
            RecordSet::Alias(alias) => add(RData::CNAME(CNAME(Name::from_ascii(alias)?))),
            RecordSet::Addresses(addresses) => addresses.iter().for_each(|address| {
                add(match address {
                    IpAddr::V4(address) => RData::A(A(*address)),
                    IpAddr::V6(address) => RData::AAAA(AAAA(*address)),
                });
            }),
        }
        Ok(update)
    }
}
