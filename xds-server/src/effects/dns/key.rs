//! TSIG keys, read where they are used.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hickory_proto::dnssec::DnsSecError;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm as Algorithm;
use hickory_proto::rr::{Name, TSigner};

use crate::effects::secret::{self, SecretError};
use tidegate_delivery::model::dns::{Tsig, TsigAlgorithm};
use tidegate_delivery::model::hook::SecretRef;

/// By how many seconds the server's clock may differ: what RFC 8945 recommends.
const FUDGE: u16 = 300;

/// Why updates cannot be signed.
#[derive(Debug, thiserror::Error)]
pub(in crate::effects) enum KeyError {
    /// No key there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Something else there.
    #[error("{0} holds no TSIG key: it must be base64 alone, or a `key` block with a `secret`")]
    Form(SecretRef),
    /// No name.
    #[error("`{0}` cannot be a key's name")]
    Name(String),
    /// A way to sign that there is not.
    #[error("the key cannot sign: {0}")]
    Sign(#[from] DnsSecError),
}

/// Who signs with that key.
pub(super) fn signer(tsig: &Tsig) -> Result<TSigner, KeyError> {
    let file = SecretRef::File(tsig.key_file.clone());
    let text = secret::read(&file)?;
    let key = decode(&text).ok_or(KeyError::Form(file))?;
    let name = Name::from_ascii(&tsig.name).map_err(|_| KeyError::Name(tsig.name.clone()))?;
    let algorithm = match tsig.algorithm {
        TsigAlgorithm::HmacSha256 => Algorithm::HmacSha256,
        TsigAlgorithm::HmacSha384 => Algorithm::HmacSha384,
        TsigAlgorithm::HmacSha512 => Algorithm::HmacSha512,
    };
    Ok(TSigner::new(key, algorithm, name, FUDGE)?)
}

/// The key in base64 alone, or in what `tsig-keygen` writes.
fn decode(text: &str) -> Option<Vec<u8>> {
    let base64 = match text.split_once("secret") {
        Some((_, rest)) => rest.trim_start().strip_prefix('"')?.split('"').next()?,
        None => text,
    };
    BASE64_STANDARD.decode(base64.trim()).ok().filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_in_both_forms() {
        let block = "key \"tidegate.\" {\n\talgorithm hmac-sha256;\n\tsecret \"aGVsbG8=\";\n};\n";
        assert_eq!(decode(block).unwrap(), b"hello");
        assert_eq!(decode("aGVsbG8=").unwrap(), b"hello");
        for none in ["", "not base64!", "secret", "secret \"\"", "key {}"] {
            assert_eq!(decode(none), None, "{none:?}");
        }
    }
}
