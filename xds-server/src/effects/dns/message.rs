//! What is asked and what is said: the records of one name, in DNS's words.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use hickory_proto::ProtoError;
use hickory_proto::op::{Message, OpCode, Query};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::exchange::{Connection, DnsError};
use tidegate_delivery::model::dns::{Dns, RecordSet};

/// The types of records that are ours at the name. Others there are left alone.
const OURS: [RecordType; 3] = [RecordType::A, RecordType::AAAA, RecordType::CNAME];

/// A name and its zone.
pub(super) struct Names {
    zone: Name,
    name: Name,
}

/// What the server answers with.
#[derive(Debug, Default)]
pub(super) struct Found {
    addresses: BTreeSet<IpAddr>,
    aliases: Vec<Name>,
    ttls: BTreeSet<u32>,
}

impl Found {
    /// Whether these are the records, all of them and no others.
    pub(super) fn is(&self, records: &RecordSet, ttl: u32) -> bool {
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

    fn take(&mut self, record: &Record) {
        match &record.data {
            RData::A(A(address)) => drop(self.addresses.insert((*address).into())),
            RData::AAAA(AAAA(address)) => drop(self.addresses.insert((*address).into())),
            RData::CNAME(CNAME(alias)) => self.aliases.push(alias.clone()),
            _ => return,
        }
        self.ttls.insert(record.ttl);
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let all: Vec<String> =
            addresses.chain(self.aliases.iter().map(ToString::to_string)).collect();
        f.write_str(if all.is_empty() { "nothing" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

impl Names {
    pub(super) fn of(dns: &Dns) -> Result<Self, ProtoError> {
        Ok(Self { zone: Name::from_ascii(&dns.zone)?, name: Name::from_ascii(&dns.name)? })
    }

    /// Asks for the records that are there now.
    pub(super) async fn found(&self, server: &mut Connection) -> Result<Found, DnsError> {
        let mut found = Found::default();
        for kind in OURS {
            let mut question = Message::query();
            question.metadata.recursion_desired = false;
            question.add_query(Query::query(self.name.clone(), kind));
            let answer = server.ask(&question).await?;
            if !answer.metadata.authoritative {
                return Err(DnsError::NotAuthoritative);
            }
            let ours = |it: &&Record| it.name == self.name && it.record_type() == kind;
            answer.answers.iter().filter(ours).for_each(|record| found.take(record));
        }
        Ok(found)
    }

    /// All that is there goes and all that should be there comes, in one message: nobody is ever
    /// told half of it.
    pub(super) fn update(&self, records: &RecordSet, ttl: u32) -> Result<Message, ProtoError> {
        let mut update = Message::query();
        update.metadata.op_code = OpCode::Update;
        update.metadata.recursion_desired = false;
        update.add_query(Query::query(self.zone.clone(), RecordType::SOA));
        for kind in OURS {
            let mut gone = Record::update0(self.name.clone(), 0, kind);
            gone.dns_class = DNSClass::ANY;
            update.add_authority(gone);
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
