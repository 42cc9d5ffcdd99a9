//! Selects the parts of a resource that a client receives until all references of a new version are ready: some new parts,
//! and the old version of the others.
//!
//! Parts that share a domain are selected together. If a domain moves between two virtual hosts and these were selected one
//! by one, the domain would occur twice, for which Envoy rejects the whole route configuration, or not at all. So all parts,
//! old and new, that share a name or a domain form a group, and of each group the client receives either the new or the old
//! parts. Each domain then occurs once.

use std::collections::BTreeMap;

use super::part::Part;
use super::resource::Name;

/// The selected parts, ascending by name.
pub(super) fn select_parts<'a>(
    new: &'a [Part],
    old: &'a [Part],
    is_ready: impl Fn(&Part) -> bool,
) -> Vec<&'a Part> {
    let mut groups = Groups::default();
    for part in new.iter().chain(old) {
        groups.add(part);
    }
    let mut blocked: BTreeMap<usize, bool> = BTreeMap::new();
    for part in new {
        *blocked.entry(groups.group_of(part)).or_default() |= !is_ready(part);
    }
    let is_blocked = |part: &Part| blocked.get(&groups.group_of(part)).copied().unwrap_or_default();
    // A group without new parts was removed.
    let mut selected: Vec<_> = new.iter().filter(|part| !is_blocked(part)).collect();
    selected.extend(old.iter().filter(|part| is_blocked(part)));
    selected.sort_by_key(|part| part.name());
    selected
}

/// Disjoint sets (union-find) of part names and domains.
#[derive(Default)]
struct Groups<'a> {
    /// The index in `parents` of each name and domain.
    indexes: BTreeMap<(Key, &'a Name), usize>,
    /// The parent of each element; the root of a group is its own parent.
    parents: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Name,
    Domain,
}

impl<'a> Groups<'a> {
    fn add(&mut self, part: &'a Part) {
        let own = self.index((Key::Name, part.name()));
        for domain in part.domains() {
            let other = self.index((Key::Domain, domain));
            let (own, other) = (self.root(own), self.root(other));
            if let Some(parent) = self.parents.get_mut(other) {
                *parent = own;
            }
        }
    }

    /// The group of a part that was added.
    fn group_of(&self, part: &Part) -> usize {
        self.indexes.get(&(Key::Name, part.name())).map_or(0, |&index| self.root(index))
    }

    fn index(&mut self, key: (Key, &'a Name)) -> usize {
        let next = self.parents.len();
        let index = *self.indexes.entry(key).or_insert(next);
        if index == next {
            self.parents.push(next);
        }
        index
    }

    fn root(&self, mut index: usize) -> usize {
        while let Some(&parent) = self.parents.get(index).filter(|parent| **parent != index) {
            index = parent;
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_proto::envoy::google::protobuf::StringValue;

    use super::*;

    fn part(name: &str, generation: &str, domains: &[&str]) -> Part {
        let value = StringValue { value: generation.to_owned() };
        let domains = domains.iter().map(|&it| it.into()).collect();
        Part::encode(name, &value, Vec::new()).with_domains(domains)
    }

    fn shown(parts: &[&Part], new: &[Part]) -> Vec<(String, bool)> {
        let is_new = |part: &&Part| new.iter().any(|it| std::ptr::eq(it, *part));
        parts.iter().map(|part| (part.name().to_string(), is_new(part))).collect()
    }

    fn named(part: &Part, name: &str) -> bool {
        &**part.name() == name
    }

    #[test]
    fn a_domain_that_moves_occurs_once() {
        let old = [part("order", "1", &["o", "x"]), part("user", "1", &["u"])];
        let new =
            [part("order", "2", &["o"]), part("shop", "2", &["x"]), part("user", "2", &["u"])];
        let until_shop = select_parts(&new, &old, |it| !named(it, "shop"));
        assert_eq!(shown(&until_shop, &new), [("order".into(), false), ("user".into(), true)]);
        let until_order = select_parts(&new, &old, |it| !named(it, "order"));
        assert_eq!(shown(&until_order, &new), [("order".into(), false), ("user".into(), true)]);
        let until_user = select_parts(&new, &old, |it| !named(it, "user"));
        let wanted = [("order".into(), true), ("shop".into(), true), ("user".into(), false)];
        assert_eq!(shown(&until_user, &new), wanted);
    }

    #[test]
    fn a_renamed_part_is_kept_and_a_removed_one_is_not() {
        let old = [part("gone", "1", &["g"]), part("order", "1", &["o"])];
        let new = [part("other", "2", &["n"]), part("shop", "2", &["o"])];
        assert_eq!(shown(&select_parts(&new, &old, |_| false), &new), [("order".into(), false)]);
    }

    fn parts(generation: &'static str) -> impl Strategy<Value = Vec<Part>> {
        // Each domain belongs to one part.
        prop::collection::vec(0..5usize, 6).prop_map(move |owners| {
            let domains = ["a", "b", "c", "d", "e", "f"];
            let of = |owner| {
                let own: Vec<_> = domains
                    .iter()
                    .zip(&owners)
                    .filter(|it| *it.1 == owner)
                    .map(|it| *it.0)
                    .collect();
                (!own.is_empty()).then(|| part(&format!("part-{owner}"), generation, &own))
            };
            (0..5).filter_map(of).collect()
        })
    }

    proptest! {
        #[test]
        fn every_domain_occurs_once(old in parts("1"), new in parts("2"), ready in any::<[bool; 5]>()) {
            let is_ready = |it: &Part| ready[it.name()[5..].parse::<usize>().unwrap()];
            let mixed = select_parts(&new, &old, is_ready);
            let mut domains: Vec<_> = mixed.iter().flat_map(|it| it.domains()).collect();
            domains.sort();
            // Both generations contain all domains.
            prop_assert_eq!(domains.len(), 6);
            domains.dedup();
            prop_assert_eq!(domains.len(), 6);
            prop_assert!(mixed.iter().all(|it| !new.iter().any(|new| std::ptr::eq(new, *it)) || is_ready(it)));
            if ready.iter().all(|it| *it) {
                prop_assert_eq!(mixed.len(), new.len());
            }
        }
    }
}
