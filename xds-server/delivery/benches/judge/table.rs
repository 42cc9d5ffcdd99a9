//! The table of false rollbacks, with exact (Clopper–Pearson) intervals.

use tidegate_delivery::judge::statistics::proportion::interval;

use crate::run::Rollbacks;

pub(crate) const HEAD: &str = "world                         |  rps | base % | Tidegate %                | held % | first judge % | Flagger % | Argo % | Kayenta %";

pub(crate) fn row(world: &str, rps: u32, base: f64, counts: &Rollbacks) -> String {
    let share = |count: u64| 100.0 * count as f64 / counts.releases as f64;
    let [tidegate, others @ ..] = counts.rolled_back;
    let (low, high) = interval(tidegate, counts.releases);
    let of_tidegate = format!("{:.3} [{:.3}, {:.3}]", share(tidegate), 100.0 * low, 100.0 * high);
    let [first, flagger, argo, kayenta] = others.map(share);
    let held = share(counts.held);
    format!(
        "{world:29} | {rps:4} | {base:6} | {of_tidegate:25} | {held:6.2} | {first:13.2} | {flagger:9.2} | {argo:6.2} | {kayenta:9.2}"
    )
}
