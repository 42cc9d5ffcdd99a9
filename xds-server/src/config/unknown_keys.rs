//! All unknown keys of a document. The typed parser stops at the first one, so this pass compares
//! the keys of an invalid document with the JSON Schema of its type.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde_json::Value;
use serde_saphyr::Options;

use super::problem::{Fault, Problem};
use super::span::Span;
use super::tree::{Node, Tree};

/// The unknown keys of a document whose type is `T`; none if the text is not YAML.
pub(super) fn find<T: JsonSchema>(text: &str, options: Options) -> Vec<Problem> {
    let Ok(document) = serde_saphyr::from_str_with_options::<Tree>(text, options) else {
        return Vec::new();
    };
    let schema = schemars::schema_for!(T);
    let mut search = Search { root: schema.as_value(), seen: BTreeSet::new(), found: Vec::new() };
    search.visit(&document, &search.alternatives(schema.as_value()));
    search.found
}

struct Search<'s> {
    root: &'s Value,
    /// Spans of reported keys: an anchored mapping is visited once per alias.
    seen: BTreeSet<Span>,
    found: Vec<Problem>,
}

impl<'s> Search<'s> {
    fn visit(&mut self, tree: &Tree, schemas: &[&'s Value]) {
        match &tree.node {
            Node::Scalar(_) => {}
            Node::Seq(items) => {
                let of_items = self.below(schemas, |schema| schema.get("items"));
                items.iter().for_each(|item| self.visit(item, &of_items));
            }
            Node::Map(entries) => {
                let known: Vec<&str> = schemas
                    .iter()
                    .filter_map(|schema| schema.get("properties")?.as_object())
                    .flat_map(|properties| properties.keys().map(String::as_str))
                    .collect();
                // A scalar or a list is expected: the typed parser reports that.
                if known.is_empty() {
                    return;
                }
                for (key, value) in entries {
                    if known.contains(&key.value.as_str()) {
                        let of_value =
                            |schema: &'s Value| schema.get("properties")?.get(&key.value);
                        let of_value = self.below(schemas, of_value);
                        self.visit(value, &of_value);
                    } else if self.seen.insert(key.defined.into()) {
                        self.found.push(Problem {
                            span: key.defined.into(),
                            fault: Fault::unknown_key(&key.value, known.iter().copied()),
                        });
                    }
                }
            }
        }
    }

    fn below(
        &self,
        schemas: &[&'s Value],
        get: impl Fn(&'s Value) -> Option<&'s Value>,
    ) -> Vec<&'s Value> {
        let found = schemas.iter().filter_map(|schema| get(schema));
        found.flat_map(|schema| self.alternatives(schema)).collect()
    }

    /// The schemas that a value may satisfy, with references followed.
    fn alternatives(&self, schema: &'s Value) -> Vec<&'s Value> {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = target.strip_prefix('#').and_then(|it| self.root.pointer(it));
            return target.map(|target| self.alternatives(target)).unwrap_or_default();
        }
        let choices = ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array());
        let choices: Vec<&Value> =
            choices.flatten().flat_map(|choice| self.alternatives(choice)).collect();
        if choices.is_empty() { vec![schema] } else { choices }
    }
}
