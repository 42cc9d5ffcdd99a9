//! Compiles JsonLogic into [`Rule`]. All errors are found here; evaluation cannot fail.

use serde_json::{Map, Value as Json};

use super::{
    context::{AttributeId, AttributePath},
    definition::MAX_BYTES,
    error::FlagErrorKind,
    rule::{Comparison, Fractional, Rule},
    value::Value,
    version::{self, VersionOperator},
};

const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 10_000;
const MAX_WEIGHT: u64 = 2_147_483_647;
const TARGETING_KEY: &str = "targetingKey";
const OPERATORS: &str = "var, if, and, or, !, !!, ==, ===, !=, !==, <, <=, >, >=, in, cat, \
                         starts_with, ends_with, sem_ver, fractional, $ref";

/// Compiles the rules of one set: attributes are numbered across all of them.
pub(super) struct Compiler<'a> {
    evaluators: Option<&'a Map<String, Json>>,
    attributes: Vec<AttributePath>,
    nodes: usize,
    /// Bytes of constants so far.
    constants: usize,
    depth: usize,
    /// Location of the current node, for errors.
    path: String,
}

type Compiled<T = Rule> = Result<T, FlagErrorKind>;

impl<'a> Compiler<'a> {
    pub(super) fn new(evaluators: Option<&'a Map<String, Json>>) -> Self {
        Self {
            evaluators,
            attributes: Vec::new(),
            nodes: 0,
            constants: 0,
            depth: 0,
            path: String::new(),
        }
    }

    pub(super) fn into_attributes(self) -> Vec<AttributePath> {
        self.attributes
    }

    /// Compiles one rule. An error carries its location, which begins with `path`.
    pub(super) fn compile(
        &mut self,
        json: &'a Json,
        path: &str,
    ) -> Result<Rule, (String, FlagErrorKind)> {
        path.clone_into(&mut self.path);
        self.depth = 0;
        self.rule(json).map_err(|kind| (std::mem::take(&mut self.path), kind))
    }

    fn rule(&mut self, json: &'a Json) -> Compiled {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(FlagErrorKind::TooManyNodes { limit: MAX_NODES });
        }
        match json {
            Json::Object(object) => {
                let mut entries = object.iter();
                let (Some((operator, arguments)), None) = (entries.next(), entries.next()) else {
                    return Err(FlagErrorKind::RuleShape(object.len()));
                };
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(FlagErrorKind::TooDeep { limit: MAX_DEPTH });
                }
                let rule = self.within(&format!(".{operator}"), |compiler| {
                    compiler.operation(operator, arguments)
                })?;
                self.depth -= 1;
                Ok(rule)
            }
            Json::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
                Err(FlagErrorKind::ComputedList)
            }
            plain => {
                // A `$ref` copies the evaluator, so many references can multiply a large list.
                self.constants += size(plain);
                if self.constants > MAX_BYTES {
                    return Err(FlagErrorKind::TooLarge { limit: MAX_BYTES });
                }
                Ok(Rule::Constant(plain.clone()))
            }
        }
    }

    /// Runs `run` with `step` appended to the path. On an error the path keeps the error's
    /// location.
    fn within<T>(&mut self, step: &str, run: impl FnOnce(&mut Self) -> Compiled<T>) -> Compiled<T> {
        let length = self.path.len();
        self.path.push_str(step);
        let compiled = run(self)?;
        self.path.truncate(length);
        Ok(compiled)
    }

    fn operation(&mut self, operator: &'a str, arguments: &'a Json) -> Compiled {
        // JsonLogic allows a single argument without a list.
        let list = match arguments {
            Json::Array(list) => list.as_slice(),
            single => std::slice::from_ref(single),
        };
        if let Some(comparison) = Comparison::parse(operator) {
            return self.comparison(operator, comparison, list);
        }
        Ok(match operator {
            "var" => self.variable(list)?,
            "$ref" => self.reference(list)?,
            "fractional" => self.fractional(list)?,
            "in" => self.membership(list)?,
            "sem_ver" => self.semantic_version(list)?,
            "if" => Rule::If(self.rules(list)?),
            "and" => Rule::And(self.rules(list)?),
            "or" => Rule::Or(self.rules(list)?),
            "cat" => Rule::Cat(self.rules(list)?),
            "!" => Rule::Not(self.single(operator, list)?),
            "!!" => Rule::Truthy(self.single(operator, list)?),
            "starts_with" => Rule::StartsWith(self.pair(operator, list)?),
            "ends_with" => Rule::EndsWith(self.pair(operator, list)?),
            unknown => {
                return Err(FlagErrorKind::Operator {
                    operator: unknown.to_owned(),
                    known: OPERATORS,
                });
            }
        })
    }

    fn comparison(&mut self, operator: &str, comparison: Comparison, list: &'a [Json]) -> Compiled {
        if list.len() == 3 && comparison.is_order() {
            let sides = Box::new(self.exactly(operator, list, "two or three arguments")?);
            return Ok(Rule::Between { comparison, sides });
        }
        let sides = self.pair(operator, list)?;
        Ok(Rule::Compare { comparison, sides })
    }

    fn rules(&mut self, list: &'a [Json]) -> Compiled<Vec<Rule>> {
        (0..).zip(list).map(|(index, json)| self.argument(index, json)).collect()
    }

    fn argument(&mut self, index: usize, json: &'a Json) -> Compiled {
        self.within(&format!("[{index}]"), |compiler| compiler.rule(json))
    }

    fn exactly<const N: usize>(
        &mut self,
        operator: &str,
        list: &'a [Json],
        expected: &'static str,
    ) -> Compiled<[Rule; N]> {
        let found = list.len();
        let wrong_count =
            |_| FlagErrorKind::Arguments { operator: operator.to_owned(), expected, found };
        if found != N {
            return Err(wrong_count(Vec::new()));
        }
        self.rules(list)?.try_into().map_err(wrong_count)
    }

    fn single(&mut self, operator: &str, list: &'a [Json]) -> Compiled<Box<Rule>> {
        let [rule] = self.exactly(operator, list, "one argument")?;
        Ok(Box::new(rule))
    }

    fn pair(&mut self, operator: &str, list: &'a [Json]) -> Compiled<Box<[Rule; 2]>> {
        self.exactly(operator, list, "two arguments").map(Box::new)
    }

    fn variable(&mut self, list: &'a [Json]) -> Compiled {
        let (name, default) = match list {
            [Json::String(name)] => (name, None),
            [Json::String(name), default] => (name, Some(default)),
            [other] | [other, _] => return Err(FlagErrorKind::Attribute(other.to_string())),
            _ => {
                return Err(FlagErrorKind::Arguments {
                    operator: "var".to_owned(),
                    expected: "a name and optionally a default",
                    found: list.len(),
                });
            }
        };
        match name.as_str() {
            "" => Err(FlagErrorKind::Attribute(name.clone())),
            "$flagd.flagKey" => Ok(Rule::FlagKey),
            "$flagd.timestamp" => Ok(Rule::Timestamp),
            name => {
                let id = self.attribute(name);
                let default =
                    default.map(|json| self.argument(1, json).map(Box::new)).transpose()?;
                Ok(Rule::Attribute { id, default })
            }
        }
    }

    fn attribute(&mut self, name: &str) -> AttributeId {
        let known = self.attributes.iter().position(|path| path.as_str() == name);
        AttributeId(known.unwrap_or_else(|| {
            self.attributes.push(AttributePath::new(name));
            self.attributes.len() - 1
        }))
    }

    fn reference(&mut self, list: &'a [Json]) -> Compiled {
        let [Json::String(name)] = list else {
            return Err(FlagErrorKind::Arguments {
                operator: "$ref".to_owned(),
                expected: "the name of an evaluator",
                found: list.len(),
            });
        };
        let evaluator = self.evaluators.and_then(|all| all.get(name));
        let evaluator = evaluator.ok_or_else(|| FlagErrorKind::Reference(name.clone()))?;
        self.within(&format!("({name})"), |compiler| compiler.rule(evaluator))
    }

    fn membership(&mut self, list: &'a [Json]) -> Compiled {
        if let [needle, Json::Array(items)] = list
            && items.iter().any(Json::is_object)
        {
            let needle = Box::new(self.argument(0, needle)?);
            let items = self.within("[1]", |compiler| compiler.rules(items))?;
            return Ok(Rule::InAny { needle, items });
        }
        Ok(Rule::In(self.pair("in", list)?))
    }

    fn semantic_version(&mut self, list: &'a [Json]) -> Compiled {
        let [left, Json::String(symbol), right] = list else {
            return Err(FlagErrorKind::Arguments {
                operator: "sem_ver".to_owned(),
                expected: "a version, an operator and a version",
                found: list.len(),
            });
        };
        let operator = VersionOperator::parse(symbol)
            .ok_or_else(|| FlagErrorKind::VersionOperator(symbol.clone()))?;
        let sides = Box::new([self.argument(0, left)?, self.argument(2, right)?]);
        for side in sides.iter() {
            if let Rule::Constant(json) = side {
                let valid = json.as_str().is_some_and(|v| version::parse(v).is_some());
                if !valid {
                    return Err(FlagErrorKind::Version(json.to_string()));
                }
            }
        }
        Ok(Rule::SemVer { operator, sides })
    }

    fn fractional(&mut self, list: &'a [Json]) -> Compiled {
        let (by, shares, first) = match list {
            [by, rest @ ..] if !by.is_array() => (Some(Box::new(self.argument(0, by)?)), rest, 1),
            shares => (None, shares, 0),
        };
        let mut ends = Vec::with_capacity(shares.len());
        let mut total = 0_u64;
        for (index, share) in (first..).zip(shares) {
            let result = self.within(&format!("[{index}]"), |compiler| {
                let (result, weight) = match share.as_array().map(Vec::as_slice) {
                    Some([result]) => (result, 1),
                    Some([result, weight]) => {
                        (result, whole(weight).ok_or(FlagErrorKind::Weights)?)
                    }
                    _ => {
                        return Err(FlagErrorKind::Arguments {
                            operator: "fractional".to_owned(),
                            expected: "lists of a variant and its weight",
                            found: share.as_array().map_or(1, Vec::len),
                        });
                    }
                };
                total = total.saturating_add(weight);
                compiler.argument(0, result)
            })?;
            let end = u32::try_from(total).map_err(|_| FlagErrorKind::Weights)?;
            ends.push((end, result));
        }
        if !(1..=MAX_WEIGHT).contains(&total) {
            return Err(FlagErrorKind::Weights);
        }
        Ok(Rule::Fractional(Fractional {
            by,
            shares: ends,
            total: u32::try_from(total).map_err(|_| FlagErrorKind::Weights)?,
            targeting_key: self.attribute(TARGETING_KEY),
        }))
    }
}

/// Approximate size of a constant, in bytes.
fn size(plain: &Json) -> usize {
    match plain {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(|item| 1 + size(item)).sum(),
        _ => 1,
    }
}

/// A whole number, also in the notation `1.0`, which JavaScript does not distinguish from `1`.
fn whole(json: &Json) -> Option<u64> {
    match Value::from(json) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "checked to be whole and within 0..=MAX_WEIGHT"
        )]
        Value::Number(n) if n.fract() == 0.0 && (0.0..=MAX_WEIGHT as f64).contains(&n) => {
            Some(n as u64)
        }
        _ => None,
    }
}
