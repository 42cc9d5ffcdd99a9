//! The ports and the authentication of sidecars.

use std::path::Path;

use super::text;
use crate::config::problem::Problems;
use crate::config::span::Spanned;
use crate::config::{Listen, Security, raw, units};
use crate::transport::tls::TlsFiles;

/// Default of `listen.xds`.
const XDS: &str = "127.0.0.1:18000";
/// Default of `listen.api`.
const API: &str = "127.0.0.1:8080";

/// The two ports. Paths are relative to `base`.
pub(super) fn resolve(
    raw: Option<&raw::Listen>,
    base: &Path,
    problems: &mut Problems,
) -> Option<Listen> {
    let mut address = |written: Option<&Spanned<String>>, default: &str| match written {
        Some(at) => problems.record(at.span(), units::address(at.get())),
        None => units::address(default).ok(),
    };
    let xds = address(raw.and_then(|raw| raw.xds.as_ref()), XDS);
    let api = address(raw.and_then(|raw| raw.api.as_ref()), API);
    let security = security(raw, base, problems);
    let (xds, api, security) = (xds?, api?, security?);
    let span = raw.and_then(|raw| raw.api.as_ref().or(raw.xds.as_ref()));
    if let Some(at) = span
        && xds == api
        && xds.port() != 0
    {
        problems.add(
            at.span(),
            format!("xds and api both listen on {xds}"),
            "write two different ports",
        );
    }
    if let Some(at) = raw.and_then(|raw| raw.xds.as_ref())
        && security == Security::Plaintext
        && !xds.ip().is_loopback()
        && !raw.and_then(|raw| raw.insecure_plaintext.as_ref()).is_some_and(|at| *at.get())
    {
        problems.add(
            at.span(),
            format!("{xds} is not a loopback address and has no authentication"),
            "add `tls: {cert, key, client_ca}`, or write `insecure_plaintext: true` beside it",
        );
    }
    Some(Listen { xds, security, api })
}

fn security(raw: Option<&raw::Listen>, base: &Path, problems: &mut Problems) -> Option<Security> {
    let Some((raw, at)) = raw.and_then(|raw| Some((raw, raw.tls.as_ref()?))) else {
        return Some(Security::Plaintext);
    };
    if let Some(insecure) = raw.insecure_plaintext.as_ref().filter(|at| *at.get()) {
        problems.add(
            insecure.span(),
            "`insecure_plaintext` and `tls` exclude each other",
            "remove one of the two",
        );
    }
    let tls = at.get();
    let mut file = |what: &str, at: &Spanned<String>| {
        problems.record(at.span(), text(what, at)).map(|path| base.join(path))
    };
    let cert = file("the path of the server certificate", &tls.cert);
    let key = file("the path of the private key", &tls.key);
    let client_ca = file("the path of the client CA", &tls.client_ca);
    Some(Security::MutualTls(TlsFiles { cert: cert?, key: key?, client_ca: client_ca? }))
}
