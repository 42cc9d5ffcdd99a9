//! The text of what a step can show.

use std::fmt;
use std::time::Duration;

use crate::judge::power::{Fix, Regression, StepPower, Traffic};

/// `10 times the errors of stable`, `5.1% errors`.
impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times} times the errors of stable"),
            Self::Rate(rate) => write!(f, "{rate} errors"),
        }
    }
}

/// `1000 requests/s, of which 0.5% fail`.
impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests_per_second, error_rate } = self;
        let rounded = |it: f64, digits: f64| (it * digits).round() / digits;
        let rate =
            rounded(*requests_per_second, if *requests_per_second < 10.0 { 10.0 } else { 1.0 });
        write!(f, "{rate} requests/s, of which {}% fail", rounded(error_rate * 100.0, 1_000.0))
    }
}

/// `10% for 5m: an equal version passes after about 42s with 4200 requests; rolled back: 5 times the errors of stable after
/// about 16s, 2 times the errors of stable not within the step (1m 50s)`.
impl fmt::Display for StepPower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { weight, time, detections, passes_after, passes_with_requests, blind } = self;
        write!(f, "{weight} for {}: an equal version ", shown(*time))?;
        match (passes_after, passes_with_requests) {
            (Some(after), Some(requests)) if after <= time => {
                write!(f, "passes after about {} with {requests} requests", shown(*after))?;
            }
            (Some(after), Some(requests)) => {
                write!(f, "needs about {} and {requests} requests to pass", shown(*after))?;
            }
            _ => f.write_str("does not pass")?,
        }
        f.write_str("; rolled back: ")?;
        for (index, detection) in detections.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} ", detection.regression)?;
            match detection.after {
                Some(after) if after <= *time => write!(f, "after about {}", shown(after))?,
                Some(after) => write!(f, "not within the step ({})", shown(after))?,
                None => f.write_str("never")?,
            }
        }
        if let Some(fix) = blind {
            write!(f, ". The step shows nothing at this traffic{fix}")?;
        }
        Ok(())
    }
}

/// Completes "The step shows nothing at this traffic".
impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.time, self.weight) {
            (Some(time), Some(weight)) => {
                write!(f, ": give it {}, or a weight of {weight}", shown(time))
            }
            (Some(time), None) => write!(f, ": give it {}", shown(time)),
            (None, Some(weight)) => write!(f, ": give it a weight of {weight}"),
            (None, None) => f.write_str(", and neither a longer time nor a larger weight helps: leave it out, or test the version before the release"),
        }
    }
}

/// Rounded to what a median is good for: `0.4s`, `42s`, `1m 50s`, `2h 5m`.
fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 {
        return format!("{}s", (seconds * 10.0).round() / 10.0);
    }
    let unit = if seconds < 60.0 {
        1.0
    } else if seconds < 600.0 {
        5.0
    } else {
        60.0
    };
    let rounded = Duration::from_secs_f64((seconds / unit).round() * unit);
    humantime::format_duration(rounded).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::power::Detection;
    use crate::units::Ppm;

    #[test]
    fn times_are_rounded() {
        for (millis, text) in [
            (875, "0.9s"),
            (9_940, "9.9s"),
            (41_800, "42s"),
            (112_400, "1m 50s"),
            (7_512_000, "2h 5m"),
        ] {
            assert_eq!(shown(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_step_is_described_in_one_line() {
        let seconds = |it| Some(Duration::from_secs(it));
        let power = StepPower {
            weight: Ppm::percent(5),
            time: Duration::from_secs(60),
            detections: vec![
                Detection { regression: Regression::Times(10), after: seconds(16) },
                Detection { regression: Regression::Rate(Ppm::percent(2)), after: seconds(90) },
                Detection { regression: Regression::Times(2), after: None },
            ],
            passes_after: seconds(120),
            passes_with_requests: Some(600),
            blind: Some(Fix { time: seconds(120), weight: None }),
        };
        assert_eq!(
            power.to_string(),
            "5% for 1m: an equal version needs about 2m and 600 requests to pass; rolled back: 10 times the errors of stable \
             after about 16s, 2% errors not within the step (1m 30s), 2 times the errors of stable never. The step shows \
             nothing at this traffic: give it 2m"
        );
    }
}
