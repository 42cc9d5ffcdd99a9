//! Which requests are evidence: those that no exclusion describes.

use tidegate_core::config::{BUCKET_HEADER, Exclusion, MAX_EXCLUSIONS, VERSION_HEADER};

use super::business::{header, text};
use crate::config::problem::{Fault, Problems};
use crate::config::raw;
use crate::config::span::Spanned;

pub(super) fn resolve(written: Option<&raw::Evidence>, problems: &mut Problems) -> Vec<Exclusion> {
    let Some(raw::Evidence { exclude }) = written else {
        return Vec::new();
    };
    let count = exclude.get().len();
    if count > MAX_EXCLUSIONS {
        problems.add(
            exclude.span(),
            format!("{count} exclusions exceed the limit"),
            format!("keep at most {MAX_EXCLUSIONS}: every request evaluates all of them"),
        );
    }
    exclude.get().iter().filter_map(|at| exclusion(at, problems)).collect()
}

fn exclusion(at: &Spanned<raw::Exclusion>, problems: &mut Problems) -> Option<Exclusion> {
    let mut parse = |written: &Spanned<String>, read: fn(&str) -> Result<String, Fault>| {
        problems.record(written.span(), read(written.get()))
    };
    match at.get() {
        raw::Exclusion { path: Some(it), prefix: None, header: None, user_agent: None } => {
            parse(it, path).map(Exclusion::Path)
        }
        raw::Exclusion { path: None, prefix: Some(it), header: None, user_agent: None } => {
            parse(it, path).map(Exclusion::Prefix)
        }
        raw::Exclusion { path: None, prefix: None, header: None, user_agent: Some(it) } => {
            parse(it, text).map(Exclusion::UserAgent)
        }
        raw::Exclusion { path: None, prefix: None, header: Some(it), user_agent: None } => {
            let of = header(it, problems)?;
            if [VERSION_HEADER, BUCKET_HEADER].contains(&of.name.as_str()) {
                problems.add(
                    it.name.span(),
                    format!("`{}` is reserved and removed from client requests", of.name),
                    "use a header that the excluded client sets",
                );
                return None;
            }
            Some(Exclusion::Header(of))
        }
        _ => {
            problems.add(
                at.span(),
                "an exclusion has exactly one of `path`, `prefix`, `header` and `user_agent`",
                "write one entry for each, such as [{path: /healthz}, {user_agent: kube-probe/}]",
            );
            None
        }
    }
}

/// Unlike that of a business metric, a `*` at the end is no wildcard.
fn path(path: &str) -> Result<String, Fault> {
    if path.starts_with('/') && !path.contains(['?', '#', '*']) {
        return text(path);
    }
    Err(Fault::new(
        format!("`{path}` is not a path"),
        "start it with `/`, without query; `path` is the complete path, `prefix` its beginning",
    ))
}
