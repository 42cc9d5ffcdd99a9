//! Plans and guardrails, with units in the names of their numbers.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_core::config::{RequestMatch, ResponseMatch};

use tidegate_delivery::judge::guardrails::{
    BusinessMetric, CommonMode, Guardrails, Inconclusive, WorseThanStable,
};
use tidegate_delivery::model::plan::{HealthCheck, OnFail, Plan, SmokeTest, Step, Strategy};
use tidegate_delivery::model::requirements::Approvals;
use tidegate_delivery::names::{CheckName, MetricName, RoleName};
use tidegate_delivery::units::{Ppm, millis, percent};

/// The plan of a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanView {
    pub strategy: Strategy,
    pub steps: Vec<StepView>,
    /// The time in the last step before the release completes.
    #[serde(rename = "watch_ms", with = "millis")]
    pub watch: Duration,
    /// What stays on stable meanwhile: `auto`, or a share.
    pub holdback: String,
    pub smoke_tests: Vec<SmokeTest>,
    pub health: Option<HealthCheck>,
    /// The share of connected sidecars that must have ACKed a step.
    #[serde(rename = "convergence_percent", with = "percent")]
    pub convergence: Ppm,
    /// Checks that must have passed before the first step.
    pub checks: BTreeSet<CheckName>,
    /// Approvals that the first step requires.
    pub approvals: Option<ApprovalsView>,
    pub on_fail: OnFail,
    #[serde(rename = "rollback_window_ms", with = "millis")]
    pub rollback_window: Duration,
    /// How long after completion a broken limit restores the previous version; 0: it only alerts.
    #[serde(rename = "rollback_after_completion_ms", with = "millis")]
    pub rollback_after_completion: Duration,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    #[serde(rename = "weight_percent", with = "percent")]
    pub weight: Ppm,
    /// The minimum time.
    #[serde(rename = "time_ms", with = "millis")]
    pub time: Duration,
    pub min_requests: u64,
    /// Approvals that the step requires.
    pub approval: Option<ApprovalsView>,
}

/// Required approvals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalsView {
    /// The number of different operators.
    pub count: u32,
    pub role: RoleName,
    /// The validity of an approval.
    #[serde(rename = "expire_ms", with = "millis")]
    pub expire: Duration,
}

/// The guardrails of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardrailsView {
    pub error_rate: ErrorRateView,
    pub client_errors: ClientErrorsView,
    pub latency: LatencyView,
    pub resources: ResourcesView,
    pub business: Vec<BusinessView>,
    pub min_requests: u64,
    /// The bound on the probability that a release that is no worse is rolled back.
    #[serde(rename = "false_rollback_percent", with = "percent")]
    pub false_rollback: Ppm,
    /// What a limit of a rollback does that stable exceeds as well.
    pub common_mode: CommonMode,
    /// What a step does whose evidence is inconclusive at its end.
    pub inconclusive: Inconclusive,
}

/// The limits of the error rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorRateView {
    #[serde(rename = "alert_percent", with = "percent")]
    pub alert: Ppm,
    #[serde(rename = "rollback_percent", with = "percent")]
    pub rollback: Ppm,
    /// What a candidate does that is worse than stable.
    pub worse_than_stable: WorseThanStable,
}

/// The limits of the share of requests with HTTP 4xx.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientErrorsView {
    pub alert_percent: Option<f64>,
    pub rollback_percent: Option<f64>,
    /// What a candidate does that has much more of them than stable.
    pub worse_than_stable: WorseThanStable,
}

/// The limits of one percentile of the latency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyView {
    /// 99 is the 99th percentile.
    #[serde(with = "percent")]
    pub percentile: Ppm,
    #[serde(rename = "warning_ms", with = "millis")]
    pub warning: Duration,
    #[serde(rename = "critical_ms", with = "millis")]
    pub critical: Duration,
    #[serde(rename = "rollback_ms", with = "millis")]
    pub rollback: Duration,
    /// What a candidate does that is slower than stable.
    pub worse_than_stable: WorseThanStable,
}

/// The limits of one percentile of the use of CPU, memory and disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourcesView {
    #[serde(with = "percent")]
    pub percentile: Ppm,
    #[serde(rename = "warning_percent", with = "percent")]
    pub warning: Ppm,
    #[serde(rename = "critical_percent", with = "percent")]
    pub critical: Ppm,
}

/// A business metric and its limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BusinessView {
    pub name: MetricName,
    /// The selected requests.
    pub of: RequestMatch,
    /// The responses that count as success.
    pub good: ResponseMatch,
    /// The minimum share of successes.
    #[serde(rename = "at_least_percent", with = "percent")]
    pub at_least: Ppm,
}

impl From<&Plan> for PlanView {
    fn from(plan: &Plan) -> Self {
        let holdback = plan.holdback().to_string();
        let plan = plan.clone();
        Self {
            strategy: plan.strategy,
            holdback,
            steps: plan.steps.into_iter().map(StepView::from).collect(),
            watch: plan.watch,
            smoke_tests: plan.smoke_tests,
            health: plan.health,
            convergence: plan.convergence.share,
            checks: plan.requirements.checks,
            approvals: plan.requirements.approvals.map(ApprovalsView::from),
            on_fail: plan.on_fail,
            rollback_window: plan.rollback_window,
            rollback_after_completion: plan.rollback_after_completion,
        }
    }
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        let Step { weight, time, min_requests, approval } = step;
        Self { weight, time, min_requests, approval: approval.map(ApprovalsView::from) }
    }
}

impl From<Approvals> for ApprovalsView {
    fn from(approvals: Approvals) -> Self {
        let Approvals { count, role, expire } = approvals;
        Self { count, role, expire }
    }
}

impl From<&Guardrails> for GuardrailsView {
    fn from(limits: &Guardrails) -> Self {
        let Guardrails { error_rate, client_errors, latency, resources, business, .. } = limits;
        Self {
            error_rate: ErrorRateView {
                alert: error_rate.alert,
                rollback: error_rate.rollback,
                worse_than_stable: error_rate.worse_than_stable,
            },
            client_errors: ClientErrorsView {
                alert_percent: client_errors.alert.map(percent::of),
                rollback_percent: client_errors.rollback.map(percent::of),
                worse_than_stable: client_errors.worse_than_stable,
            },
            latency: LatencyView {
                percentile: latency.quantile,
                warning: latency.warning,
                critical: latency.critical,
                rollback: latency.rollback,
                worse_than_stable: latency.worse_than_stable,
            },
            resources: ResourcesView {
                percentile: resources.quantile,
                warning: resources.warning,
                critical: resources.critical,
            },
            business: business.iter().map(BusinessView::from).collect(),
            min_requests: limits.min_requests,
            false_rollback: limits.false_rollback,
            common_mode: limits.common_mode,
            inconclusive: limits.inconclusive,
        }
    }
}

impl From<&BusinessMetric> for BusinessView {
    fn from(metric: &BusinessMetric) -> Self {
        let BusinessMetric { name, of, good, at_least } = metric.clone();
        Self { name, of, good, at_least }
    }
}
