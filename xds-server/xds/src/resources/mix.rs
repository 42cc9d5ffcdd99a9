//! What a client may have until it is ready for all of a new resource: some parts of it, and some of what it has.
//!
//! Parts that lay claim to the same thing, as virtual hosts do to a domain, go together: taken one by one, a domain
//! that moves between two of them would be twice in the mix, which Envoy refuses as a whole, or in none. So all parts,
//! old and new, that share a name or a claim make one group, and of each group the client has either the new or the
//! old. Whatever is claimed, is then claimed once.

use std::collections::BTreeMap;

use super::part::Part;
use super::resource::Name;

/// The parts to have, ascending by name.
pub(super) fn mix<'a>(
    new: &'a [Part],
    old: &'a [Part],
    ready: impl Fn(&Part) -> bool,
) -> Vec<&'a Part> {
    let mut groups = Groups::default();
    for part in new.iter().chain(old) {
        groups.join(part);
    }
    let mut held_back: BTreeMap<usize, bool> = BTreeMap::new();
    for part in new {
        *held_back.entry(groups.of(part)).or_default() |= !ready(part);
    }
    let waits = |part: &Part| held_back.get(&groups.of(part)).copied().unwrap_or_default();
    // A group of old parts alone has gone.
    let mut chosen: Vec<_> = new.iter().filter(|part| !waits(part)).collect();
    chosen.extend(old.iter().filter(|part| waits(part)));
    chosen.sort_by_key(|part| part.name());
    chosen
}

/// What parts have in common: disjoint sets of names and claims.
#[derive(Default)]
struct Groups<'a> {
    /// A part's name, or what it claims, with its place in `leaders`.
    known: BTreeMap<(Common, &'a Name), usize>,
    /// Each leads to another of its group, and the last to itself.
    leaders: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Common {
    Name,
    Claim,
}

impl<'a> Groups<'a> {
    fn join(&mut self, part: &'a Part) {
        let own = self.place((Common::Name, part.name()));
        for claim in part.claims() {
            let other = self.place((Common::Claim, claim));
            let (own, other) = (self.leader(own), self.leader(other));
            if let Some(leads) = self.leaders.get_mut(other) {
                *leads = own;
            }
        }
    }

    fn of(&self, part: &Part) -> usize {
        // Every part was joined before.
        self.known.get(&(Common::Name, part.name())).map_or(0, |&place| self.leader(place))
    }

    fn place(&mut self, what: (Common, &'a Name)) -> usize {
        let next = self.leaders.len();
        let place = *self.known.entry(what).or_insert(next);
        if place == next {
            self.leaders.push(next);
        }
        place
    }

    fn leader(&self, mut place: usize) -> usize {
        while let Some(&leads) = self.leaders.get(place).filter(|leads| **leads != place) {
            place = leads;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_proto::envoy::google::protobuf::StringValue;

    use super::*;

    fn part(name: &str, generation: &str, claims: &[&str]) -> Part {
        let value = StringValue { value: generation.to_owned() };
        let claims = claims.iter().map(|&it| it.into()).collect();
        Part::encode(name, &value, Vec::new()).claiming(claims)
    }

    fn shown(parts: &[&Part], new: &[Part]) -> Vec<(String, bool)> {
        let is_new = |part: &&Part| new.iter().any(|it| std::ptr::eq(it, *part));
        parts.iter().map(|part| (part.name().to_string(), is_new(part))).collect()
    }

    fn named(part: &Part, name: &str) -> bool {
        &**part.name() == name
    }

    #[test]
    fn a_claim_that_moves_is_neither_lost_nor_had_twice() {
        let old = [part("order", "1", &["o", "x"]), part("user", "1", &["u"])];
        let new =
            [part("order", "2", &["o"]), part("shop", "2", &["x"]), part("user", "2", &["u"])];
        let until_shop = mix(&new, &old, |it| !named(it, "shop"));
        assert_eq!(shown(&until_shop, &new), [("order".into(), false), ("user".into(), true)]);
        let until_order = mix(&new, &old, |it| !named(it, "order"));
        assert_eq!(shown(&until_order, &new), [("order".into(), false), ("user".into(), true)]);
        let until_user = mix(&new, &old, |it| !named(it, "user"));
        let wanted = [("order".into(), true), ("shop".into(), true), ("user".into(), false)];
        assert_eq!(shown(&until_user, &new), wanted);
    }

    #[test]
    fn what_is_renamed_keeps_its_place_and_what_is_gone_goes() {
        let old = [part("gone", "1", &["g"]), part("order", "1", &["o"])];
        let new = [part("other", "2", &["n"]), part("shop", "2", &["o"])];
        assert_eq!(shown(&mix(&new, &old, |_| false), &new), [("order".into(), false)]);
    }

    fn parts(generation: &'static str) -> impl Strategy<Value = Vec<Part>> {
        // Each claim is one part's, as each domain is one service's.
        prop::collection::vec(0..5usize, 6).prop_map(move |owners| {
            let claims = ["a", "b", "c", "d", "e", "f"];
            let of = |owner| {
                let own: Vec<_> = claims
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
        fn every_claim_of_both_is_had_once(old in parts("1"), new in parts("2"), ready in any::<[bool; 5]>()) {
            let is_ready = |it: &Part| ready[it.name()[5..].parse::<usize>().unwrap()];
            let mixed = mix(&new, &old, is_ready);
            let mut claims: Vec<_> = mixed.iter().flat_map(|it| it.claims()).collect();
            claims.sort();
            // Both generations claim all there is.
            prop_assert_eq!(claims.len(), 6);
            claims.dedup();
            prop_assert_eq!(claims.len(), 6);
            prop_assert!(mixed.iter().all(|it| !new.iter().any(|new| std::ptr::eq(new, *it)) || is_ready(it)));
            if ready.iter().all(|it| *it) {
                prop_assert_eq!(mixed.len(), new.len());
            }
        }
    }
}
