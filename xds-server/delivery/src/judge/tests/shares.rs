//! Resource use and business metrics.

use tidegate_core::config::{RequestMatch, ResponseMatch};

use super::*;
use crate::judge::guardrails::BusinessMetric;

#[test]
fn resource_use_alerts_by_its_current_values() {
    let with = |run: &mut Run, samples, warning| {
        let disk = &mut run.counted.candidate.resource_use.disk;
        *disk = ResourceSamples {
            samples: disk.samples + samples,
            warning: disk.warning + warning,
            critical: 0,
        };
        run.now = run.now.after(Duration::from_secs(1));
        run.look(1);
        run.alerts.get(&Guardrail::Disk).copied()
    };
    let mut run = Run::new(5, Guardrails::default());
    assert_eq!(with(&mut run, 1_000, 100), None, "one in ten");
    assert_eq!(with(&mut run, 1_000, 1_000), Some(Level::Warning));
    run.now = run.now.after(Duration::from_secs(100));
    assert_eq!(with(&mut run, 0, 0), Some(Level::Warning), "missing samples clear nothing");
    (0..40).for_each(|_| {
        with(&mut run, 200, 0);
    });
    assert_eq!(run.alerts.get(&Guardrail::Disk), None);
    assert_eq!(run.counted.stable.resource_use, ResourceUse::default());
}

#[test]
fn a_bad_business_metric_is_an_alert_and_no_rollback() {
    let metric = BusinessMetric {
        name: "order_success".parse().unwrap(),
        of: RequestMatch::default(),
        good: ResponseMatch { status: (200, 299), header: None },
        at_least: Ppm::percent(95),
    };
    let mut run = Run::new(5, Guardrails { business: vec![metric], ..Guardrails::default() });
    let share = Share { requests: 1_000, bad: 1_000 };
    run.counted.candidate =
        Evidence { business: [share].into_iter().collect(), ..evidence(1_000, 0) };
    let Verdict::Alert { findings } = run.look(1) else { panic!("no alert") };
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(finding.level, Level::Critical);
    assert_eq!(finding.guardrail.to_string(), "share of bad `order_success`");
    let limit = Limit::Share { max_ppm: Ppm::percent(5) };
    assert_eq!((finding.limit, finding.bad), (limit, 1_000));
}
