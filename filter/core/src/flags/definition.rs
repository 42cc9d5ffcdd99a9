//! Flag definitions: the document, its bounds, and the flags in it.

use std::{cell::Cell, collections::BTreeMap};

use serde_json::{Map, Value as Json};

use super::{
    Evaluation, Reason,
    compile::Compiler,
    context::{AttributePath, Context},
    error::{FlagError, Problem},
    rule::{Rule, Scope},
    value::Value,
};

/// The largest document that is read, and the most that its rules' constants may grow to.
pub(super) const MAX_BYTES: usize = 1 << 20;
const MAX_FLAGS: usize = 1000;

/// All flags of one definition, compiled.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlagSet {
    flags: BTreeMap<String, Flag>,
    attributes: Vec<AttributePath>,
}

/// One flag.
#[derive(Debug, Clone, PartialEq)]
pub struct Flag {
    enabled: bool,
    variants: BTreeMap<String, Json>,
    default: Option<String>,
    rule: Option<Rule>,
    metadata: Map<String, Json>,
}

impl FlagSet {
    /// Reads and compiles a definition.
    ///
    /// # Errors
    /// The first mistake found, with its flag and place. Unknown fields are no mistake: flagd adds
    /// some from time to time.
    pub fn parse(text: &str) -> Result<Self, FlagError> {
        if text.len() > MAX_BYTES {
            return Err(whole(Problem::TooLarge { limit: MAX_BYTES }));
        }
        let document =
            serde_json::from_str(text).map_err(|error| whole(Problem::Json(error.to_string())))?;
        Self::from_json(&document)
    }

    /// Compiles a definition that is JSON already. `null` is a set without flags.
    ///
    /// # Errors
    /// As [`FlagSet::parse`].
    pub fn from_json(document: &Json) -> Result<Self, FlagError> {
        if document.is_null() {
            return Ok(Self::default());
        }
        let at = |path: &str, problem| FlagError { flag: None, path: path.to_owned(), problem };
        let top = object(document).map_err(whole)?;
        let flags = top
            .get("flags")
            .ok_or(Problem::Missing("`\"flags\": {}`"))
            .and_then(object)
            .map_err(|problem| at("flags", problem))?;
        if flags.len() > MAX_FLAGS {
            return Err(at("flags", Problem::TooManyFlags { limit: MAX_FLAGS }));
        }
        let evaluators =
            optional_object(top, "$evaluators").map_err(|problem| at("$evaluators", problem))?;
        let metadata =
            optional_object(top, "metadata").map_err(|problem| at("metadata", problem))?;
        let mut compiler = Compiler::new(evaluators);
        let flags = flags
            .iter()
            .map(|(key, json)| {
                let path = format!("flags.{key}");
                let flag = Flag::compile(json, &path, metadata, &mut compiler);
                let flag = flag.map_err(|(path, problem)| FlagError {
                    flag: Some(key.clone()),
                    path,
                    problem,
                })?;
                Ok((key.clone(), flag))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { flags, attributes: compiler.into_attributes() })
    }

    /// The flags, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Flag)> {
        self.flags.iter().map(|(key, flag)| (key.as_str(), flag))
    }

    /// Every attribute that some rule looks at; an
    /// [`AttributeId`](super::AttributeId) is an index into this list.
    #[must_use]
    pub fn attributes(&self) -> &[AttributePath] {
        &self.attributes
    }

    /// The flag's answer for one user; `None` if there is no such flag.
    pub fn evaluate<'a, C: Context + ?Sized>(
        &'a self,
        key: &str,
        context: &'a C,
    ) -> Option<Evaluation<'a>> {
        let (key, flag) = self.flags.get_key_value(key)?;
        Some(flag.evaluate(key, &self.attributes, context))
    }
}

impl Flag {
    fn compile<'a>(
        json: &'a Json,
        path: &str,
        set_metadata: Option<&Map<String, Json>>,
        compiler: &mut Compiler<'a>,
    ) -> Result<Self, (String, Problem)> {
        let here = |problem| (path.to_owned(), problem);
        let field = |name: &'static str| move |problem| (format!("{path}.{name}"), problem);
        let flag = object(json).map_err(here)?;
        let enabled = match flag.get("state").map(Json::as_str) {
            None | Some(Some("ENABLED")) => true,
            Some(Some("DISABLED")) => false,
            Some(other) => {
                let other = other.unwrap_or("(not a string)").to_owned();
                return Err(field("state")(Problem::State(other)));
            }
        };
        let variants: BTreeMap<String, Json> = flag
            .get("variants")
            .ok_or(Problem::Missing("`\"variants\": {\"on\": true, \"off\": false}`"))
            .and_then(object)
            .map_err(field("variants"))?
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if variants.is_empty() {
            return Err(field("variants")(Problem::Missing("at least one variant")));
        }
        let default = match flag.get("defaultVariant") {
            None | Some(Json::Null) => None,
            Some(Json::String(name)) if variants.contains_key(name) => Some(name.clone()),
            Some(Json::String(name)) => {
                return Err(field("defaultVariant")(Problem::UnknownVariant(name.clone())));
            }
            Some(other) => return Err(field("defaultVariant")(wrong_type("a string", other))),
        };
        let rule = match flag.get("targeting") {
            None | Some(Json::Null) => None,
            Some(Json::Object(empty)) if empty.is_empty() => None,
            Some(rule) => Some(compiler.compile(rule, &format!("{path}.targeting"))?),
        };
        let mut metadata = set_metadata.cloned().unwrap_or_default();
        if let Some(own) = optional_object(flag, "metadata").map_err(field("metadata"))? {
            metadata.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        Ok(Self { enabled, variants, default, rule, metadata })
    }

    /// The values of all variants.
    pub fn values(&self) -> impl Iterator<Item = &Json> {
        self.variants.values()
    }

    /// The flag's metadata, with that of its set beneath.
    #[must_use]
    pub const fn metadata(&self) -> &Map<String, Json> {
        &self.metadata
    }

    /// Whether the flag may answer anything but "disabled".
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn evaluate<'a, C: Context + ?Sized>(
        &'a self,
        key: &'a str,
        attributes: &'a [AttributePath],
        context: &'a C,
    ) -> Evaluation<'a> {
        let Some(rule) = self.rule.as_ref().filter(|_| self.enabled) else {
            return if self.enabled {
                self.answer(self.default.as_deref(), Reason::Static)
            } else {
                self.answer(None, Reason::Disabled)
            };
        };
        let scope = Scope { context, attributes, flag_key: key, split: Cell::new(false) };
        let value = rule.evaluate(&scope);
        let reason = if scope.split.get() { Reason::Split } else { Reason::TargetingMatch };
        match value {
            Value::Null => self.answer(self.default.as_deref(), Reason::Default),
            Value::Text(name) => self.answer(Some(&name), reason),
            // Truth values and numbers may name variants too: flagd compares their text.
            Value::Bool(_) | Value::Number(_) => {
                let mut name = String::new();
                value.append_to(&mut name);
                self.answer(Some(&name), reason)
            }
            Value::Items(_) | Value::Object => self.answer(None, Reason::Error),
        }
    }

    fn answer(&self, variant: Option<&str>, reason: Reason) -> Evaluation<'_> {
        let found = variant.and_then(|name| self.variants.get_key_value(name));
        Evaluation {
            value: found.map(|(_, value)| value),
            variant: found.map(|(name, _)| name.as_str()),
            reason: if variant.is_some() && found.is_none() { Reason::Error } else { reason },
            metadata: &self.metadata,
        }
    }
}

fn whole(problem: Problem) -> FlagError {
    FlagError { flag: None, path: "$".to_owned(), problem }
}

fn object(json: &Json) -> Result<&Map<String, Json>, Problem> {
    json.as_object().ok_or_else(|| wrong_type("an object", json))
}

fn optional_object<'a>(
    parent: &'a Map<String, Json>,
    key: &str,
) -> Result<Option<&'a Map<String, Json>>, Problem> {
    parent.get(key).map(object).transpose()
}

const fn wrong_type(expected: &'static str, found: &Json) -> Problem {
    let found = match found {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    };
    Problem::Type { expected, found }
}
