//! Explanations of a running, a blocked, a rolled back and a completed release as files. `TIDEGATE_REWRITE=1` writes them again.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::*;
use tidegate_delivery::fixtures::{declared, finding, nack, name, newest, run, start, verb};
use tidegate_delivery::judge::Level;
use tidegate_delivery::model::blocker::Blocker;
use tidegate_delivery::model::command::ReleaseCommand;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::progress::{Convergence, Observation};
use tidegate_delivery::model::state::State;
use tidegate_delivery::units::Timestamp;

/// 2026-11-23T09:00:00Z.
const NOW: Timestamp = Timestamp(1_795_424_400_000);

/// `order` with a release to v2.
fn started() -> State {
    let mut state = declared();
    run(&mut state, NOW, &start("order", "v2")).unwrap();
    state
}

fn on_first_step() -> State {
    let mut state = started();
    let event = Event::StepEntered {
        id: name("order.1"),
        step: 0,
        weight: Ppm::percent(5),
        holdback: Ppm::ZERO,
        evidence: None,
    };
    state.apply(NOW, &event).unwrap();
    state
}

fn e_value() -> Finding {
    Finding { e_value: Some(EValue::of(20_000.0)), ..finding(Level::Rollback) }
}

fn progress(verdict: Verdict, blockers: Vec<Blocker>) -> Progress {
    let counted = |requests, errors| Evidence { requests, errors, ..Evidence::default() };
    Progress {
        observation: Observation {
            verdict,
            candidate: counted(900, 4),
            stable: counted(17_100, 70),
            counted_for: Duration::from_secs(60),
            convergence: Convergence::default(),
            coverage_remaining: Duration::ZERO,
        },
        blockers,
        time_left: Duration::ZERO,
    }
}

fn text(state: State, progress: Option<Progress>) -> String {
    let release = newest(&state, "order").clone();
    let mut view = DeliveryView { seq: 40, serial: 12, ..DeliveryView::default() };
    view.progress.extend(progress.map(|it| (release.id.clone(), it)));
    view.state = Arc::new(state);
    let blockers = view.progress.get(&release.id).map(|it| BlockerView::all(&it.blockers));
    let sidecars = Sidecars {
        connected: 3,
        synced: vec!["edge-1".to_owned(), "edge-3".to_owned()],
        pending: Vec::new(),
        nacked: vec!["edge-2".to_owned()],
    };
    let started = ReleaseEvent {
        seq: 38,
        at: NOW,
        event: "release_started".to_owned(),
        actor: "anne".to_owned(),
        reason: Some("ticket 12".to_owned()),
    };
    let context = Context {
        view: &view,
        service: &view.state.services["order"],
        release: &release,
        blockers: &blockers.unwrap_or_default(),
        sidecars: &sidecars,
        events: &[started],
    };
    lines(&context).join("\n") + "\n"
}

fn explanations() -> [(&'static str, String); 4] {
    let time = Blocker::Time { remaining: Duration::from_secs(80) };
    let missing = Verdict::Inconclusive { missing: 120, at_limit: None };
    let running = progress(missing, vec![time, Blocker::Requests { missing: 120 }]);
    let alert = Verdict::Alert { findings: vec![finding(Level::Warning)] };
    let blockers = vec![
        Blocker::Paused,
        Blocker::Approval { role: name("manager"), missing: 1, weight: Ppm::percent(25) },
        Blocker::Nack { nack: nack() },
        Blocker::Alert { finding: finding(Level::Warning) },
    ];
    let mut paused = on_first_step();
    run(&mut paused, NOW, &verb("order.1", ReleaseCommand::Pause)).unwrap();
    let mut rolled_back = on_first_step();
    let cause = RollbackCause::Guardrail { finding: e_value() };
    rolled_back
        .apply(NOW, &Event::RolledBack { id: name("order.1"), version: name("v1"), cause })
        .unwrap();
    let mut completed = started();
    for all in [true, false] {
        run(&mut completed, NOW, &verb("order.1", ReleaseCommand::Promote { all })).unwrap();
    }
    [
        ("running", text(on_first_step(), Some(running))),
        ("blocked", text(paused, Some(progress(alert, blockers)))),
        ("rolled-back", text(rolled_back, None)),
        ("completed", text(completed, None)),
    ]
}

#[test]
fn explanations_are_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain");
    for (name, current) in explanations() {
        let path = folder.join(format!("{name}.txt"));
        if std::env::var_os("TIDEGATE_REWRITE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &current).unwrap();
        }
        let recorded = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(current, recorded, "{name}: if it is intended, TIDEGATE_REWRITE=1");
    }
}
