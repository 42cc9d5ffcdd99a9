//! The comparison of a release's own plan with that of its service: it may be stricter, never weaker.

use std::time::Duration;

use crate::model::holdback::Holdback;
use crate::model::plan::{HealthCheck, OnFail, Plan, SmokeTest, Step};
use crate::model::requirements::Approvals;
use crate::units::Ppm;

/// One point in which a plan is weaker than that of its service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weakness {
    /// The approvals before the first step: fewer, of another role, or valid for longer.
    Approvals(Approvals),
    /// A step of the service without a step of at most its weight and at least its time and requests, before any higher
    /// weight.
    Step {
        /// Its weight.
        weight: Ppm,
        /// Its minimum time.
        time: Duration,
        /// Its minimum number of requests.
        min_requests: u64,
    },
    /// The approvals of a step of the service: missing where the plan exceeds the weight before that step.
    StepApprovals {
        /// The weight of the service's step.
        weight: Ppm,
        /// Its approvals.
        required: Approvals,
    },
    /// A shorter watch period.
    Watch(Duration),
    /// A smaller holdback.
    Holdback(Holdback),
    /// A smoke test that is missing among those of the plan.
    SmokeTest(SmokeTest),
    /// Another health check.
    Health(HealthCheck),
    /// A lower share of sidecars.
    Convergence(Ppm),
    /// A shorter rollback window.
    RollbackWindow(Duration),
    /// A shorter time of rollbacks after completion.
    RollbackAfterCompletion(Duration),
    /// A broken guardrail only pauses the release, where the service rolls back.
    OnFail,
}

impl Plan {
    /// Adds what the plan leaves out and its service requires: checks, approvals before the first step, holdback, rollback
    /// after completion, health check, and smoke tests if it has none.
    #[must_use]
    pub fn completed_by(mut self, service: &Self) -> Self {
        let required = &service.requirements;
        self.requirements.checks.extend(required.checks.iter().cloned());
        if self.requirements.approvals.is_none() {
            self.requirements.approvals.clone_from(&required.approvals);
        }
        self.holdback = self.holdback.or(service.holdback);
        if self.rollback_after_completion.is_zero() {
            self.rollback_after_completion = service.rollback_after_completion;
        }
        if self.health.is_none() {
            self.health.clone_from(&service.health);
        }
        if self.smoke_tests.is_empty() {
            self.smoke_tests.clone_from(&service.smoke_tests);
        }
        self
    }

    /// Everything in which the plan, completed by that of its service, is weaker.
    #[must_use]
    pub fn weaker_than(&self, service: &Self) -> Vec<Weakness> {
        let mut weaker = Vec::new();
        if let Some(required) = &service.requirements.approvals
            && !satisfied(self.requirements.approvals.as_ref(), required)
        {
            weaker.push(Weakness::Approvals(required.clone()));
        }
        weaker.extend(weaker_steps(&self.steps, &service.steps));
        weaker.extend(weaker_approvals(&self.steps, &service.steps));
        if self.watch < service.watch {
            weaker.push(Weakness::Watch(service.watch));
        }
        if self.holdback().is_below(service.holdback()) {
            weaker.push(Weakness::Holdback(service.holdback()));
        }
        let missing = service.smoke_tests.iter().filter(|test| !self.smoke_tests.contains(test));
        weaker.extend(missing.cloned().map(Weakness::SmokeTest));
        if let Some(required) = &service.health
            && self.health.as_ref() != Some(required)
        {
            // An answered request includes a connection.
            let stricter = *required == HealthCheck::Tcp && self.health.is_some();
            if !stricter {
                weaker.push(Weakness::Health(required.clone()));
            }
        }
        if self.convergence.share < service.convergence.share {
            weaker.push(Weakness::Convergence(service.convergence.share));
        }
        if self.rollback_window < service.rollback_window {
            weaker.push(Weakness::RollbackWindow(service.rollback_window));
        }
        if self.rollback_after_completion < service.rollback_after_completion {
            let least = service.rollback_after_completion;
            weaker.push(Weakness::RollbackAfterCompletion(least));
        }
        if (self.on_fail, service.on_fail) == (OnFail::Pause, OnFail::Rollback) {
            weaker.push(Weakness::OnFail);
        }
        weaker
    }
}

fn satisfied(given: Option<&Approvals>, required: &Approvals) -> bool {
    given.is_some_and(|it| {
        it.role == required.role && it.count >= required.count && it.expire <= required.expire
    })
}

fn weaker_steps(given: &[Step], required: &[Step]) -> Vec<Weakness> {
    let missing = |it: &Step| Weakness::Step {
        weight: it.weight,
        time: it.time,
        min_requests: it.min_requests,
    };
    let mut weaker = Vec::new();
    let mut required = required.iter().peekable();
    for step in given {
        while let Some(skipped) = required.next_if(|it| it.weight < step.weight) {
            weaker.push(missing(skipped));
        }
        // At 100 % the watch period replaces the time of the step.
        required.next_if(|it| {
            let lasts = step.time >= it.time || it.weight == Ppm::ALL;
            step.weight <= it.weight && lasts && step.min_requests >= it.min_requests
        });
    }
    weaker.extend(required.map(missing));
    weaker
}

fn weaker_approvals(given: &[Step], required: &[Step]) -> Vec<Weakness> {
    let mut weaker = Vec::new();
    let mut before = None;
    for (number, step) in required.iter().enumerate() {
        if let Some(required) = &step.approval {
            let entered = match before {
                // Two steps of one weight: only the order tells them apart.
                Some(before) if before == step.weight => given.get(number),
                _ => given.iter().find(|it| before.is_none_or(|before| it.weight > before)),
            };
            if !satisfied(entered.and_then(|it| it.approval.as_ref()), required) {
                weaker.push(Weakness::StepApprovals {
                    weight: step.weight,
                    required: required.clone(),
                });
            }
        }
        before = Some(step.weight);
    }
    weaker
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fixtures::{canary, name, order_with_requirements};
    use crate::model::plan::ConvergenceThreshold;
    use crate::model::requirements::Requirements;

    /// Steps of weight, seconds and requests.
    fn steps(steps: &[(u32, u64, u64)]) -> Plan {
        let mut plan = canary(&[]);
        plan.steps = steps
            .iter()
            .map(|(percent, seconds, min_requests)| Step {
                weight: Ppm::percent(*percent),
                time: Duration::from_secs(*seconds),
                min_requests: *min_requests,
                approval: None,
            })
            .collect();
        plan
    }

    fn weak_weights(given: &[(u32, u64, u64)]) -> Vec<Ppm> {
        let service = steps(&[(5, 10, 10), (50, 10, 10), (100, 0, 10)]);
        let weaker = steps(given).weaker_than(&service).into_iter();
        weaker
            .map(|it| match it {
                Weakness::Step { weight, .. } => weight,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn lower_weights_and_more_steps_time_and_requests_are_not_weaker() {
        for given in [
            &[(5, 10, 10), (50, 10, 10), (100, 0, 10)][..],
            &[(1, 10, 10), (20, 10, 10), (100, 0, 10)],
            &[(1, 1, 1), (5, 20, 10), (20, 5, 0), (50, 10, 99), (100, 0, 10)],
        ] {
            assert_eq!(weak_weights(given), [], "{given:?}");
        }
    }

    #[test]
    fn skipped_exceeded_and_shortened_steps_are_weaker() {
        for (given, percents) in [
            (&[(100, 0, 10)][..], &[5, 50][..]),
            (&[(5, 10, 10), (100, 0, 10)], &[50]),
            (&[(10, 10, 10), (50, 10, 10), (100, 0, 10)], &[5]),
            (&[(5, 9, 10), (50, 10, 9), (100, 0, 10)], &[5, 50]),
            (&[(5, 10, 10), (50, 10, 10), (100, 0, 9)], &[100]),
        ] {
            let weights: Vec<_> = percents.iter().map(|it| Ppm::percent(*it)).collect();
            assert_eq!(weak_weights(given), weights, "{given:?}");
        }
    }

    #[test]
    fn approvals_are_due_where_the_weight_before_is_exceeded() {
        let service = order_with_requirements().plan;
        let approvals = service.steps[1].approval.clone().unwrap();
        let weakness =
            Weakness::StepApprovals { weight: Ppm::percent(50), required: approvals.clone() };
        let with = |percents: &[u32], at: usize, approvals: &Approvals| {
            let mut plan = canary(percents);
            plan.steps[at].approval = Some(approvals.clone());
            plan.completed_by(&service).weaker_than(&service)
        };
        let more = Approvals { count: 2, ..approvals.clone() };
        let longer = Approvals { expire: approvals.expire * 2, ..approvals.clone() };
        let other = Approvals { role: name("developer"), ..approvals.clone() };
        assert_eq!(with(&[5, 50, 100], 1, &more), []);
        assert_eq!(with(&[1, 3, 100], 2, &approvals), []);
        for (percents, at, approvals) in [
            (&[5, 50, 100][..], 0, &approvals),
            (&[5, 20, 50, 100], 2, &approvals),
            (&[5, 50, 100], 1, &longer),
            (&[5, 50, 100], 1, &other),
        ] {
            let expected = std::slice::from_ref(&weakness);
            assert_eq!(with(percents, at, approvals), expected, "{percents:?} {at}");
        }
    }

    #[test]
    fn what_a_plan_leaves_out_is_added_and_the_rest_is_compared() {
        let smoke_test = |path: &str| SmokeTest { path: path.to_owned(), expect: 200 };
        let mut service = order_with_requirements().plan;
        service.smoke_tests = vec![smoke_test("/healthz")];
        service.health = Some(HealthCheck::Tcp);
        let approvals = service.requirements.approvals.clone().unwrap();

        let mut left_out = service.clone();
        left_out.requirements = Requirements::default();
        service.holdback = Some(Holdback::Share(Ppm::percent(3)));
        (left_out.smoke_tests, left_out.health) = (Vec::new(), None);
        assert_eq!(left_out.clone().completed_by(&service), service);

        let mut stricter = left_out.clone();
        stricter.requirements.checks.insert(name("scan"));
        stricter.requirements.approvals = Some(Approvals { count: 3, ..approvals.clone() });
        stricter.smoke_tests = vec![smoke_test("/ready"), smoke_test("/healthz")];
        stricter.health = Some(HealthCheck::Http("/healthz".to_owned()));
        stricter.watch *= 2;
        stricter.holdback = Some(Holdback::Share(Ppm::percent(4)));
        service.on_fail = OnFail::Pause;
        stricter.on_fail = OnFail::Rollback;
        let stricter = stricter.completed_by(&service);
        assert_eq!(stricter.weaker_than(&service), []);
        assert_eq!(stricter.requirements.checks, BTreeSet::from([name("scan"), name("tests")]));
        service.on_fail = OnFail::Rollback;

        let mut weaker = left_out;
        weaker.requirements.approvals = Some(Approvals { count: 1, ..approvals.clone() });
        weaker.smoke_tests = vec![smoke_test("/ready")];
        weaker.watch /= 2;
        weaker.holdback = Some(Holdback::Auto);
        weaker.rollback_window /= 2;
        weaker.convergence = ConvergenceThreshold { share: Ppm::percent(90) };
        weaker.on_fail = OnFail::Pause;
        service.health = Some(HealthCheck::Http("/healthz".to_owned()));
        weaker.health = Some(HealthCheck::Tcp);
        let expected = [
            Weakness::Approvals(approvals),
            Weakness::Watch(service.watch),
            Weakness::Holdback(Holdback::Share(Ppm::percent(3))),
            Weakness::SmokeTest(smoke_test("/healthz")),
            Weakness::Health(HealthCheck::Http("/healthz".to_owned())),
            Weakness::Convergence(Ppm::ALL),
            Weakness::RollbackWindow(service.rollback_window),
            Weakness::OnFail,
        ];
        assert_eq!(weaker.completed_by(&service).weaker_than(&service), expected);
    }
}
