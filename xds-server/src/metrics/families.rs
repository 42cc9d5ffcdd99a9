//! Writes the families of a [`prometheus_client::collector::Collector`].

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder,
    NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use tidegate_core::histogram::Histogram;
use tidegate_core::utilization::UtilizationHistogram;

/// Receives the families of one collector. The names have no prefix, and counters no `_total`.
#[derive(Debug)]
pub struct Families<'a>(DescriptorEncoder<'a>);

impl<'a> Families<'a> {
    pub(super) const fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.family(name, help, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// A gauge for each label set.
    pub fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// A counter without labels.
    pub fn counter(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        encode_counter(self.family(name, help, MetricType::Counter)?, value)
    }

    /// A counter for each label set.
    pub fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (labels, value) in samples {
            encode_counter(family.encode_family(&labels)?, value)?;
        }
        Ok(())
    }

    /// A histogram of durations, in seconds, without labels.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        encode_durations(self.family(name, help, MetricType::Histogram)?, histogram)
    }

    /// A histogram of durations, in seconds, for each label set.
    pub fn histograms<'h, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, &'h Histogram)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Histogram)?;
        for (labels, histogram) in samples {
            encode_durations(family.encode_family(&labels)?, histogram)?;
        }
        Ok(())
    }

    /// A histogram of shares, 1 for all, for each label set.
    pub fn ratio_histograms<'h, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, &'h UtilizationHistogram)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Histogram)?;
        for (labels, histogram) in samples {
            let ratio = |percent| f64::from(percent) / 100.0;
            let buckets = histogram.tenths().map(|(below, count)| (below.map(ratio), count));
            let (sum, count) = (histogram.sum(), histogram.total());
            encode_histogram(family.encode_family(&labels)?, sum, count, buckets)?;
        }
        Ok(())
    }

    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }
}

fn encode_counter<V: EncodeCounterValue>(mut encoder: MetricEncoder<'_>, value: V) -> fmt::Result {
    encoder.encode_counter::<NoLabelSet, V, u64>(&value, None)
}

fn encode_durations(encoder: MetricEncoder<'_>, histogram: &Histogram) -> fmt::Result {
    let seconds = |below: Duration| below.as_secs_f64();
    let buckets = histogram.octaves().map(|(below, count)| (below.map(seconds), count));
    encode_histogram(encoder, histogram.sum_seconds(), histogram.total(), buckets)
}

/// Each bucket with its upper bound; that of the last one is `None`.
fn encode_histogram(
    mut encoder: MetricEncoder<'_>,
    sum: f64,
    count: u64,
    buckets: impl Iterator<Item = (Option<f64>, u64)>,
) -> fmt::Result {
    let buckets: Vec<(f64, u64)> =
        buckets.map(|(below, count)| (below.unwrap_or(f64::MAX), count)).collect();
    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}
