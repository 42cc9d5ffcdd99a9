//! YAML documents of any type, with the position of every key and value.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::span::Span;

/// A value and its position.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) span: Span,
    pub(crate) node: Node,
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Map(Vec<(Spanned<String>, Tree)>),
    Seq(Vec<Tree>),
    /// As text: `0`, `true`, `v1`. Empty: null.
    Scalar(String),
}

impl Tree {
    /// The value at a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |tree, key| match &tree.node {
            Node::Map(entries) => {
                entries.iter().find(|(known, _)| known.value == *key).map(|(_, tree)| tree)
            }
            Node::Seq(_) | Node::Scalar(_) => None,
        })
    }

    /// The text at a path of keys.
    pub(crate) fn text(&self, path: &[&str]) -> Option<&str> {
        match &self.at(path)?.node {
            Node::Scalar(text) => Some(text),
            Node::Map(_) | Node::Seq(_) => None,
        }
    }

    /// The items at a path of keys; none if there is no list.
    pub(crate) fn items(&self, path: &[&str]) -> &[Self] {
        match self.at(path).map(|it| &it.node) {
            Some(Node::Seq(items)) => items,
            _ => &[],
        }
    }

    /// The keys and values at a path of keys; none if there is no map.
    pub(crate) fn entries(&self, path: &[&str]) -> impl Iterator<Item = (&str, &Self)> {
        let entries = match self.at(path).map(|it| &it.node) {
            Some(Node::Map(entries)) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|(key, value)| (key.value.as_str(), value))
    }

    /// Every value with this key, at any depth.
    pub(crate) fn find_all<'a>(&'a self, key: &str, found: &mut Vec<&'a Self>) {
        match &self.node {
            Node::Map(entries) => {
                for (known, tree) in entries {
                    if known.value == key {
                        found.push(tree);
                    }
                    tree.find_all(key, found);
                }
            }
            Node::Seq(items) => items.iter().for_each(|item| item.find_all(key, found)),
            Node::Scalar(_) => {}
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Node>::deserialize(deserializer)?;
        Ok(Self { span: spanned.referenced.into(), node: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(String::new()))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(String::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut trees = Vec::new();
        while let Some(tree) = items.next_element()? {
            trees.push(tree);
        }
        Ok(Node::Seq(trees))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut trees = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            trees.push(entry);
        }
        Ok(Node::Map(trees))
    }
}
