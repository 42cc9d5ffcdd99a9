//! Samples in a row, and what is found in them.

use super::*;

fn guardrail() -> QueryGuardrail {
    QueryGuardrail {
        name: "queue".parse().unwrap(),
        source: QuerySource::Http { url: "http://127.0.0.1/".to_owned(), stable: None },
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        alert: Some("> 5".parse().unwrap()),
        rollback: Some("> 200% of stable".parse().unwrap()),
        consecutive: 2,
        required: true,
        token_file: None,
    }
}

fn sample(candidate: f64, stable: f64) -> Result<Sample, &'static str> {
    let of = |it| Micros::of(it).unwrap();
    Ok(Sample { candidate: of(candidate), stable: Some(of(stable)) })
}

fn level(results: &[Result<Sample, &str>]) -> Option<Level> {
    let mut series = QuerySeries::begin(Timestamp(0));
    for (second, result) in (1..).zip(results) {
        series.observe(Timestamp(second * 10_000), *result, &guardrail());
    }
    series.finding(&guardrail()).map(|it| it.level)
}

#[test]
fn a_limit_needs_samples_in_a_row() {
    assert_eq!(level(&[sample(6.0, 5.0)]), None);
    assert_eq!(level(&[sample(6.0, 5.0), sample(6.0, 5.0)]), Some(Level::Critical));
    assert_eq!(level(&[sample(6.0, 5.0), sample(5.0, 5.0), sample(6.0, 5.0)]), None);
    assert_eq!(level(&[sample(11.0, 5.0), sample(11.0, 5.0)]), Some(Level::Rollback));
    assert_eq!(level(&[sample(6.0, 5.0), sample(6.0, 5.0), sample(1.0, 5.0)]), None);
}

#[test]
fn a_failed_query_is_no_evidence_and_ends_no_alert() {
    let failed = Err("connection refused");
    assert_eq!(level(&[failed, failed, failed]), None);
    assert_eq!(level(&[sample(6.0, 5.0), failed, sample(6.0, 5.0)]), None);
    assert_eq!(level(&[sample(6.0, 5.0), sample(6.0, 5.0), failed]), Some(Level::Critical));
    // Without a value of stable, nothing is compared with it.
    let alone = Sample { candidate: Micros(1), stable: None };
    assert!(!"> 1% of stable".parse::<Beyond>().unwrap().is_exceeded(&alone));
}

#[test]
fn a_required_query_without_a_current_value_is_missing() {
    let mut series = QuerySeries::begin(Timestamp(0));
    let missing = |series: &QuerySeries, second: u64| {
        series.status(Timestamp(second * 1_000), &guardrail()).missing
    };
    assert!(missing(&series, 1));
    series.observe(Timestamp(10_000), sample(1.0, 1.0), &guardrail());
    assert!(!missing(&series, 40));
    series.observe(Timestamp(45_000), Err(&"x".repeat(500)), &guardrail());
    assert!(missing(&series, 45));
    let status = series.status(Timestamp(45_000), &guardrail());
    assert_eq!(
        (status.error.unwrap().len(), status.latest.unwrap().candidate),
        (200, Micros(1_000_000))
    );
}

#[test]
fn limits_are_read_as_they_are_written() {
    for text in ["> 5", "< 0.9", "> 120% of stable", "< 80% of stable", "> -3.5"] {
        assert_eq!(text.parse::<Beyond>().unwrap().to_string(), text);
    }
    for text in
        ["", "5", "= 5", "> x", "> NaN", "> inf", "> 1e13", "> 0% of stable", "> 5 of stable"]
    {
        assert!(text.parse::<Beyond>().is_err(), "{text}");
    }
}
