//! A client cannot choose a version by sending Tidegate's headers, whatever is in the place of the filter.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::http::HeaderMap;
use reqwest::Client;
use tidegate_tests::story::ProgressOutput;
use tidegate_tests::wait::{WAIT_LIMIT, until};

use super::mesh::{HOST, Mesh, Setup};
use super::proxy::{Extension, PLUGIN, Role};

const USERS: u32 = 60;
/// Headers that a client may know.
const FORGERIES: [(&str, &str); 4] = [
    ("x-tidegate-version", "v2"),
    ("x-tidegate-version", "0b9c8f7a6d6f1c0d5a9b7e4c3f8a2d1e"),
    ("x-tidegate-version", ""),
    ("x-tidegate-bucket", "0"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_headers_choose_nothing_in_any_state() {
    run().await.unwrap();
}

async fn run() -> Result<()> {
    let output = ProgressOutput::default();
    let mut table = Table::default();
    let versions = Some([backend("v1").await?, backend("v2").await?]);
    let mesh = Mesh::start(Setup { versions, ..Setup::default() }).await?;
    ensure!(table.forge(&mesh, "weight 0").await? == 0);
    to_a_quarter(&mesh).await?;
    ensure!(table.forge(&mesh, "canary").await? > 0);
    for (state, extension) in [
        ("no configuration", Extension::Filter(None)),
        ("configuration `{}`", Extension::Filter(Some("{}"))),
        ("broken configuration", Extension::Filter(Some("{\"fleet\""))),
        ("allow-all in its place", Extension::AllowAll),
    ] {
        for proxy in &mesh.proxies {
            proxy.replace(extension)?;
        }
        let undecided = async || (on_v2(&mesh).await.ok()? == 0).then_some(());
        until("every user on the default route", WAIT_LIMIT, undecided).await?;
        ensure!(table.forge(&mesh, state).await? == 0);
    }
    for proxy in &mesh.proxies {
        proxy.replace(Extension::Filter(Some(PLUGIN)))?;
    }
    let on_candidate = async || (on_v2(&mesh).await.ok()? > 0).then_some(());
    until("users on v2 again", WAIT_LIMIT, on_candidate).await?;
    output.say(format_args!("\n{table}"));
    Ok(())
}

/// Starts a release and pauses it at 25 %, with users on v2.
pub(crate) async fn to_a_quarter(mesh: &Mesh) -> Result<()> {
    mesh.operator().run(&["release", "start", "order", "--version", "v2"]).await?;
    mesh.operator().until("order", |release| release.weight >= 0.05).await?;
    mesh.operator().run(&["release", "promote", "order"]).await?;
    mesh.operator().run(&["release", "pause", "order"]).await?;
    let on_candidate = async || (on_v2(mesh).await.ok()? > 0).then_some(());
    until("users on v2", WAIT_LIMIT, on_candidate).await?;
    mesh.until_synced().await
}

/// What forged headers have changed, as Markdown.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

#[derive(Debug)]
struct Row {
    state: &'static str,
    header: (&'static str, &'static str),
    /// Users at each proxy.
    users: usize,
    on_v2: usize,
    moved: usize,
}

impl Table {
    /// Compares the users' versions with and without each forged header. Returns the number of users on v2.
    pub(crate) async fn forge(&mut self, mesh: &Mesh, state: &'static str) -> Result<usize> {
        let honest = versions(mesh, None).await?;
        let on_v2 = honest.values().filter(|version| *version == "v2").count();
        for header in FORGERIES {
            let forged = versions(mesh, Some(header)).await?;
            let is_moved = |(key, version): &(&Key, &String)| forged.get(*key) != Some(*version);
            let moved = honest.iter().filter(is_moved).count();
            self.0.push(Row { state, header, users: honest.len(), on_v2, moved });
            ensure!(moved == 0, "{self}");
        }
        Ok(on_v2)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| Filter | Forged header | Users on v2 without it | Users whose version it changes |"
        )?;
        writeln!(f, "|---|---|---|---|")?;
        for Row { state, header: (name, value), users, on_v2, moved } in &self.0 {
            writeln!(f, "| {state} | `{name}: {value}` | {on_v2} of {users} | {moved} |")?;
        }
        Ok(())
    }
}

/// The role of a proxy, and a user's number.
type Key = (Role, u32);

async fn on_v2(mesh: &Mesh) -> Result<usize> {
    Ok(versions(mesh, None).await?.values().filter(|version| *version == "v2").count())
}

/// The version that answers each user at each proxy.
pub(crate) async fn versions(
    mesh: &Mesh,
    forged: Option<(&str, &str)>,
) -> Result<BTreeMap<Key, String>> {
    let client = Client::new();
    let mut versions = BTreeMap::new();
    for proxy in mesh.routing() {
        for user in 0..USERS {
            let mut request = client
                .get(format!("http://{}/", proxy.ingress))
                .header("host", HOST)
                .header("x-user-id", format!("user-{user}"));
            if let Some((name, value)) = forged {
                request = request.header(name, value);
            }
            let answer = request.send().await?.error_for_status()?.text().await?;
            let (version, seen) = answer.split_once(' ').context("a version")?;
            ensure!(seen.is_empty(), "the service has received {seen}");
            versions.insert((proxy.role, user), version.to_owned());
        }
    }
    Ok(versions)
}

/// A server that answers with its version, a space, and Tidegate's headers in the request.
pub(crate) async fn backend(version: &'static str) -> Result<SocketAddr> {
    let answer = move |headers: HeaderMap| async move {
        let ours = headers.keys().filter(|name| name.as_str().starts_with("x-tidegate"));
        format!("{version} {}", ours.map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}
