//! Compiled rules and their evaluation.

use std::{borrow::Cow, cell::Cell, cmp::Ordering};

use serde_json::Value as Json;

use super::{
    context::{AttributeId, AttributePath, EvaluationContext},
    value::Value,
    version::VersionOperator,
};
use crate::bucket::{Murmur3, scale};

/// A node of a compiled rule. The compiler bounds depth and size of the tree, so evaluation may
/// recurse.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    Constant(Json),
    Attribute {
        id: AttributeId,
        default: Option<Box<Self>>,
    },
    FlagKey,
    Timestamp,
    /// Condition, result, condition, result …, and optionally a final result.
    If(Vec<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Truthy(Box<Self>),
    Compare {
        comparison: Comparison,
        sides: Box<[Self; 2]>,
    },
    /// `low OP middle OP high`.
    Between {
        comparison: Comparison,
        sides: Box<[Self; 3]>,
    },
    In(Box<[Self; 2]>),
    /// `in` with a list that contains rules.
    InAny {
        needle: Box<Self>,
        items: Vec<Self>,
    },
    Cat(Vec<Self>),
    StartsWith(Box<[Self; 2]>),
    EndsWith(Box<[Self; 2]>),
    SemVer {
        operator: VersionOperator,
        sides: Box<[Self; 2]>,
    },
    Fractional(Fractional),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    StrictlyEqual,
    StrictlyNotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// flagd's `fractional`: a split of users by weight. Shares are intervals in listed order, so a
/// change of weights moves only users next to a moved boundary.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fractional {
    /// The value that is hashed. If it is absent or null, flag key and targeting key are.
    pub(super) by: Option<Box<Rule>>,
    /// Exclusive upper end of each share, ascending, and its result.
    pub(super) shares: Vec<(u32, Rule)>,
    pub(super) total: u32,
    pub(super) targeting_key: AttributeId,
}

/// Inputs of one evaluation.
pub(super) struct EvaluationScope<'a, C: ?Sized> {
    pub(super) context: &'a C,
    pub(super) attributes: &'a [AttributePath],
    pub(super) flag_key: &'a str,
    /// Set when a `fractional` selects a share.
    pub(super) split: Cell<bool>,
}

impl<'a, C: EvaluationContext + ?Sized> EvaluationScope<'a, C> {
    fn attribute(&self, id: AttributeId) -> Value<'a> {
        self.attributes.get(id.0).map_or(Value::Null, |path| self.context.attribute(id, path))
    }
}

impl Rule {
    pub(super) fn evaluate<'a, C: EvaluationContext + ?Sized>(
        &'a self,
        scope: &EvaluationScope<'a, C>,
    ) -> Value<'a> {
        match self {
            Self::Constant(json) => Value::from(json),
            Self::Attribute { id, default } => match (scope.attribute(*id), default) {
                (Value::Null, Some(default)) => default.evaluate(scope),
                (value, _) => value,
            },
            Self::FlagKey => Value::from(scope.flag_key),
            #[expect(clippy::cast_precision_loss, reason = "exact for the next 285 million years")]
            Self::Timestamp => Value::Number(scope.context.unix_seconds() as f64),
            Self::If(branches) => evaluate_if(branches, scope),
            Self::And(rules) => last_until(rules, scope, |value| !value.is_truthy()),
            Self::Or(rules) => last_until(rules, scope, Value::is_truthy),
            Self::Not(rule) => Value::Bool(!rule.evaluate(scope).is_truthy()),
            Self::Truthy(rule) => Value::Bool(rule.evaluate(scope).is_truthy()),
            Self::Compare { comparison, sides } => {
                let [left, right] = sides.as_ref();
                Value::Bool(comparison.holds(&left.evaluate(scope), &right.evaluate(scope)))
            }
            Self::Between { comparison, sides } => {
                let [low, middle, high] = sides.as_ref();
                let middle = middle.evaluate(scope);
                Value::Bool(
                    comparison.holds(&low.evaluate(scope), &middle)
                        && comparison.holds(&middle, &high.evaluate(scope)),
                )
            }
            Self::In(sides) => {
                let [needle, haystack] = sides.as_ref();
                Value::Bool(needle.evaluate(scope).is_in(&haystack.evaluate(scope)))
            }
            Self::InAny { needle, items } => {
                let needle = needle.evaluate(scope);
                let found = |item: &'a Self| item.evaluate(scope).strictly_equals(&needle);
                Value::Bool(items.iter().any(found))
            }
            Self::Cat(parts) => {
                let mut joined = String::new();
                for part in parts {
                    part.evaluate(scope).append_to(&mut joined);
                }
                Value::Text(Cow::Owned(joined))
            }
            Self::StartsWith(sides) => texts(sides, scope, |text, start| text.starts_with(start)),
            Self::EndsWith(sides) => texts(sides, scope, |text, end| text.ends_with(end)),
            Self::SemVer { operator, sides } => {
                texts(sides, scope, |left, right| operator.holds(left, right))
            }
            Self::Fractional(fractional) => fractional.evaluate(scope),
        }
    }
}

fn evaluate_if<'a, C: EvaluationContext + ?Sized>(
    branches: &'a [Rule],
    scope: &EvaluationScope<'a, C>,
) -> Value<'a> {
    let mut rest = branches;
    loop {
        match rest {
            [] => return Value::Null,
            [last] => return last.evaluate(scope),
            [condition, result, ..] if condition.evaluate(scope).is_truthy() => {
                return result.evaluate(scope);
            }
            [_, _, others @ ..] => rest = others,
        }
    }
}

/// The first value for which `ends` holds, else the last value: the semantics of `and` and `or`.
fn last_until<'a, C: EvaluationContext + ?Sized>(
    rules: &'a [Rule],
    scope: &EvaluationScope<'a, C>,
    ends: impl Fn(&Value<'a>) -> bool,
) -> Value<'a> {
    let mut value = Value::Null;
    for rule in rules {
        value = rule.evaluate(scope);
        if ends(&value) {
            break;
        }
    }
    value
}

/// A test on two strings; false if either side is not a string.
fn texts<'a, C: EvaluationContext + ?Sized>(
    sides: &'a [Rule; 2],
    scope: &EvaluationScope<'a, C>,
    test: impl Fn(&str, &str) -> bool,
) -> Value<'a> {
    let [left, right] = sides;
    Value::Bool(match (left.evaluate(scope), right.evaluate(scope)) {
        (Value::Text(left), Value::Text(right)) => test(&left, &right),
        _ => false,
    })
}

impl Comparison {
    pub(super) fn parse(operator: &str) -> Option<Self> {
        Some(match operator {
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "===" => Self::StrictlyEqual,
            "!==" => Self::StrictlyNotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    /// Whether it accepts a third side: `low < middle < high`.
    pub(super) const fn is_order(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual)
    }

    fn holds(self, left: &Value<'_>, right: &Value<'_>) -> bool {
        match self {
            Self::Equal => left.loosely_equals(right),
            Self::NotEqual => !left.loosely_equals(right),
            Self::StrictlyEqual => left.strictly_equals(right),
            Self::StrictlyNotEqual => !left.strictly_equals(right),
            Self::Less => left.order(right) == Some(Ordering::Less),
            Self::LessOrEqual => left.order(right).is_some_and(Ordering::is_le),
            Self::Greater => left.order(right) == Some(Ordering::Greater),
            Self::GreaterOrEqual => left.order(right).is_some_and(Ordering::is_ge),
        }
    }
}

impl Fractional {
    fn evaluate<'a, C: EvaluationContext + ?Sized>(
        &'a self,
        scope: &EvaluationScope<'a, C>,
    ) -> Value<'a> {
        let mut hash = Murmur3::default();
        match self.by.as_ref().map(|by| by.evaluate(scope)) {
            Some(Value::Text(text)) => hash.update(text.as_bytes()),
            None | Some(Value::Null) => {
                let Value::Text(key) = scope.attribute(self.targeting_key) else {
                    return Value::Null;
                };
                hash.update(scope.flag_key.as_bytes());
                hash.update(key.as_bytes());
            }
            Some(_) => return Value::Null,
        }
        let at = scale(hash.finish(), self.total);
        let share = self.shares.iter().find(|(end, _)| at < *end);
        scope.split.set(true);
        share.map_or(Value::Null, |(_, result)| result.evaluate(scope))
    }
}
