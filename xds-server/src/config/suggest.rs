//! "Did you mean": what a mistyped name was probably meant to be.

/// Below this two words have too little in common to be the same one mistyped.
const ALIKE: f64 = 0.8;

/// The way out for an unknown name: the likeliest meant one, else all that there are.
pub(super) fn suggest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let alike = |name: &str| strsim::jaro_winkler(&unknown.to_lowercase(), &name.to_lowercase());
    let best = known
        .iter()
        .map(|name| (alike(name), *name))
        .filter(|(score, _)| *score >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match best {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "there is none yet".to_owned(),
        None => format!("there is {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_likeliest_or_lists_all() {
        let known = ["strategy", "stable", "services"];
        assert_eq!(suggest("stratgy", known), "did you mean `strategy`?");
        assert_eq!(suggest("Stable", known), "did you mean `stable`?");
        assert_eq!(suggest("zzz", known), "there is strategy, stable, services");
    }
}
