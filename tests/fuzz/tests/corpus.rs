//! Replays the corpus: inputs that reached new code, and findings.

use std::fs;
use std::path::Path;

use tidegate_fuzz::TARGETS;

#[test]
fn every_input_of_the_corpus_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in TARGETS {
        let directory = fs::read_dir(corpus.join(target.name)).unwrap();
        let mut inputs: Vec<_> = directory.map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{}: there is no corpus", target.name);
        for input in inputs {
            let bytes = fs::read(&input).unwrap();
            let ended = std::panic::catch_unwind(|| (target.run)(&bytes));
            assert!(ended.is_ok(), "{} fails on {}", target.name, input.display());
        }
    }
}
