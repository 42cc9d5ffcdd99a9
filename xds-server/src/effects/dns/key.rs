//! TSIG keys. They are read at each update, so a rotated key needs no restart.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hickory_proto::dnssec::DnsSecError;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm as Algorithm;
use hickory_proto::rr::{Name, TSigner};

use crate::effects::secret::{self, SecretError};
use tidegate_delivery::model::dns::{Tsig, TsigAlgorithm};
use tidegate_delivery::model::hook::SecretRef;

/// Permitted clock difference in seconds, as RFC 8945 recommends.
const FUDGE: u16 = 300;

/// Why an update cannot be signed.
#[derive(Debug, thiserror::Error)]
pub(in crate::effects) enum KeyError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("{0} contains no TSIG key; write the key in base64, or a `key` block with a `secret`")]
    Format(SecretRef),
    #[error("`{0}` is not a valid TSIG key name")]
    Name(String),
    #[error("the TSIG key cannot sign: {0}")]
    Sign(#[from] DnsSecError),
}

/// The signer for a configured key.
pub(super) fn signer(tsig: &Tsig) -> Result<TSigner, KeyError> {
    let file = SecretRef::File(tsig.key_file.clone());
    let text = secret::read(&file)?;
    let key = decode(&text).ok_or(KeyError::Format(file))?;
    let name = Name::from_ascii(&tsig.name).map_err(|_| KeyError::Name(tsig.name.clone()))?;
    let algorithm = match tsig.algorithm {
        TsigAlgorithm::HmacSha256 => Algorithm::HmacSha256,
        TsigAlgorithm::HmacSha384 => Algorithm::HmacSha384,
        TsigAlgorithm::HmacSha512 => Algorithm::HmacSha512,
    };
    Ok(TSigner::new(key, algorithm, name, FUDGE)?)
}

/// Decodes a key in base64, or in the format of `tsig-keygen`.
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
    fn a_key_is_decoded_from_both_formats() {
        let block = "key \"tidegate.\" {\n\talgorithm hmac-sha256;\n\tsecret \"aGVsbG8=\";\n};\n";
        assert_eq!(decode(block).unwrap(), b"hello");
        assert_eq!(decode("aGVsbG8=").unwrap(), b"hello");
        for none in ["", "not base64!", "secret", "secret \"\"", "key {}"] {
            assert_eq!(decode(none), None, "{none:?}");
        }
    }
}
