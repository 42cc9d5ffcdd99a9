//! Parsing, validation and evaluation of flag definitions.

use std::{cell::Cell, collections::BTreeMap};

use serde_json::{Map, Value as Json};

use super::{
    FlagEvaluation, Reason,
    compile::Compiler,
    context::{AttributePath, EvaluationContext},
    error::{FlagError, FlagErrorKind},
    rule::{EvaluationScope, Rule},
    value::Value,
};

/// Limit of the document's size, and of the constants in compiled rules (`$ref` copies them), in
/// bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;
const MAX_FLAGS: usize = 1000;

/// A compiled definition.
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
    /// The first error found. Unknown fields are ignored, because newer versions of flagd add some.
    pub fn parse(text: &str) -> Result<Self, FlagError> {
        if text.len() > MAX_BYTES {
            return Err(whole(FlagErrorKind::TooLarge { limit: MAX_BYTES }));
        }
        let document = serde_json::from_str(text)
            .map_err(|error| whole(FlagErrorKind::Json(error.to_string())))?;
        Self::from_json(&document)
    }

    /// Compiles a parsed definition. `null` is a set without flags.
    ///
    /// # Errors
    /// As [`FlagSet::parse`].
    pub fn from_json(document: &Json) -> Result<Self, FlagError> {
        if document.is_null() {
            return Ok(Self::default());
        }
        let at = |path: &str, kind| FlagError { flag: None, path: path.to_owned(), kind };
        let top = object(document).map_err(whole)?;
        let flags = top
            .get("flags")
            .ok_or(FlagErrorKind::Missing("`\"flags\": {}`"))
            .and_then(object)
            .map_err(|kind| at("flags", kind))?;
        if flags.len() > MAX_FLAGS {
            return Err(at("flags", FlagErrorKind::TooManyFlags { limit: MAX_FLAGS }));
        }
        let evaluators =
            optional_object(top, "$evaluators").map_err(|kind| at("$evaluators", kind))?;
        let metadata = optional_object(top, "metadata").map_err(|kind| at("metadata", kind))?;
        let mut compiler = Compiler::new(evaluators);
        let flags = flags
            .iter()
            .map(|(key, json)| {
                let path = format!("flags.{key}");
                let flag = Flag::compile(json, &path, metadata, &mut compiler);
                let flag =
                    flag.map_err(|(path, kind)| FlagError { flag: Some(key.clone()), path, kind })?;
                Ok((key.clone(), flag))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { flags, attributes: compiler.into_attributes() })
    }

    /// The flags, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Flag)> {
        self.flags.iter().map(|(key, flag)| (key.as_str(), flag))
    }

    /// The attributes that rules read. An [`AttributeId`](super::AttributeId) is an index into
    /// them.
    #[must_use]
    pub fn attributes(&self) -> &[AttributePath] {
        &self.attributes
    }

    /// Evaluates a flag; `None` if the key is unknown.
    pub fn evaluate<'a, C: EvaluationContext + ?Sized>(
        &'a self,
        key: &str,
        context: &'a C,
    ) -> Option<FlagEvaluation<'a>> {
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
    ) -> Result<Self, (String, FlagErrorKind)> {
        let here = |kind| (path.to_owned(), kind);
        let field = |name: &'static str| move |kind| (format!("{path}.{name}"), kind);
        let flag = object(json).map_err(here)?;
        let enabled = match flag.get("state").map(Json::as_str) {
            None | Some(Some("ENABLED")) => true,
            Some(Some("DISABLED")) => false,
            Some(other) => {
                let other = other.unwrap_or("(not a string)").to_owned();
                return Err(field("state")(FlagErrorKind::State(other)));
            }
        };
        let variants: BTreeMap<String, Json> = flag
            .get("variants")
            .ok_or(FlagErrorKind::Missing("`\"variants\": {\"on\": true, \"off\": false}`"))
            .and_then(object)
            .map_err(field("variants"))?
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if variants.is_empty() {
            return Err(field("variants")(FlagErrorKind::Missing("at least one variant")));
        }
        let default = match flag.get("defaultVariant") {
            None | Some(Json::Null) => None,
            Some(Json::String(name)) if variants.contains_key(name) => Some(name.clone()),
            Some(Json::String(name)) => {
                return Err(field("defaultVariant")(FlagErrorKind::UnknownVariant(name.clone())));
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

    /// Values of all variants.
    pub fn values(&self) -> impl Iterator<Item = &Json> {
        self.variants.values()
    }

    /// Metadata of the set, overridden by that of the flag.
    #[must_use]
    pub const fn metadata(&self) -> &Map<String, Json> {
        &self.metadata
    }

    /// Whether the flag's `state` is ENABLED.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn evaluate<'a, C: EvaluationContext + ?Sized>(
        &'a self,
        key: &'a str,
        attributes: &'a [AttributePath],
        context: &'a C,
    ) -> FlagEvaluation<'a> {
        let Some(rule) = self.rule.as_ref().filter(|_| self.enabled) else {
            return if self.enabled {
                self.resolve(self.default.as_deref(), Reason::Static)
            } else {
                self.resolve(None, Reason::Disabled)
            };
        };
        let scope = EvaluationScope { context, attributes, flag_key: key, split: Cell::new(false) };
        let value = rule.evaluate(&scope);
        let reason = if scope.split.get() { Reason::Split } else { Reason::TargetingMatch };
        match value {
            Value::Null => self.resolve(self.default.as_deref(), Reason::Default),
            Value::Text(name) => self.resolve(Some(&name), reason),
            // As in flagd, booleans and numbers select the variant named like their text.
            Value::Bool(_) | Value::Number(_) => {
                let mut name = String::new();
                value.append_to(&mut name);
                self.resolve(Some(&name), reason)
            }
            Value::Items(_) | Value::Object => self.resolve(None, Reason::Error),
        }
    }

    fn resolve(&self, variant: Option<&str>, reason: Reason) -> FlagEvaluation<'_> {
        let found = variant.and_then(|name| self.variants.get_key_value(name));
        FlagEvaluation {
            value: found.map(|(_, value)| value),
            variant: found.map(|(name, _)| name.as_str()),
            reason: if variant.is_some() && found.is_none() { Reason::Error } else { reason },
            metadata: &self.metadata,
        }
    }
}

fn whole(kind: FlagErrorKind) -> FlagError {
    FlagError { flag: None, path: "$".to_owned(), kind }
}

fn object(json: &Json) -> Result<&Map<String, Json>, FlagErrorKind> {
    json.as_object().ok_or_else(|| wrong_type("an object", json))
}

fn optional_object<'a>(
    parent: &'a Map<String, Json>,
    key: &str,
) -> Result<Option<&'a Map<String, Json>>, FlagErrorKind> {
    parent.get(key).map(object).transpose()
}

const fn wrong_type(expected: &'static str, found: &Json) -> FlagErrorKind {
    let found = match found {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    };
    FlagErrorKind::Type { expected, found }
}
