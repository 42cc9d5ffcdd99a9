//! `/metrics`: one registry for the life of the server.
//!
//! Components with handles of their own (counters of streams, of rejections, of restarted tasks) register these once. What
//! the state of the control plane already contains (weights, phases, sidecars, delivery figures) has no handles: a
//! [`Collector`] computes it at each scrape, through [`families::Families`].
//!
//! Labels are declared names only (services, versions, fleets, receivers) or members of an enum, so the number of series is
//! bounded by the configuration.

pub mod families;
mod format;
mod process;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use self::families::Families;
use self::process::Process;

pub use self::format::Format;

/// The metrics of a server.
#[derive(Debug)]
pub struct Exposition(Registry);

/// Metrics that are computed at each scrape.
pub struct Computed<F>(pub F);

impl Exposition {
    /// With the metrics of the process, and those that `register` adds: `tidegate_` is put before their names.
    pub fn new(register: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let ours = registry.sub_registry_with_prefix("tidegate");
        ours.register_collector(Box::new(Computed(build_info)));
        register(ours);
        Self(registry)
    }

    /// The text of a scrape.
    ///
    /// # Errors
    /// A collector failed.
    pub fn render(&self, format: Format) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(match format {
            Format::OpenMetrics => text,
            Format::Text => format::text_of(&text),
        })
    }
}

impl<F> Collector for Computed<F>
where
    F: Fn(&mut Families<'_>) -> fmt::Result + Send + Sync + 'static,
{
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0(&mut Families::new(encoder))
    }
}

impl<F> fmt::Debug for Computed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Computed").finish_non_exhaustive()
    }
}

fn build_info(metrics: &mut Families<'_>) -> fmt::Result {
    let labels = [("version", env!("CARGO_PKG_VERSION"))];
    metrics.gauges("build_info", "1, with the version of the server", [(labels, 1_u32)])
}
