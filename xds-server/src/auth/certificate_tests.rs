//! Identities of valid and invalid certificates.

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyUsagePurpose, SanType};
use spiffe::SpiffeIdError;

use super::identity::{IdentityError, WorkloadId, WorkloadIdError};
use crate::transport::tests::ca::{Ca, named, uri};

const SHOP: &str = "spiffe://example.org/ns/shop/web";

fn read(params: &CertificateParams) -> Result<WorkloadId, IdentityError> {
    WorkloadId::of_certificate(&Ca::new().sign(params).der)
}

#[test]
fn the_only_uri_is_the_identity_beside_other_names() {
    let dns = || SanType::DnsName("web.example.org".try_into().unwrap());
    for names in [vec![uri(SHOP)], vec![dns(), uri(SHOP)], vec![uri(SHOP), dns()]] {
        assert_eq!(read(&named(names)).unwrap().to_string(), SHOP);
    }
}

#[test]
fn a_certificate_without_a_uri_or_with_two_has_no_identity() {
    assert_eq!(read(&named([])).unwrap_err(), IdentityError::UriCount(0));
    let two = named([uri(SHOP), uri("spiffe://example.org/ns/shop/admin")]);
    assert_eq!(read(&two).unwrap_err(), IdentityError::UriCount(2));
    let other = named([uri(SHOP), uri("https://example.org/")]);
    assert_eq!(
        read(&other).unwrap_err(),
        IdentityError::UriCount(2),
        "also if the second is not a SPIFFE ID"
    );
}

#[test]
fn a_uri_that_is_not_a_workload_id_is_no_identity() {
    let spiffe = WorkloadIdError::Spiffe;
    for (text, expected) in [
        ("https://example.org/ns/shop", spiffe(SpiffeIdError::WrongScheme)),
        (
            "SPIFFE://example.org/ns/shop",
            WorkloadIdError::NotCanonical("spiffe://example.org/ns/shop".to_owned()),
        ),
        (
            "spiffe://Example.org/ns/shop",
            WorkloadIdError::NotCanonical("spiffe://example.org/ns/shop".to_owned()),
        ),
        ("spiffe://example.org", WorkloadIdError::NoPath),
        ("spiffe://example.org/", spiffe(SpiffeIdError::TrailingSlash)),
        ("spiffe://example.org/ns//shop", spiffe(SpiffeIdError::EmptySegment)),
        ("spiffe://example.org/ns/../shop", spiffe(SpiffeIdError::DotSegment)),
        ("spiffe://example.org/ns/shop?x", spiffe(SpiffeIdError::BadPathSegmentChar)),
        ("spiffe://example.org/ns/shop#x", spiffe(SpiffeIdError::BadPathSegmentChar)),
        ("spiffe://example.org/ns%2fshop", spiffe(SpiffeIdError::BadPathSegmentChar)),
        ("spiffe://example.org:80/ns/shop", spiffe(SpiffeIdError::BadTrustDomainChar)),
        ("spiffe://user@example.org/ns/shop", spiffe(SpiffeIdError::BadTrustDomainChar)),
        ("spiffe:///ns/shop", spiffe(SpiffeIdError::MissingTrustDomain)),
    ] {
        let error = read(&named([uri(text)])).unwrap_err();
        assert_eq!(error, IdentityError::WorkloadId(expected), "{text}");
    }
    let domain = "x".repeat(256);
    let long = read(&named([uri(&format!("spiffe://{domain}/ns"))])).unwrap_err();
    let expected = spiffe(SpiffeIdError::TrustDomainTooLong { max: 255 });
    assert_eq!(long, IdentityError::WorkloadId(expected));
    let long = format!("spiffe://example.org/{}", "x".repeat(2048));
    let error = read(&named([uri(&long)])).unwrap_err();
    assert_eq!(error, IdentityError::WorkloadId(WorkloadIdError::TooLong));
}

#[test]
fn a_signing_certificate_has_no_identity() {
    let mut ca = named([uri(SHOP)]);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(read(&ca).unwrap_err(), IdentityError::SigningCertificate);
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let mut signer = named([uri(SHOP)]);
        signer.key_usages = vec![usage];
        assert_eq!(read(&signer).unwrap_err(), IdentityError::SigningCertificate);
    }
}

#[test]
fn a_malformed_certificate_has_no_identity() {
    assert_eq!(WorkloadId::of_certificate(b"").unwrap_err(), IdentityError::Malformed);
    assert_eq!(WorkloadId::of_certificate(&[0x30; 100]).unwrap_err(), IdentityError::Malformed);
    let mut trailing = Ca::new().svid(SHOP).der;
    trailing.push(0);
    assert_eq!(WorkloadId::of_certificate(&trailing).unwrap_err(), IdentityError::Malformed);
    // The subject alternative name extension twice: validators could read either.
    let mut twice = named([uri(SHOP)]);
    let other = b"spiffe://example.org/x";
    let length = u8::try_from(other.len()).unwrap();
    let mut names = vec![0x30, 2 + length, 0x86, length];
    names.extend_from_slice(other);
    twice.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], names));
    assert_eq!(read(&twice).unwrap_err(), IdentityError::Malformed);
}
