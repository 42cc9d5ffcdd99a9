//! The two text formats of a scrape, and which of them a client accepts.

use std::fmt::Write as _;

/// The format of a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4.
    Text,
}

impl Format {
    /// The format that a client prefers by its `Accept` header; [`Format::Text`] unless it asks for OpenMetrics.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let quality_of = |media_type: &str| {
            let ranges = accept.split(',').map(|range| range.split(';').map(str::trim));
            let qualities = ranges.filter_map(|mut parts| {
                let is_meant = parts.next()?.eq_ignore_ascii_case(media_type);
                is_meant.then(|| parts.find_map(quality).unwrap_or(1.0))
            });
            qualities.fold(0.0, f64::max)
        };
        let openmetrics = quality_of("application/openmetrics-text");
        if openmetrics > 0.0 && openmetrics >= quality_of("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The `Content-Type` of the response.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The value of a `q` parameter.
fn quality(parameter: &str) -> Option<f64> {
    let (name, value) = parameter.split_once('=')?;
    name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().unwrap_or(0.0))
}

/// The text format of an OpenMetrics text. There the family of a counter has the name of its samples, with `_total`, and
/// `# UNIT` and `# EOF` do not exist.
pub(super) fn text_of(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    // The name and help text of the family whose type follows.
    let mut described = None;
    for line in openmetrics.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            described = help.split_once(' ');
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = described.take().filter(|(described, _)| *described == name) {
                // Writing to a string does not fail.
                let _ = writeln!(text, "# HELP {name}{suffix} {help}");
            }
            let kind = if kind == "unknown" { "untyped" } else { kind };
            let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_clients_that_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        assert_eq!(Format::accepted("application/openmetrics-text"), Format::OpenMetrics);
        for text in [
            "",
            "*/*",
            "text/html, text/plain;q=0.9",
            "text/plain, application/openmetrics-text; q=0.5",
            "application/openmetrics-text; q=0",
            "application/openmetrics-text; q=many",
        ] {
            assert_eq!(Format::accepted(text), Format::Text, "{text}");
        }
    }

    #[test]
    fn a_counter_has_the_name_of_its_samples_in_the_text_format() {
        let openmetrics = "# HELP requests Finished requests.\n# TYPE requests counter\n\
                           requests_total{service=\"order\"} 7\n# HELP age_seconds Age.\n\
                           # TYPE age_seconds gauge\n# UNIT age_seconds seconds\nage_seconds 1.5\n# EOF\n";
        let text = "# HELP requests_total Finished requests.\n# TYPE requests_total counter\n\
                    requests_total{service=\"order\"} 7\n# HELP age_seconds Age.\n\
                    # TYPE age_seconds gauge\nage_seconds 1.5\n";
        assert_eq!(text_of(openmetrics), text);
    }
}
