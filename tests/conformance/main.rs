//! The xDS checklist: each line names existing tests, or the reason why there is none.
#![cfg(test)]

mod sources;
mod table;

use sources::Sources;
use table::{Coverage, LINES};

#[test]
fn every_line_has_tests_or_a_reason() {
    let sources = Sources::read().unwrap();
    let mut wrong = Vec::new();
    for (number, (requirement, coverage)) in (1..).zip(LINES) {
        println!("{number:>2}  {requirement}");
        match coverage {
            Coverage::Tests([]) => wrong.push(format!("line {number} names no test")),
            Coverage::Tests(tests) => {
                for test in tests {
                    println!("      {test}");
                    wrong.extend(sources.check(test).err());
                }
            }
            Coverage::NotTested(reason) => println!("      not tested: {reason}"),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A name in the table must be a test that runs.
#[test]
fn missing_and_ignored_tests_are_errors() {
    let text = "
        #[test]
        fn runs() {}

        both! {
            /// In both variants.
            fn runs_twice<C: ClientOps>() {}
        }

        #[tokio::test]
        #[ignore = \"why\"]
        async fn is_ignored() {}

        fn helps() {}
    ";
    let sources = Sources::of("xds-server/src/xds/serve/tests.rs", text);
    for test in ["serve/tests::runs", "serve/tests::runs_twice"] {
        sources.check(test).unwrap();
    }
    for test in [
        "serve/tests::run",
        "serve/tests::is_ignored",
        "serve/tests::helps",
        "serve/test::runs",
        "erve/tests::runs",
        "runs",
    ] {
        sources.check(test).unwrap_err();
    }
}
