//! What users suffer without a status of 500, on a real Envoy: each is seen by the judge, or rolls nothing back where the
//! client is the cause.

mod answers;
mod backend;
mod clients;
mod latency;
mod retries;

use anyhow::{Context, Result};
use serde_json::Value;
use tidegate_demo_app::load::LoadConfig;
use tidegate_tests::status::{at, until_release};
use tidegate_tests::story::{Operator, Traffic};
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};
use tokio::sync::Mutex;

use self::backend::{Backend, Behaviour};

/// Serialises the tests under `cargo test`, because they share the CPU. nextest has its own limit.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());

/// A world in which `payment` has a canary step of 50 %, and versions whose behaviour the test chooses.
struct Outcomes {
    world: World,
    stable: Backend,
    candidate: Backend,
}

impl Outcomes {
    /// `guardrails` and `extras` in YAML: of all services, and further lines of `payment`.
    async fn start(guardrails: &str, extras: &[&str]) -> Result<Self> {
        let canary = "{canary: {steps: [50%, 100%], step_time: 4s, min_requests: 100, watch: 2s}}";
        let extras = extras.iter().map(|line| (*line).to_owned()).collect();
        let knobs = Knobs {
            defaults: Some(format!("{{guardrails: {guardrails}}}")),
            strategies: [("payment".to_owned(), canary.to_owned())].into(),
            extras: [("payment".to_owned(), extras)].into(),
            ..Knobs::default()
        };
        let options = WorldOptions { sidecars: 1, knobs, ..WorldOptions::default() };
        let world = World::start(options).await?;
        let (stable, candidate) = (Backend::start("v1").await?, Backend::start("v2").await?);
        let outcomes = Self { world, stable, candidate };
        for (version, backend) in [("v1", &outcomes.stable), ("v2", &outcomes.candidate)] {
            let endpoint = backend.address().to_string();
            let set = ["version", "set", "payment", version, "--endpoint", &endpoint];
            outcomes.operator().run(&set).await?;
        }
        Ok(outcomes)
    }

    fn operator(&self) -> Operator<'_> {
        Operator::new(&self.world.control)
    }

    /// 300 requests a second of 300 users.
    fn load(&self) -> Result<LoadConfig> {
        let ingress = self.world.sidecars.first().context("no sidecar")?.ingress;
        Ok(LoadConfig {
            rate: 300.0,
            users: 300,
            ..LoadConfig::new(vec![ingress], "payment.local".to_owned())
        })
    }

    async fn traffic(&self) -> Result<Traffic> {
        Traffic::with("payment", &self.load()?).await
    }

    async fn start_release(&self) -> Result<()> {
        self.operator().run(&["release", "start", "payment", "--version", "v2"]).await?;
        Ok(())
    }

    /// Waits until a guardrail rolls the release back. Returns the finding.
    async fn until_rolled_back(&self, guardrail: &str) -> Result<Value> {
        let back = until_release(&self.world, "payment", has_ended).await?;
        assert_eq!(at(&back, "/phase"), "rolled_back", "{back:#}");
        assert_eq!(at(&back, "/cause/finding/guardrail"), guardrail, "{back:#}");
        Ok(at(&back, "/cause/finding").clone())
    }

    /// Waits until the release completes. It must have had no alert.
    async fn until_completed(&self) -> Result<()> {
        let alerts = parking_lot::Mutex::new(None);
        let done = |it: &Value| {
            let now = at(it, "/alerts");
            if now.as_object().is_some_and(|all| !all.is_empty()) {
                *alerts.lock() = Some(now.clone());
            }
            has_ended(it)
        };
        let ended = until_release(&self.world, "payment", done).await?;
        assert_eq!(at(&ended, "/phase"), "completed", "{ended:#}");
        assert_eq!(alerts.into_inner(), None, "{ended:#}");
        Ok(())
    }
}

fn has_ended(release: &Value) -> bool {
    ["rolled_back", "completed"].contains(&at(release, "/phase").as_str().unwrap_or_default())
}
