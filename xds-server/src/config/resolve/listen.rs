//! Where the control plane listens, and how it knows who is there.

use std::path::Path;

use super::text;
use crate::config::place::At;
use crate::config::problem::Problems;
use crate::config::{Listen, Security, raw, units};
use crate::transport::tls::TlsFiles;

/// Where xDS and reports are served unless the file says otherwise.
const XDS: &str = "127.0.0.1:18000";
/// Where REST and metrics are served unless the file says otherwise.
const API: &str = "127.0.0.1:8080";

/// The two ports. Paths are relative to `base`.
pub(super) fn resolve(
    raw: Option<&raw::Listen>,
    base: &Path,
    problems: &mut Problems,
) -> Option<Listen> {
    let mut address = |written: Option<&At<String>>, default: &str| match written {
        Some(at) => problems.take(at.place(), units::address(at.get())),
        None => units::address(default).ok(),
    };
    let xds = address(raw.and_then(|raw| raw.xds.as_ref()), XDS);
    let api = address(raw.and_then(|raw| raw.api.as_ref()), API);
    let security = security(raw, base, problems);
    let (xds, api, security) = (xds?, api?, security?);
    let place = raw.and_then(|raw| raw.api.as_ref().or(raw.xds.as_ref()));
    if let Some(at) = place
        && xds == api
        && xds.port() != 0
    {
        problems.add(
            at.place(),
            format!("xds and api both listen on {xds}"),
            "give each a port of its own",
        );
    }
    if let Some(at) = raw.and_then(|raw| raw.xds.as_ref())
        && security == Security::Plaintext
        && !xds.ip().is_loopback()
        && !raw.and_then(|raw| raw.insecure_plaintext.as_ref()).is_some_and(|at| *at.get())
    {
        problems.add(
            at.place(),
            format!("others can reach {xds}, and nothing says who they are"),
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
            insecure.place(),
            "`insecure_plaintext` and `tls` exclude each other",
            "keep one of the two",
        );
    }
    let tls = at.get();
    let mut file = |what: &str, at: &At<String>| {
        problems.take(at.place(), text(what, at)).map(|path| base.join(path))
    };
    let cert = file("the server's certificate", &tls.cert);
    let key = file("the server's key", &tls.key);
    let client_ca = file("the clients' CA", &tls.client_ca);
    Some(Security::MutualTls(TlsFiles { cert: cert?, key: key?, client_ca: client_ca? }))
}
