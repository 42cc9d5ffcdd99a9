//! What one request costs the filter natively, without host calls: the routing decision, and counting it with and without
//! the set of failed clients.
#![expect(clippy::print_stdout, reason = "its output is the result")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use serde_json::json;
use tidegate_core::{
    outcome::Outcome,
    report::{ActiveConfig, Client, ClientScope, Reporter, ReporterId, RequestRecord, VersionKey},
    routing::{Request, Router},
};

const REQUESTS: u32 = 200_000;
/// Measurements of each kind; the fastest is printed.
const ROUNDS: u32 = 11;
const KEY: VersionKey<'_> = VersionKey { service: "order", version: "v2", release: "order.7" };

struct UserRequest(Vec<u8>);

impl Request for UserRequest {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        match name {
            ":authority" => Some(b"order.local".to_vec()),
            "x-user-id" => Some(self.0.clone()),
            _ => None,
        }
    }

    fn unix_seconds(&self) -> u64 {
        0
    }

    fn random(&self) -> [u8; 16] {
        [0; 16]
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = json!({
        "version": "c1", "fleet": "demo",
        "report": {"cluster": "tidegate", "interval_ms": 250},
        "services": [{
            "name": "order", "hosts": ["order.local"], "identity": [{"header": "x-user-id"}],
            "salt": "order.7", "release": "order.7", "versions": ["v1", "v2"],
        }],
    });
    let (_, router) = Router::parse(config.to_string().as_bytes())?;
    let user = UserRequest(b"3f2b9c1e-6d0a-4c57-9a8e-2f1d7b604c33".to_vec());
    println!("{:<58}{:>10}", "one request", "ns");
    show("routing decision, client included", |_| {
        black_box(router.decide(black_box(&user)));
    });
    let scope = ClientScope::new("order", "order.7");
    show("of it, the number of the client", |_| {
        black_box(Client::new(scope, "order", black_box(&user.0)));
    });
    let client = |number: u32| Some(Client::new(scope, "order", &number.to_le_bytes()));
    let clients: Vec<_> = (0..8192).map(client).collect();
    let success = RequestRecord::new(Outcome::Success, Duration::from_millis(5));
    let failure = RequestRecord::new(Outcome::Error, Duration::from_millis(5));

    let mut reporter = new_reporter();
    show("counting, without identity", |_| reporter.record(KEY, &success));
    show("counting, no client has failed", |number| {
        reporter.record(KEY, &RequestRecord { client: of(&clients, number), ..success.clone() });
    });
    let mut reporter = new_reporter();
    for client in &clients {
        reporter.record(KEY, &RequestRecord { client: *client, ..failure.clone() });
    }
    show("counting, 8192 clients have failed, one of them", |number| {
        reporter.record(KEY, &RequestRecord { client: of(&clients, number), ..failure.clone() });
    });
    show("counting, 8192 clients have failed, and another one fails", |number| {
        let client = client(number.wrapping_add(8192));
        reporter.record(KEY, &RequestRecord { client, ..failure.clone() });
    });
    Ok(())
}

fn of(clients: &[Option<Client>], number: u32) -> Option<Client> {
    let at = usize::try_from(number).unwrap_or_default().wrapping_mul(31) % clients.len();
    clients.get(at).copied().flatten()
}

fn new_reporter() -> Reporter {
    let id = ReporterId { node_id: "edge-1".to_owned(), instance: 7, filter_version: "0.1.0" };
    let mut reporter = Reporter::new(id);
    let active = ActiveConfig {
        fleet: "demo",
        config_version: "c1",
        config_error: "",
        config_requested: false,
    };
    reporter.poll(Duration::from_secs(1), active);
    reporter
}

/// Prints the least time of a call.
fn show(what: &str, mut call: impl FnMut(u32)) {
    let round = |_| {
        let began = Instant::now();
        (0..REQUESTS).for_each(&mut call);
        began.elapsed()
    };
    let least = (0..ROUNDS).map(round).min().unwrap_or_default();
    println!("{what:<58}{:>10.0}", least.as_secs_f64() * 1e9 / f64::from(REQUESTS));
}
