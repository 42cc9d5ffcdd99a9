use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn set(rule: &Json) -> Result<FlagSet, FlagError> {
    FlagSet::from_json(&json!({
        "flags": {"f": {
            "state": "ENABLED",
            "variants": {"yes": 1, "no": 0, "true": 2, "7": 3},
            "defaultVariant": "no",
            "targeting": rule,
        }},
        "$evaluators": {
            "beta": {"in": ["beta", {"var": "groups"}]},
            "loop": {"!": {"$ref": "loop"}},
        },
    }))
}

fn variant_of(rule: &Json, context: &Json) -> (Option<String>, Reason) {
    let set = set(rule).unwrap();
    let context = JsonContext { attributes: context, unix_seconds: 1_700_000_000 };
    let evaluation = set.evaluate("f", &context).unwrap();
    (evaluation.variant.map(str::to_owned), evaluation.reason)
}

/// Whether a condition holds in a context.
fn holds(condition: Json, context: Json) -> bool {
    let rule = json!({"if": [condition, "yes", "no"]});
    let (variant, reason) = variant_of(&rule, &context);
    assert_eq!(reason, Reason::TargetingMatch);
    variant.as_deref() == Some("yes")
}

fn kind(rule: Json) -> (String, FlagErrorKind) {
    let error = set(&rule).unwrap_err();
    assert_eq!(error.flag.as_deref(), Some("f"));
    (error.path, error.kind)
}

#[test]
fn operators_follow_json_logic() {
    let context = json!({
        "age": 20, "text": "abc", "empty": "", "digits": "10", "groups": ["beta", "staff"],
        "none": null, "nested": {"list": [{"deep": true}]},
    });
    let cases = [
        (json!({"==": [{"var": "digits"}, 10]}), true),
        (json!({"===": [{"var": "digits"}, 10]}), false),
        (json!({"!=": [{"var": "text"}, "abd"]}), true),
        (json!({"!==": [1, 1]}), false),
        (json!({"==": [{"var": "absent"}, null]}), true),
        (json!({"==": [{"var": "absent"}, 0]}), false),
        (json!({"<": [{"var": "age"}, 21]}), true),
        (json!({"<": [18, {"var": "age"}, 20]}), false),
        (json!({"<=": [18, {"var": "age"}, 20]}), true),
        (json!({">": [21, {"var": "age"}, 19]}), true),
        (json!({">": ["b", {"var": "text"}]}), true),
        (json!({">=": [{"var": "text"}, 1]}), false),
        (json!({"and": [true, {"var": "age"}]}), true),
        (json!({"and": [true, {"var": "empty"}]}), false),
        (json!({"or": [{"var": "none"}, {"var": "text"}]}), true),
        (json!({"!": {"var": "empty"}}), true),
        (json!({"!!": [{"var": "groups"}]}), true),
        (json!({"in": ["staff", {"var": "groups"}]}), true),
        (json!({"in": [{"var": "text"}, ["x", "abc"]]}), true),
        (json!({"in": [{"var": "text"}, ["x", {"cat": ["a", "bc"]}]]}), true),
        (json!({"in": ["b", {"var": "text"}]}), true),
        (json!({"in": [20, "20"]}), false),
        (json!({"starts_with": [{"var": "text"}, "ab"]}), true),
        (json!({"ends_with": [{"var": "text"}, "ab"]}), false),
        (json!({"ends_with": [{"var": "age"}, "0"]}), false),
        (json!({"==": [{"cat": ["a", 1, true, {"var": "none"}]}, "a1true"]}), true),
        (json!({"var": "nested.list.0.deep"}), true),
        (json!({"==": [{"var": ["absent", "x"]}, "x"]}), true),
        (json!({"sem_ver": ["1.4.0", ">", "1.10.0"]}), false),
        (json!({"$ref": "beta"}), true),
        (json!({"==": [{"var": "$flagd.flagKey"}, "f"]}), true),
        (json!({">": [{"var": "$flagd.timestamp"}, 1_699_999_999]}), true),
    ];
    for (condition, expected) in cases {
        assert_eq!(holds(condition.clone(), context.clone()), expected, "{condition}");
    }
}

#[test]
fn a_key_with_dots_takes_precedence_over_a_path() {
    let condition = json!({"==": [{"var": "a.b"}, 1]});
    assert!(holds(condition.clone(), json!({"a.b": 1, "a": {"b": 2}})));
    assert!(holds(condition, json!({"a": {"b": 1}})));
}

#[test]
fn reasons_follow_openfeature() {
    let none = json!({});
    let resolve = |rule| variant_of(&rule, &none);
    let named = |name: &str, reason| (Some(name.to_owned()), reason);
    assert_eq!(resolve(json!({})), named("no", Reason::Static));
    assert_eq!(resolve(json!({"if": [true, "yes"]})), named("yes", Reason::TargetingMatch));
    assert_eq!(resolve(json!({"if": [false, "yes"]})), named("no", Reason::Default));
    assert_eq!(resolve(json!({"==": [1, 1]})), named("true", Reason::TargetingMatch));
    assert_eq!(resolve(json!({"if": [true, 7]})), named("7", Reason::TargetingMatch));
    assert_eq!(resolve(json!({"if": [true, "maybe"]})), (None, Reason::Error));
    assert_eq!(resolve(json!({"if": [true, ["yes"]]})), (None, Reason::Error));
    assert_eq!(
        resolve(json!({"fractional": ["user", ["yes", 1], ["no", 0]]})),
        named("yes", Reason::Split)
    );
    // Without a key to hash, `fractional` is null.
    assert_eq!(resolve(json!({"fractional": [["yes"], ["no"]]})), named("no", Reason::Default));
    assert_eq!(resolve(json!({"fractional": [7, ["yes"], ["no"]]})), named("no", Reason::Default));
}

#[test]
fn disabled_flags_and_flags_without_default_have_no_value() {
    let set = FlagSet::parse(
        r#"{"metadata": {"owner": "a", "team": "t"}, "flags": {
            "off": {"state": "DISABLED", "variants": {"x": 1}, "defaultVariant": "x"},
            "bare": {"variants": {"x": 1}, "metadata": {"owner": "b"}, "future": []}
        }, "future": 1}"#,
    )
    .unwrap();
    let context = JsonContext { attributes: &json!(null), unix_seconds: 0 };
    let off = set.evaluate("off", &context).unwrap();
    assert_eq!((off.value, off.reason), (None, Reason::Disabled));
    let bare = set.evaluate("bare", &context).unwrap();
    assert_eq!((bare.value, bare.reason), (None, Reason::Static));
    assert_eq!(bare.metadata["owner"], "b");
    assert_eq!(bare.metadata["team"], "t");
    assert_eq!(set.evaluate("absent", &context), None);
}

#[test]
fn errors_carry_kind_and_location() {
    let (path, found) = kind(json!({"if": [{"==": [{"vra": "x"}, 1]}, "yes"]}));
    assert_eq!(path, "flags.f.targeting.if[0].==[0].vra");
    assert!(matches!(found, FlagErrorKind::Operator { operator, .. } if operator == "vra"));

    let (path, found) = kind(json!({"if": [{"in": [1, 2], "or": []}]}));
    assert_eq!((path.as_str(), found), ("flags.f.targeting.if[0]", FlagErrorKind::RuleShape(2)));

    let (path, found) = kind(json!({"fractional": [["yes", 1], ["no", 0.5]]}));
    assert_eq!((path.as_str(), found), ("flags.f.targeting.fractional[1]", FlagErrorKind::Weights));

    assert!(matches!(kind(json!({"fractional": [["yes", 0]]})).1, FlagErrorKind::Weights));
    assert!(matches!(kind(json!({"fractional": [["yes", -1]]})).1, FlagErrorKind::Weights));
    assert!(matches!(
        kind(json!({"fractional": [["yes", 2_147_483_647], ["no", 2_147_483_647]]})).1,
        FlagErrorKind::Weights
    ));
    assert!(matches!(kind(json!({"fractional": []})).1, FlagErrorKind::Weights));
    assert!(matches!(kind(json!({"==": [1]})).1, FlagErrorKind::Arguments { found: 1, .. }));
    assert!(matches!(kind(json!({"var": ""})).1, FlagErrorKind::Attribute(_)));
    assert!(matches!(kind(json!({"var": 1})).1, FlagErrorKind::Attribute(_)));
    assert!(matches!(kind(json!({"$ref": "nope"})).1, FlagErrorKind::Reference(_)));
    assert!(matches!(kind(json!({"$ref": "loop"})).1, FlagErrorKind::TooDeep { .. }));
    assert!(matches!(kind(json!({"if": [[{"var": "x"}]]})).1, FlagErrorKind::ComputedList));
    assert!(matches!(
        kind(json!({"sem_ver": [{"var": "v"}, "=~", "1.0.0"]})).1,
        FlagErrorKind::VersionOperator(_)
    ));
    assert!(matches!(
        kind(json!({"sem_ver": [{"var": "v"}, "=", "one"]})).1,
        FlagErrorKind::Version(_)
    ));
}

#[test]
fn definitions_must_be_complete() {
    let error = |text: &str| {
        let error = FlagSet::parse(text).unwrap_err();
        (error.path, error.kind)
    };
    assert!(matches!(error("{"), (_, FlagErrorKind::Json(_))));
    assert!(matches!(error("[]"), (path, FlagErrorKind::Type { .. }) if path == "$"));
    assert!(matches!(error("{}"), (path, FlagErrorKind::Missing(_)) if path == "flags"));
    assert!(matches!(
        error(r#"{"flags": {"f": {"state": "ENABLED"}}}"#),
        (path, FlagErrorKind::Missing(_)) if path == "flags.f.variants"
    ));
    assert!(matches!(
        error(r#"{"flags": {"f": {"variants": {}}}}"#),
        (path, FlagErrorKind::Missing(_)) if path == "flags.f.variants"
    ));
    assert!(matches!(
        error(r#"{"flags": {"f": {"state": "ON", "variants": {"a": 1}}}}"#),
        (path, FlagErrorKind::State(_)) if path == "flags.f.state"
    ));
    assert!(matches!(
        error(r#"{"flags": {"f": {"variants": {"a": 1}, "defaultVariant": "b"}}}"#),
        (path, FlagErrorKind::UnknownVariant(_)) if path == "flags.f.defaultVariant"
    ));
    assert!(matches!(error(&" ".repeat(1 << 21)), (_, FlagErrorKind::TooLarge { .. })));
    assert_eq!(FlagSet::parse("null").unwrap(), FlagSet::default());
}

#[test]
fn definitions_are_bounded() {
    let nested = |levels| (0..levels).fold(json!(true), |rule, _| json!({"!": rule}));
    assert!(set(&nested(32)).is_ok());
    assert!(matches!(kind(nested(33)).1, FlagErrorKind::TooDeep { limit: 32 }));

    let wide = json!({"or": vec![json!(1); 10_001]});
    assert!(matches!(kind(wide).1, FlagErrorKind::TooManyNodes { .. }));

    // References that double at each level expand exponentially.
    let mut evaluators = serde_json::Map::new();
    evaluators.insert("e0".into(), json!(true));
    for level in 1..25 {
        let below = json!({"$ref": format!("e{}", level - 1)});
        evaluators.insert(format!("e{level}"), json!({"and": [below, below]}));
    }
    let bomb = json!({"$evaluators": evaluators, "flags": {
        "f": {"variants": {"a": 1}, "targeting": {"$ref": "e24"}},
    }});
    let error = FlagSet::from_json(&bomb).unwrap_err();
    assert!(matches!(
        error.kind,
        FlagErrorKind::TooManyNodes { .. } | FlagErrorKind::TooDeep { .. }
    ));

    // Many references to a large list.
    let list: Vec<_> = (0..10_000).map(|n| json!(n)).collect();
    let bomb = json!({
        "$evaluators": {"big": {"in": [{"var": "x"}, list]}},
        "flags": {"f": {
            "variants": {"a": 1},
            "targeting": {"or": vec![json!({"$ref": "big"}); 1000]},
        }},
    });
    let error = FlagSet::from_json(&bomb).unwrap_err();
    assert!(matches!(error.kind, FlagErrorKind::TooLarge { .. }), "{error}");

    let flags: serde_json::Map<_, _> =
        (0..1001).map(|n| (format!("f{n}"), json!({"variants": {"a": 1}}))).collect();
    let error = FlagSet::from_json(&json!({ "flags": flags })).unwrap_err();
    assert!(matches!(error.kind, FlagErrorKind::TooManyFlags { .. }));
}

#[test]
fn attributes_are_numbered_once_across_flags() {
    let set = FlagSet::from_json(&json!({"flags": {
        "a": {"variants": {"x": 1}, "targeting": {"and": [{"var": "p"}, {"var": "q"}]}},
        "b": {"variants": {"x": 1}, "targeting": {"and": [{"var": "q"}, {"var": "p"}]}},
    }}))
    .unwrap();
    let names: Vec<_> = set.attributes().iter().map(AttributePath::as_str).collect();
    assert_eq!(names, ["p", "q"]);
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[a-z.$]{0,6}".prop_map(Json::from),
    ];
    let operator = prop::sample::select(
        [
            "var",
            "if",
            "and",
            "or",
            "!",
            "!!",
            "==",
            "===",
            "<",
            ">=",
            "in",
            "cat",
            "starts_with",
            "sem_ver",
            "fractional",
            "$ref",
        ]
        .as_slice(),
    );
    leaf.prop_recursive(6, 64, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            (operator.clone(), inner).prop_map(|(key, value)| json!({ key: value })),
        ]
    })
}

proptest! {
    /// Arbitrary rules and contexts end in an error or a value, never in a panic.
    #[test]
    fn arbitrary_rules_and_contexts_do_not_panic(rule in any_json(), context in any_json()) {
        if let Ok(set) = set(&rule) {
            let context = JsonContext { attributes: &context, unix_seconds: 0 };
            prop_assert!(set.evaluate("f", &context).is_some());
        }
    }

    #[test]
    fn fractional_shares_match_their_weights(weights in prop::collection::vec(0_u32..100, 1..6)) {
        prop_assume!(weights.iter().sum::<u32>() > 0);
        let variants: serde_json::Map<_, _> =
            (0..weights.len()).map(|n| (n.to_string(), json!(n))).collect();
        let shares: Vec<_> =
            weights.iter().enumerate().map(|(n, w)| json!([n.to_string(), w])).collect();
        let set = FlagSet::from_json(&json!({"flags": {"f": {
            "variants": variants, "targeting": {"fractional": shares},
        }}})).unwrap();
        let users = 3000_usize;
        let mut counts = vec![0_usize; weights.len()];
        for user in 0..users {
            let context = json!({"targetingKey": format!("u{user}")});
            let context = JsonContext { attributes: &context, unix_seconds: 0 };
            let value = set.evaluate("f", &context).unwrap().value.unwrap();
            counts[usize::try_from(value.as_u64().unwrap()).unwrap()] += 1;
        }
        let total: u32 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(&weights) {
            let expected = f64::from(*weight) / f64::from(total) * users as f64;
            // Six standard deviations of a fair coin over 3000 users.
            prop_assert!((*count as f64 - expected).abs() < 165.0, "{count} {expected}");
            prop_assert!(*weight > 0 || *count == 0);
        }
    }
}
