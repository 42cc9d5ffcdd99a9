//! The project's xDS checklist: each line is shown by tests that exist, or says why it is not.
#![cfg(test)]

mod sources;
mod table;

use sources::Sources;
use table::{LINES, Shown};

#[test]
fn every_line_is_shown_or_says_why_not() {
    let sources = Sources::read().unwrap();
    let mut wrong = Vec::new();
    for (number, (what, shown)) in (1..).zip(LINES) {
        println!("{number:>2}  {what}");
        match shown {
            Shown::By([]) => wrong.push(format!("line {number} names no test")),
            Shown::By(tests) => {
                for test in tests {
                    println!("      {test}");
                    wrong.extend(sources.check(test).err());
                }
            }
            Shown::Not(reason) => println!("      not tested: {reason}"),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The table is worth what this is.
#[test]
fn tests_that_do_not_exist_or_do_not_run_are_found() {
    let text = "
        #[test]
        fn runs() {}

        both! {
            /// In both dialects.
            fn runs_twice<C: Speak>() {}
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
