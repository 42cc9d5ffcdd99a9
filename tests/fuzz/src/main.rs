//! The fuzzer. `TIDEGATE_FUZZ` names the target; the arguments are libFuzzer's own.

#![no_main]

use std::process::exit;
use std::sync::LazyLock;

use tidegate_fuzz::{TARGETS, Target, target};

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TIDEGATE_FUZZ").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        #[expect(clippy::print_stderr, reason = "a program for the terminal")]
        {
            eprintln!("TIDEGATE_FUZZ must be one of: {}", names.join(" "));
        }
        exit(2)
    })
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (CHOSEN.run)(data));
