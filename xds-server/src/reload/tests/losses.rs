//! What takes away something that serves traffic: the mistakes that end all traffic of a service, by the file, by SIGHUP, at
//! a start and by REST.

use std::net::TcpListener;

use super::*;
use tidegate_delivery::model::outcome::Effect;

const EXAMPLE: &str = r#"
filter: {wasm: filter.wasm}
fleets:
  - name: demo
    listeners:
      - {name: ingress, address: "127.0.0.1:10000", services: [order, product]}
      - {name: internal, address: "127.0.0.1:10001", services: [product]}
services:
  - name: order
    hosts: ["order.local"]
    strategy: {canary: {steps: [5%, 100%]}}
    stable: v1
    versions: [{name: v1, endpoints: ["127.0.0.1:9101"]}]
  - name: product
    hosts: ["product.local"]
    strategy: {canary: {steps: [5%, 100%]}}
    stable: v1
    versions: [{name: v1, endpoints: ["127.0.0.1:9201"]}]
"#;

fn edited(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "no {from}");
    EXAMPLE.replacen(from, to, 1)
}

/// The file with this mistake is refused, and reported with its losses and the command that confirms it, until it is
/// confirmed.
async fn assert_refused(text: &str, losses: &[&str]) {
    let mut server = Server::start_on(EXAMPLE);
    let before = server.world.records().len();
    let state = server.state();
    server.write(text);
    server.poll().await;
    let path = server.path();
    let allow: String = losses.iter().map(|loss| format!(" --allow {loss}")).collect();
    let confirmation = format!("tidegate apply -f {}{allow}", path.display());
    let failure = server.watcher.status().borrow().failure.clone().unwrap();
    assert!(failure.message.ends_with(&confirmation), "{failure:?}");
    assert_eq!(failure.confirmation(&path), Some(confirmation));
    let named: Vec<_> = failure.losses.iter().map(|it| it.change.loss.clone().unwrap()).collect();
    assert_eq!(named.iter().map(ToString::to_string).collect::<Vec<_>>(), losses);

    // By SIGHUP and by REST.
    server.watcher.poll(true).await;
    assert!(server.send(text).await.unwrap_err().to_string().contains(&allow));
    let tried = server.reloader.dry_run(text.to_owned(), BTreeSet::new(), &anne()).await.unwrap();
    assert_eq!(tried.refused, named);
    // By all but one of the names.
    for missing in losses {
        let others: Vec<_> = losses.iter().filter(|it| *it != missing).copied().collect();
        assert!(server.send_allowing(text, &others).await.is_err());
    }
    assert_eq!((server.world.records().len(), server.state()), (before, state));

    let allow = named.into_iter().collect();
    let tried = server.reloader.dry_run(text.to_owned(), allow, &anne()).await.unwrap();
    assert!(tried.refused.is_empty());
    server.send_allowing(text, losses).await.unwrap();
    server.poll().await;
    assert_eq!(server.failure(), None);
}

impl Server {
    fn state(&self) -> Arc<tidegate_delivery::model::state::State> {
        Arc::clone(&self.controller.view().borrow().state)
    }
}

#[tokio::test]
async fn stable_moves_to_a_closed_port() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = edited("127.0.0.1:9101", &closed.to_string());
    assert_refused(&text, &["endpoints:order/v1"]).await;

    // One endpoint stays: a warning only, of those that accept no connection.
    let open = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!("127.0.0.1:9101\", \"{closed}\", \"{}", open.local_addr().unwrap());
    let server = Server::start_on(EXAMPLE);
    let text = edited("127.0.0.1:9101", &more);
    let tried = server.reloader.dry_run(text, BTreeSet::new(), &anne()).await.unwrap();
    assert!(tried.refused.is_empty());
    let found: Vec<_> = tried.probed.unreachable.iter().map(|it| it.endpoint.to_string()).collect();
    assert_eq!(found, [closed.to_string()]);
}

#[tokio::test]
async fn a_host_is_mistyped() {
    assert_refused(&edited("order.local", "ordr.local"), &["host:order.local"]).await;
}

#[tokio::test]
async fn the_address_of_a_listener_changes() {
    assert_refused(&edited("127.0.0.1:10000", "127.0.0.1:10002"), &["listener:demo/ingress"]).await;
}

#[tokio::test]
async fn a_listener_is_removed() {
    let line =
        "      - {name: ingress, address: \"127.0.0.1:10000\", services: [order, product]}\n";
    assert_refused(&edited(line, ""), &["listener:demo/ingress"]).await;
}

#[tokio::test]
async fn a_listener_loses_a_service() {
    assert_refused(&edited("[order, product]", "[product]"), &["route:demo/ingress/order"]).await;
}

#[tokio::test]
async fn a_service_is_removed_while_it_is_routed_to() {
    let (text, _) = EXAMPLE.split_once("  - name: product").unwrap();
    let text = text.replace("[order, product]", "[order]").replace("[product]", "[order]");
    assert_refused(&text, &["service:product"]).await;
}

#[tokio::test]
async fn a_listener_becomes_a_preview() {
    let text = edited("[order, product]}", "[order, product], preview: true}");
    assert_refused(&text, &["listener:demo/ingress"]).await;
}

#[tokio::test]
async fn a_host_moves_to_another_service() {
    let text = edited("[\"order.local\"]", "[\"orders.local\"]")
        .replace("[\"product.local\"]", "[\"product.local\", \"order.local\"]");
    assert_refused(&text, &["host:order.local"]).await;
}

#[tokio::test]
async fn several_mistakes_are_allowed_one_by_one() {
    let text = edited("order.local", "ordr.local").replace("127.0.0.1:10000", "127.0.0.1:10002");
    assert_refused(&text, &["listener:demo/ingress", "host:order.local"]).await;
}

#[tokio::test]
async fn a_file_that_is_changed_back_is_no_failure() {
    let mut server = Server::start_on(EXAMPLE);
    server.write(&edited("order.local", "ordr.local"));
    server.poll().await;
    assert!(server.failure().is_some());
    server.write(EXAMPLE);
    server.poll().await;
    assert_eq!(server.failure(), None);
}

/// The listeners of the journal stay in force, so that a restart does not apply what was refused before.
#[tokio::test]
async fn a_start_does_not_apply_what_the_file_takes_away() {
    let server = Server::start_on(EXAMPLE);
    let text = edited("127.0.0.1:10000", "127.0.0.1:10002").replace("order.local", "ordr.local");
    server.write(&text);
    let state = server.state();
    server.controller.stop().await;
    let Server { world, dir, .. } = server;
    let mut server = Server::start_in(world, dir);
    assert_eq!(server.state(), state);
    assert_eq!(server.world.mesh().fleets, *state.fleets);
    server.poll().await;
    let failure = server.failure().unwrap();
    assert!(
        failure.contains("--allow listener:demo/ingress --allow host:order.local"),
        "{failure}"
    );

    let losses = ["listener:demo/ingress", "host:order.local"];
    server.send_allowing(&text, &losses).await.unwrap();
    assert_eq!(server.world.mesh().fleets[0].listeners()[0].address.port(), 10002);
}

/// The reducer decides on the state of that moment: a release that starts after the dry run withholds its service.
#[tokio::test]
async fn a_dry_run_decides_as_the_controller() {
    let server = Server::start();
    server.world.lag(true);
    server.ask(start("order", "v2")).await;
    let text = TEXT.replace(", {name: v2, endpoints: [\"127.0.0.1:9102\"]}", "");
    let tried = server.reloader.dry_run(text.clone(), BTreeSet::new(), &anne()).await.unwrap();
    assert_eq!(tried.changes, []);
    let applied = server.send(&text).await.unwrap();
    assert_eq!(tried.outcome, applied);
    let Effect::ConfigurationApplied { withheld, .. } = applied.effect else { panic!() };
    assert_eq!(withheld[0].service, name("order"));
}
