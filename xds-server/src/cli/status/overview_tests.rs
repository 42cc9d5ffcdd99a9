//! The overview as files: at 80, 100 and 120 columns, with colours, and on a pipe. `TIDEGATE_REWRITE=1` writes them again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tidegate::api::views::{
    BlockerView, FreezeView, GuardrailsView, PlanView, ProgressView, Totals,
};
use tidegate_delivery::fixtures::{blue_green, canary, finding};
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::{Evidence, Level, Verdict};
use tidegate_delivery::model::blocker::Blocker;
use tidegate_delivery::model::progress::{AckTimes, Convergence, Nack};
use tidegate_delivery::model::release::RollbackCause;

use super::*;
use crate::cli::terminal::Bars;

/// 2026-11-23T09:00:00Z.
const NOW: Timestamp = Timestamp(1_795_424_400_000);

fn version(name: &str, weight: u32, recent: RecentView) -> Version {
    Version {
        name: name.parse().unwrap(),
        endpoints: vec!["10.0.0.1:80".to_owned()],
        unresolved: Vec::new(),
        istio: None,
        environment: None,
        commit: None,
        weight: Ppm::percent(weight),
        alerts: Default::default(),
        rolled_back: None,
        totals: Totals::default(),
        recent,
    }
}

fn requests(rate: f64, errors_ppm: u32, p50_ms: f64, p99_ms: f64) -> RecentView {
    RecentView {
        window_ms: 30_000,
        requests: 1,
        requests_per_second: rate,
        error_rate: Ppm::new(errors_ppm).ok(),
        p50_ms: Some(p50_ms),
        p99_ms: Some(p99_ms),
    }
}

fn service(name: &str, strategy: Strategy, versions: Vec<Version>) -> Service {
    let plan = match strategy {
        Strategy::Canary => canary(&[5, 25, 100]),
        Strategy::BlueGreen => blue_green(),
    };
    Service {
        name: name.parse().unwrap(),
        strategy,
        hosts: Vec::new(),
        stable: versions[0].name.clone(),
        previous: None,
        previous_until: None,
        versions,
        release: None,
        plan: PlanView::from(&plan),
        guardrails: GuardrailsView::from(&Guardrails::default()),
        quarantined: Default::default(),
        frozen: None,
        dns: None,
    }
}

fn release(service: &Service, candidate: &str, phase: PhaseKind) -> ReleaseView {
    let step = (phase == PhaseKind::Stepping).then_some(2);
    let candidate_weight =
        service.versions.iter().find(|it| it.name.as_str() == candidate).map(|it| it.weight);
    let release = json!({
        "id": format!("{}.7", service.name), "service": service.name, "candidate": candidate,
        "stable": service.stable, "phase": phase, "since": "2026-11-23T08:40:00Z", "step": step, "steps": 3,
        "weight_percent": 0.0, "paused": false, "alerts": {}, "started_at": "2026-11-23T08:30:00Z",
        "started_by": "anne", "plan": service.plan,
    });
    let mut release: ReleaseView = serde_json::from_value(release).unwrap();
    release.weight = candidate_weight.unwrap_or_default();
    release
}

fn progress(verdict: Verdict, blockers: &[Blocker], nacks: Vec<Nack>) -> ProgressView {
    let convergence = Convergence {
        acked: 118,
        nacked: u32::try_from(nacks.len()).unwrap(),
        connected: 120,
        nacks,
        times: Some(AckTimes { p50: Duration::from_millis(40), p99: Duration::from_millis(84) }),
        ..Convergence::default()
    };
    ProgressView {
        verdict,
        candidate: Evidence::default(),
        baseline: Evidence::default(),
        convergence: (&convergence).into(),
        blockers: BlockerView::all(blockers),
        time_left_ms: 0,
    }
}

/// A canary that waits for time and requests.
fn running() -> Service {
    let versions = vec![
        version("v1", 75, requests(451.3, 200, 12.04, 84.2)),
        version("v2", 25, requests(150.2, 4_000, 13.1, 90.7)),
    ];
    let mut service = service("order", Strategy::Canary, versions);
    let blockers =
        [Blocker::Time { remaining: Duration::from_secs(80) }, Blocker::Requests { missing: 120 }];
    let release = ReleaseView {
        progress: Some(progress(Verdict::Healthy, &blockers, Vec::new())),
        actual: Ppm::new(253_000).ok(),
        ..release(&service, "v2", PhaseKind::Stepping)
    };
    service.release = Some(release);
    service
}

/// A canary with an alert, a NACK and a freeze window until another day.
fn blocked() -> Service {
    let versions = vec![
        version("v1", 95, requests(1_204.0, 0, 0.42, 2.5)),
        version("2026-11-23-0123456789abcdef", 5, requests(63.0, 60_000, 8.8, 5_400.0)),
    ];
    let mut service = service("payment", Strategy::Canary, versions);
    let nack = Nack {
        node: "edge-2".to_owned(),
        resource: "route".to_owned(),
        message: "no such cluster\n\u{1b}[31m'payment/v9'".to_owned(),
    };
    let blockers = [
        Blocker::Alert { finding: finding(Level::Critical) },
        Blocker::Nack { nack: nack.clone() },
        Blocker::FreezeWindow {
            freeze: "year-end".parse().unwrap(),
            until: NOW.after(Duration::from_secs(40 * 24 * 3600)),
        },
    ];
    let verdict = Verdict::Alert { findings: vec![finding(Level::Critical)] };
    let release = ReleaseView {
        progress: Some(progress(verdict, &blockers, vec![nack])),
        ..release(&service, "2026-11-23-0123456789abcdef", PhaseKind::Stepping)
    };
    service.release = Some(release);
    service
}

/// A switched service with a long name, whose previous version is kept.
fn completed() -> Service {
    let versions = vec![
        version("green-2026-11-20", 100, requests(12.0, 0, 8.0, 30.1)),
        version("blue-2026-11-13", 0, RecentView::default()),
    ];
    let name = "recommendations-for-returning-customers";
    let mut service = service(name, Strategy::BlueGreen, versions);
    service.release = Some(release(&service, "green-2026-11-20", PhaseKind::Completed));
    service.previous = Some("blue-2026-11-13".parse().unwrap());
    service.previous_until = Some(NOW.after(Duration::from_secs(3600)));
    service
}

/// A rolled back service that is frozen, with a version that a flag selects.
fn rolled_back() -> Service {
    let versions = vec![
        version("v3", 100, requests(4.0, 0, 8.0, 30.1)),
        version("v4", 0, RecentView::default()),
        version("v5", 0, requests(0.2, 0, 9.0, 9.0)),
    ];
    let mut service = service("product", Strategy::BlueGreen, versions);
    let cause = RollbackCause::Guardrail { finding: finding(Level::Rollback) };
    service.release =
        Some(ReleaseView { cause: Some(cause), ..release(&service, "v4", PhaseKind::RolledBack) });
    service.frozen = Some(FreezeView {
        since: NOW,
        by: "bob".to_owned(),
        reason: Some("incident 7".to_owned()),
    });
    service
}

/// A service without requests, with a name that does not resolve.
fn idle() -> Service {
    let mut idle = version("v1", 100, RecentView::default());
    idle.unresolved = vec!["user.internal".to_owned()];
    service("user", Strategy::Canary, vec![idle])
}

fn services() -> Vec<Service> {
    vec![running(), blocked(), completed(), rolled_back(), idle()]
}

fn screen(columns: usize, bars: Bars, colours: bool) -> Screen {
    Screen { columns: Some(columns), rows: Some(40), bars, colours }
}

#[test]
fn the_overview_is_as_recorded_and_fits() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/status");
    let rewrite = std::env::var_os("TIDEGATE_REWRITE").is_some();
    for (name, screen) in [
        ("80", screen(80, Bars::Blocks, false)),
        ("80-ascii", screen(80, Bars::Ascii, false)),
        ("100", screen(100, Bars::Blocks, false)),
        ("120", screen(120, Bars::Blocks, false)),
        ("120-colours", screen(120, Bars::Blocks, true)),
        ("pipe", Screen::UNLIMITED),
    ] {
        let current = text(&services(), NOW, screen) + "\n";
        if let Some(columns) = screen.columns.filter(|_| !screen.colours) {
            let longest = current.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(columns), "{longest:?} columns:\n{current}");
        }
        let path = folder.join(format!("{name}.txt"));
        if rewrite {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &current).unwrap();
        }
        let recorded = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(current, recorded, "{name}: if it is intended, TIDEGATE_REWRITE=1");
    }
}

#[test]
fn colours_add_nothing_but_colours() {
    let coloured = text(&services(), NOW, screen(120, Bars::Blocks, true));
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain += before;
        rest = after.split_once('m').unwrap().1;
    }
    assert_eq!(plain + rest, text(&services(), NOW, screen(120, Bars::Blocks, false)));
}

#[test]
fn narrow_screens_lose_the_bars_first() {
    let services = [running()];
    let wide = text(&services, NOW, screen(80, Bars::Blocks, false));
    assert!(wide.contains('█'), "{wide}");
    for columns in [50, 60] {
        let narrow = text(&services, NOW, screen(columns, Bars::Blocks, false));
        assert!(narrow.contains("order") && !narrow.contains('█'), "{narrow}");
        assert!(narrow.lines().all(|line| line.chars().count() <= columns), "{narrow}");
    }
    assert!(text(&[], NOW, Screen::UNLIMITED).contains("tidegate init"));
}
