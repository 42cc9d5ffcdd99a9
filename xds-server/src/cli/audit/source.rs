//! Where records come from: a server, or a file. What is done with them is the same.

use tidegate::journal::{Reader, Record};

use super::super::client::Client;
use super::super::failure::Failure;

/// Records that are read at a time.
const PAGE: usize = 1000;

pub(super) enum Source {
    Server(Client),
    File(Reader),
}

/// The records after one, page by page.
pub(super) struct Pages<'a> {
    source: &'a Source,
    after: u64,
}

impl Source {
    pub(super) fn pages(&self, after: u64) -> Pages<'_> {
        Pages { source: self, after }
    }
}

impl Pages<'_> {
    /// The next page; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Record>>, Failure> {
        let page = match self.source {
            Source::File(reader) => reader.read(self.after, PAGE)?,
            Source::Server(client) => {
                let query = [("after", self.after.to_string()), ("limit", PAGE.to_string())];
                // Not by way of a generic value: the chain covers each event's JSON byte for byte.
                client.get_exactly(&["events"], &query).await?
            }
        };
        Ok(page.last().map(|last| last.seq).map(|last| {
            self.after = last;
            page
        }))
    }
}
