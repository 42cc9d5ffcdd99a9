//! How `false_rollback` is divided between the guardrails of a release.

use super::guardrails::{Guardrails, WorseThanStable};

/// The shares of `false_rollback` of the guardrails.
const ERRORS_SHARE: f64 = 0.7;
const CLIENT_ERRORS_SHARE: f64 = 0.1;
const LATENCY_SHARE: f64 = 0.2;
/// How the bound is divided: e-values that suffice for a rollback.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) errors: f64,
    /// Of the comparison, and of the limit.
    pub(super) client_errors: f64,
    pub(super) latency_compared: f64,
    pub(super) latency_limit: f64,
}

impl Bound {
    /// Each release of a group has the same share of the bound.
    pub(super) fn of(guardrails: &Guardrails, group: usize) -> Self {
        let members = f64::from(u32::try_from(group.max(1)).unwrap_or(u32::MAX));
        let all = members / guardrails.false_rollback.fraction().max(1e-6);
        // Each process that can roll back has the same part; one that only holds has none.
        let part = |share: f64, compared: WorseThanStable, has_limit: bool| {
            let compared = compared == WorseThanStable::Rollback;
            let parts = f64::from(u8::from(compared)) + f64::from(u8::from(has_limit));
            let needed = all * parts.max(1.0) / share;
            (if compared { needed } else { f64::INFINITY }, needed)
        };
        let Guardrails { client_errors, latency, .. } = guardrails;
        let has_limit = client_errors.rollback.is_some();
        let (_, of_client_errors) =
            part(CLIENT_ERRORS_SHARE, client_errors.worse_than_stable, has_limit);
        let (latency_compared, latency_limit) =
            part(LATENCY_SHARE, latency.worse_than_stable, true);
        Self {
            errors: all / ERRORS_SHARE,
            client_errors: of_client_errors,
            latency_compared,
            latency_limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Ppm;

    /// The probability of a false rollback by any process is at most the sum of the inverses.
    fn total(guardrails: &Guardrails, group: usize) -> f64 {
        let Bound { errors, client_errors, latency_compared, latency_limit } =
            Bound::of(guardrails, group);
        let of = |needed: f64, times: f64| times / needed;
        let clients = &guardrails.client_errors;
        let compared = f64::from(u8::from(clients.worse_than_stable == WorseThanStable::Rollback));
        let limits = f64::from(u8::from(clients.rollback.is_some()));
        let latency = of(latency_compared, 1.0) + of(latency_limit, 1.0);
        of(errors, 1.0) + of(client_errors, compared + limits) + latency
    }

    #[test]
    fn the_parts_are_the_whole_bound() {
        let mut guardrails = Guardrails::default();
        assert!((total(&guardrails, 1) - 0.001).abs() < 1e-12);
        assert!((total(&guardrails, 10) - 0.0001).abs() < 1e-12);
        guardrails.client_errors.rollback = Some(Ppm::percent(20));
        assert!((total(&guardrails, 1) - 0.001).abs() < 1e-12);
        guardrails.latency.worse_than_stable = WorseThanStable::Hold;
        guardrails.client_errors.worse_than_stable = WorseThanStable::Hold;
        assert!((total(&guardrails, 1) - 0.001).abs() < 1e-12);
    }
}
